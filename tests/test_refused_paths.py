"""Paths where nothing can be read or written are refused first, with the argument's name."""

from __future__ import annotations

import os

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

pytest.importorskip("safetensors")


def save(path, model):
    recurra.save(path, model)


def checkpoint(path, model):
    x = np.ones((4, 2), np.float32)
    recurra.fit(model, [(x, np.ones((4, 3), np.float32))], recurra.mse, recurra.Adam(model), checkpoint=path)


def to_onnx(path, model):
    pytest.importorskip("onnx")
    recurra.to_onnx(model, path)


WRITERS = [(save, "path"), (checkpoint, "checkpoint"), (to_onnx, "path")]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(write, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = recurra.Linear(2, 3, seed=0)
    before = model.state_dict()
    (tmp_path / "folder").mkdir()
    for path in (3, 1.5, [], {}, None if write is save else b"\0".join([b"a", b"b"]), "a\0b", "\ud800"):
        with refused((TypeError, ValueError), name, before):
            write(path, model)
    with refused(IsADirectoryError, name, before):
        write(tmp_path / "folder", model)
    with refused(FileNotFoundError, name, before):
        write(tmp_path / "none" / "file", model)
    for path in ("/dev/null", "x" * 5000):
        with pytest.raises(OSError, match=r"regular file|too long"):
            write(path, model)
    assert_same_bits(model.state_dict(), before)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    write(os.fsencode(tmp_path / "by bytes"), model)
    assert (tmp_path / "by bytes").stat().st_size


def from_onnx(path):
    pytest.importorskip("onnx")
    recurra.from_onnx(path)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (recurra.load, "path"),
        (from_onnx, "model"),
        (lambda path: recurra.fit(*fitted(), resume=path), "resume"),
    ],
)
def test_a_path_that_cannot_be_is_refused_by_name(read, name):
    for path in ("a\0b", "\ud800"):
        with refused(ValueError, name):
            read(path)


def fitted():
    model = recurra.Linear(2, 3, seed=0)
    x = np.ones((4, 2), np.float32)
    return model, [(x, np.ones((4, 3), np.float32))], recurra.mse, recurra.Adam(model)


@pytest.mark.parametrize("state", [None, 3, [1], "ab", np.zeros(3), {1: np.zeros(3)}])
def test_an_object_whose_state_is_no_dict_of_arrays_is_not_saved(state, tmp_path):
    class Own:
        def state_dict(self):
            return state

    with refused(TypeError, "model"):
        recurra.save(tmp_path / "file", Own())
    assert not list(tmp_path.iterdir())


def test_a_class_takes_no_arrays_over(tmp_path):
    recurra.save(tmp_path / "file", recurra.Linear(2, 3, seed=0))
    with refused(TypeError, "into"):
        recurra.load(tmp_path / "file", into=recurra.Linear)
    with refused(TypeError, "types"):
        recurra.load(tmp_path / "file", types=np.zeros(()))

"""`export_c` refuses what can't be a header by the argument's or member's name, and leaves files as they were."""

import os
import re

import numpy as np
import pytest

import recurra
from refused import refused

GRU = recurra.GRU(2, 3, seed=0)


def export(model, path, **options):
    recurra.export_c(model, path, **options)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1gru",
        "a-b",
        "a b",
        "_gru",
        "__gru",
        "a__b",
        "grü",
        "a" * 32,
        "gru;",
        "a\n",
        "\0",
        "/*",
        "a.b",
        "model\u0301",
    ],
)
def test_a_name_must_be_an_identifier(name, tmp_path):
    with refused(ValueError, "name"):
        export(GRU, tmp_path / "a.h", name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [None, 3, b"gru", ["gru"], np.str_])
def test_a_name_must_be_text(name, tmp_path):
    with refused(TypeError, "name"):
        export(GRU, tmp_path / "a.h", name=name)


def test_a_path_must_be_one_that_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for path in (3, None, [], "a\0b", "\ud800"):
        with refused((TypeError, ValueError), "path"):
            export(GRU, path)
    with refused(IsADirectoryError, "path"):
        export(GRU, tmp_path / "folder")
    with refused(FileNotFoundError, "path"):
        export(GRU, tmp_path / "none" / "a.h")
    with refused(FileNotFoundError, "path"):
        export(GRU, "")
    with pytest.raises(OSError, match="regular file"):
        export(GRU, "/dev/null")
    with refused(FileNotFoundError, "path"):  # before the model is looked at
        export("no model", tmp_path / "none" / "a.h")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.h"
    path.write_text("before")
    path.chmod(0o640)
    with refused(TypeError, "model"):
        export(3, path)
    with refused(ValueError, "name"):
        export(GRU, path, name="1")

    def broken(*_):
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="no space"):
            export(GRU, path)
    assert path.read_text() == "before"
    export(GRU, os.fsencode(path))
    assert "model_step" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a.h"]


class Own(recurra.Composite):
    """A layer of somebody's."""

    def __init__(self):
        super().__init__()
        self.linear = recurra.Linear(2, 2, seed=0)

    def forward(self, x):
        return self.linear.forward(x)

    def backward(self, tape, dy, **options):
        return self.linear.backward(tape, dy, **options)


class Derived(recurra.Linear):
    """It may compute something else."""


def chain(layer):
    return recurra.Sequential(recurra.Tanh(), recurra.Sequential(recurra.Linear(2, 2, seed=0), layer))


@pytest.mark.parametrize(
    ("model", "error", "where"),
    [
        (3, TypeError, "model"),
        (None, TypeError, "model"),
        (recurra.GRU, TypeError, "model"),
        ([GRU], TypeError, "model"),
        (Derived(2, 2), TypeError, "model"),
        (recurra.GRUCell(2, 3), TypeError, "model"),
        (recurra.GRU(2, 3, bidirectional=True), ValueError, "model"),
        (recurra.GRU(2, 3, reverse=True), ValueError, "model"),
        (recurra.Residual(recurra.Linear(2, 2)), TypeError, "model"),
        (recurra.Parallel(recurra.Linear(2, 2), recurra.Linear(2, 2)), TypeError, "model"),
        (recurra.GRU(2, 3, dtype=np.float64), ValueError, "model"),
        (recurra.Sequential(recurra.Tanh(), recurra.Dropout(0.5)), ValueError, "model"),
        (chain(recurra.GRU(2, 3, bidirectional=True)), ValueError, "layer '1.1'"),
        (chain(recurra.Sequential(GRU, recurra.LSTM(3, 2, reverse=True))), ValueError, "layer '1.1.1'"),
        (chain(Derived(2, 2)), TypeError, "layer '1.1'"),
        (chain(Own()), TypeError, "layer '1.1'"),
        (chain(recurra.AttentionPooling(2)), TypeError, "layer '1.1'"),
        (chain(recurra.GRU(2, 2, tokens=True)), TypeError, "layer '1.1'"),
        (recurra.Sequential(recurra.GRU(2, 3, bidirectional=True), recurra.Last()), ValueError, "layer '0'"),
        (recurra.Sequential(recurra.Linear(2, 4), recurra.Last(bidirectional=True)), ValueError, "layer '1'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_step_cannot_compute_is_named(model, error, where, tmp_path):
    with refused(error, where):
        export(model, tmp_path / "a.h")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_ih_l0"])
def test_weights_must_be_finite(value, name, tmp_path):
    layer = recurra.GRU(2, 3, seed=0)
    state = layer.state_dict()
    state[name][(0,) * state[name].ndim] = value
    layer.load_state_dict(state)
    with refused(ValueError, "layer '0'"):
        export(recurra.Sequential(layer), tmp_path / "a.h")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bits", [0x7FC0, 0xFF80])
def test_narrow_weights_must_be_finite(bits, tmp_path):
    """The bits of bfloat16 are integers to NumPy."""
    narrow = recurra.compress(GRU, "bfloat16")
    state = narrow.state_dict()
    state["weight_hh_l0"][1, 2] = bits
    narrow.load_state_dict(state)
    with refused(ValueError, "model", form=": expected finite numbers in weight_hh_l0, got"):
        export(narrow, tmp_path / "a.h")
    assert not list(tmp_path.iterdir())


class Text(str):
    """A text that is written otherwise."""

    __slots__ = ()

    def upper(self):
        return "1 /*"

    def __format__(self, _):
        return "2 /*"

    def __str__(self):
        return "3 /*"


def test_a_name_is_taken_as_plain_text_and_defines_no_standard_macro(tmp_path):
    export(GRU, tmp_path / "a.h", name=Text("fp_fast"))
    export(GRU, tmp_path / "b.h", name="fp_fast")
    text = (tmp_path / "a.h").read_text()
    assert text == (tmp_path / "b.h").read_text()
    assert "FP_FAST_MULTIPLY_ADD" in text
    assert not re.search(r"\bFP_FAST_FMA[FL]?\b", text)


def test_names_of_formulas_that_c_does_not_have(tmp_path):
    """Keywords, letters beyond ASCII, and what would end a comment."""

    @recurra.formula(gates="int ñ", states="double ü work", units={"float": 0.5, "ä": 0.25}, scalars={"q": 2.0},
                     inputs="short ö:step")  # fmt: skip
    def strange(a, s, u, x):
        m = a.int + x.short * a.ñ * x.ö
        return m * u.float, s.ü * u.ä + m, u.q * s.work + m

    strange.__name__ = "*/ #error ☃\\"
    recurra.export_c(strange(2, 3, seed=0), tmp_path / "a.h", name="int")
    text = (tmp_path / "a.h").read_text()
    assert text.isascii()
    assert "#error ☃" not in text
    from exported import COMPILER, compile_c

    if COMPILER is not None:
        body = "int_state s; float x[2] = {0.0f}, y[3], short_[3] = {0.0f}; int_reset(&s);"
        main = f'#include "a.h"\nint main(void) {{ {body} int_step(&s, x, y, short_, 1.0f); return 0; }}\n'
        compile_c(tmp_path, main)
        compile_c(tmp_path, main, "-c", compiler=COMPILER, language="-std=c99")

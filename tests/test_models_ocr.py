"""examples/models/ocr.py beside ddddocr: the same scores and texts, of its float32 network and of its int8 one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("PIL")

from PIL import Image

from real_packages import KINDS, own_module, program, table

ocr = program("ocr", "ddddocr")
RNG = np.random.default_rng(1)
TEXTS = ocr.texts(8, RNG)
PICTURES = [ocr.picture(text, RNG) for text in TEXTS]


@pytest.fixture(scope="module", params=ocr.FILES)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def package(kind):
    return ocr.Package(kind)


@pytest.fixture(scope="module")
def reader(kind):
    return ocr.reader(kind)


@pytest.fixture(scope="module")
def seen(package):
    return [package.seen(picture) for picture in PICTURES]


@pytest.fixture(scope="module")
def texts(kind):
    """By the package's own engine, from the picture to the text."""
    engine = own_module("ddddocr.core.ocr_engine", "cv2").OCREngine(beta=kind == "float32")
    return [engine.predict(Image.fromarray(np.rint(255 * picture).astype(np.uint8))) for picture in PICTURES]


def test_the_halves_read_what_the_package_reads(package, seen, texts):
    assert [package.text(package(each)) for each in seen] == texts
    assert sum(a == b for a, b in zip(texts, TEXTS, strict=True)) >= len(TEXTS) - 2


@pytest.mark.parametrize("weights", [None, *KINDS[1:]])
def test_scores_and_texts(weights, kind, reader, package, seen, texts):
    """The int8 network's weights are exact in float32; ONNX Runtime rounds what they multiply to 8 bits."""
    model = ocr.compressed(reader, weights)
    bound = 1e-5 if kind == "float32" and weights is None else 0.05
    for each, text in zip(seen, texts, strict=True):
        ours, theirs = model(each), package(each)
        assert abs(ours - theirs).max() < bound * abs(theirs).max()
        assert package.text(ours) == text


def test_weights_of_the_int8_network_are_exact_in_float32():
    """Of numbers that ONNX Runtime can have in 8 bits, the LSTM's first step and the product are exact."""
    lstm, product = ocr.reader("int8")
    path, rng = ocr.file_of("ddddocr", ocr.FILES["int8"]), np.random.default_rng(2)
    for layer, first, last, shape in ((lstm, ocr.SEEN, "361", (1, 1, 512)), (product, "380", "381", (3, 1024))):
        x = (rng.integers(0, 256, shape) / 64).astype(np.float32)
        x[..., :2] = 0, 255 / 64  # so that a step is 1 / 64
        (theirs,) = ocr.session(ocr.piece(path, first, last)).run(None, {first: x})
        ours = layer(x)[0] if layer is lstm else layer(x)
        assert abs(ours.ravel() - theirs.ravel()).max() < 1e-5 * abs(theirs).max()


def test_the_program_prints_its_tables(monkeypatch, capsys):
    lines = table(ocr, ["--pictures", "1"], monkeypatch, capsys)
    assert [line[0] for line in lines if line[0] in KINDS] == [*KINDS] * 2

"""What matrices become, and products of Linear and Embedding, bit for bit those of the reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import reference
from recurra.narrow.rounding import narrowed, widened
from refused import refused

KINDS = ("int8", "bfloat16", "float16")
every_kind = pytest.mark.parametrize("weights", KINDS)
SIZES = (1, 3, 15, 16, 17, 31, 64, 65, 127)


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_int8_is_rounded_by_rows():
    matrix = floats(40, 33) * 10.0 ** np.arange(-20, 20)[:, None].astype(np.float32)
    matrix[7] = 0
    arrays = narrowed("w", matrix, "int8")
    q, scale = arrays["w"], arrays["w.scale"]
    assert list(arrays) == ["w", "w.scale"]
    assert (q.dtype, q.shape, scale.dtype, scale.shape) == (np.int8, (40, 33), np.float32, (40,))
    assert_same_bits(scale, (np.abs(matrix).max(1) / np.float32(127)).astype(np.float32))
    rest = np.arange(40) != 7
    assert (np.abs(q).max(1)[rest] == 127).all()
    assert not q[7].any()
    assert scale[7] == 0
    error = np.abs(q * scale[:, None].astype(np.float64) - matrix)
    assert (error <= 0.5001 * scale[:, None]).all()


def test_int8_goes_to_the_nearest_and_of_two_to_the_even():
    row = np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5, 0.49, -126.6]], np.float32)
    assert narrowed("w", row, "int8")["w"].tolist() == [[127, 0, 2, 2, 0, -2, 0, -127]]
    assert narrowed("w", np.zeros((2, 0), np.float32), "int8")["w.scale"].tolist() == [0, 0]
    subnormal = np.array([[1e-45, -3e-45]], np.float32)  # whose 127th is 0
    assert narrowed("w", subnormal, "int8")["w"].tolist() == [[0, 0]]


def test_bfloat16_goes_to_the_nearest_and_of_two_to_the_even():
    """Beside all numbers of bfloat16 near 1 and near 1e-38, and those in the middle between them."""
    for first in (0x3F80, 0xBF00, 0x0000):
        near = np.arange(first, first + 70, dtype=np.uint16)
        exact = widened(near)
        assert (narrowed("w", exact[None], "bfloat16")["w"][0] == near).all()
        middle = (near.astype(np.uint32)[:-1] << 16 | 0x8000).view(np.float32)
        even = np.where(near[:-1] % 2 == 0, near[:-1], near[1:])
        assert (narrowed("w", middle[None], "bfloat16")["w"][0] == even).all()
        for off, nearest in ((-1, near[:-1]), (1, near[1:])):
            beside = (middle.view(np.uint32) + np.uint32(off % 2**32)).view(np.float32)
            assert (narrowed("w", beside[None], "bfloat16")["w"][0] == nearest).all()


@every_kind
def test_what_cannot_be_rounded_is_refused(weights):
    for wrong in (np.nan, np.inf, -np.inf):
        layer = recurra.Linear(3, 4, seed=0)
        state = layer.state_dict()
        state["weight"][2, 1] = wrong
        layer.load_state_dict(state)
        with refused(ValueError, "weight"):
            recurra.compress(layer, weights)
        with refused(ValueError, r"model\[1\]: weight"):
            recurra.compress(recurra.Sequential(recurra.Linear(3, 3), layer), weights)


@pytest.mark.parametrize(("weights", "largest"), [("float16", 65520.0), ("bfloat16", 3.4e38)])
def test_what_is_beyond_the_range_is_refused(weights, largest):
    with refused(ValueError, "w", form=rf": expected numbers that {weights} holds, got one as large as"):
        narrowed("w", np.array([[1, -largest]], np.float32), weights)
    narrowed("w", np.array([[1, -0.99 * largest]], np.float32), weights)


def test_fma_of_the_reference_rounds_once():
    """Against exact fractions, also where a sum in float64, rounded again, would go the other way."""
    from fractions import Fraction

    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(300).astype(np.float32) * 2.0 ** rng.integers(-30, 30, 300) for _ in range(3))
    a, b, c = (v.astype(np.float32) for v in (a, b, c))
    a[0], b[0], c[0] = 1 + 2.0**-15, 2.0**-24 * (1 - 2.0**-15), 1 + 2.0**-23  # 2**-54 below the middle to the next
    a[1], b[1], c[1] = -a[0], b[0], -c[0]
    assert np.float32(np.float64(a[0]) * b[0] + c[0]) > c[0]
    result = reference.narrow.fma(a, b, c)
    for x, y, z, got in zip(a, b, c, result, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        others = [np.nextafter(got, np.float32(side)) for side in (-np.inf, np.inf)]
        assert all(abs(exact - Fraction(float(got))) <= abs(exact - Fraction(float(o))) for o in others)
    assert result[:2].tolist() == c[:2].tolist()


def test_quantise_of_the_reference():
    v = np.array(
        [[0.5, -1, 0.25], [0, 0, 0], [np.nan, 1, 2], [-np.inf, 1, 2], [1e-31, 0, -1e-31], [3, 0, -4]], np.float32
    )
    q, scale = reference.narrow.quantise(v)
    assert q.tolist()[:2] == [[1024, -2047, 512], [0, 0, 0]]
    assert not q[1:5].any()
    assert q[5].tolist() == [1535, 0, -2047]
    assert scale[[0, 1, 4, 5]].tolist() == [np.float32(1) / np.float32(2047), 0, 0, np.float32(4) / np.float32(2047)]
    assert np.isnan(scale[2:4]).all()
    assert reference.narrow.quantise(v[:1] / 2, reference.narrow.STATE)[0].tolist() == [[512, -1024, 256]]


@pytest.mark.parametrize("bias", [True, False])
def test_linear_of_int8_is_an_exact_sum(bias):
    for seed, (inputs, outputs) in enumerate(itertools.product(SIZES, SIZES)):
        layer = recurra.compress(recurra.Linear(inputs, outputs, bias, seed=seed))
        x = floats(3, inputs, seed=seed) * np.float32(10.0 ** (seed % 7 - 3))
        state = layer.state_dict()
        matrix = reference.narrow.Matrix(state["weight"], state["weight.scale"])
        expected = reference.narrow.product(matrix, x, state.get("bias", np.zeros(outputs, np.float32)))
        assert_same_bits(layer(x), expected, f"{inputs} -> {outputs}")
        assert_same_bits(layer(x[0]), expected[0])


def test_long_sums_are_exact():
    """Beyond 8192 columns a sum of the largest numbers is more than int32 holds."""
    for columns in (8191, 8192, 8193, 16385, 20000):
        wide = recurra.Linear(columns, 3, seed=0)
        wide.load_state_dict({"weight": np.full((3, columns), -0.3, np.float32), "bias": np.zeros(3, np.float32)})
        layer = recurra.compress(wide)
        for x in (np.full((2, columns), 0.7, np.float32), floats(2, columns)):
            state = layer.state_dict()
            matrix = reference.narrow.Matrix(state["weight"], state["weight.scale"])
            assert_same_bits(layer(x), reference.narrow.product(matrix, x, state["bias"]), str(columns))


def test_linear_of_what_is_not_finite():
    layer = recurra.compress(recurra.Linear(5, 4, seed=0))
    x = floats(4, 5)
    x[1, 2], x[3, 0] = np.nan, np.inf
    y = layer(x)
    assert np.isnan(y[[1, 3]]).all()
    assert_same_bits(y[[0, 2]], layer(x[[0, 2]]))


@every_kind
def test_embedding_gives_what_its_rows_stand_for(weights):
    for size in SIZES:
        original = recurra.Embedding(11, size, padding_idx=2, seed=size)
        layer = recurra.compress(original, weights)
        tokens = np.array([[3, 0, 10], [2, 2, 3]])
        wide = reference.narrow.widened(layer.state_dict())["weight"]
        assert_same_bits(layer(tokens), wide[tokens])
        assert_same_bits(layer(tokens.astype(np.uint8)), wide[tokens])
        assert not layer(np.array([2])).any()
        assert np.abs(wide - original.params["weight"]).max() < 0.02
    for wrong in (np.array([11]), np.array([-1])):
        with refused(ValueError, "x"):
            layer(wrong)


@pytest.mark.parametrize("weights", ["bfloat16", "float16"])
def test_linear_of_16_bits_is_that_of_the_widened_weights(weights):
    for seed, (inputs, outputs) in enumerate(itertools.product(SIZES, SIZES)):
        layer = recurra.compress(recurra.Linear(inputs, outputs, seed=seed), weights)
        wide = recurra.Linear(inputs, outputs)
        wide.load_state_dict(reference.narrow.widened(layer.state_dict()))
        x = floats(2, 3, inputs, seed=seed)
        assert_same_bits(layer(x), wide(x), f"{inputs} -> {outputs}")
        assert_same_bits(layer(x[0, 0]), wide(x[0, 0]))


@every_kind
def test_linear_refuses_what_its_original_refuses(weights):
    original = recurra.Linear(3, 2, seed=0)
    layer = recurra.compress(original, weights)
    for wrong in (floats(2, 4), floats(2, 3).astype(np.float64), [[1, 2, 3]], np.float32(1), None):
        errors = []
        for one in (original, layer):
            with pytest.raises((TypeError, ValueError)) as raised:
                one(wrong)
            errors.append(str(raised.value))
        assert errors[0] == errors[1]
    assert layer(floats(0, 3)).shape == (0, 2)
    assert_same_bits(layer(np.asfortranarray(floats(5, 3))), layer(floats(5, 3)))

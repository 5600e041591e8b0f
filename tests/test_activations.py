"""sigmoid and tanh as the kernels compute them, against the truth in higher precision; errors are counted in ULPs.

A ULP is the spacing of floats at the correctly rounded result, subnormals included; where the kernels take subnormal
numbers for zero, a result below the least normal number is to be zero. A sample of all float32 values runs
every time; `pytest -m exhaustive -s tests/test_activations.py` takes all 2^32 of them and prints the worst error.
"""

from __future__ import annotations

import platform
from decimal import Decimal, localcontext

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import functional

FUNCTIONS = ("sigmoid", "tanh")
DTYPES = (np.float32, np.float64)
MOST_ULPS = {np.float32: 3, np.float64: 2}
FLUSHES = platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")  # subnormal numbers, inside and out
STRIDE = 257  # of the sample; odd, so that the low bits of the patterns take all values too
CHUNK = 2**20
INFINITY = 0x7F800000  # bit pattern: positive float32 values lie below, in order

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@pytest.fixture(autouse=True)
def quiet_truth():
    """The truth may overflow and underflow on its way to a right result, and meets NaN."""
    with np.errstate(all="ignore"):
        yield


def of_numpy(name, x):
    """In the precision of x. Where exp overflows, the sigmoid is 0 far beyond float64."""
    return np.tanh(x) if name == "tanh" else 1 / (1 + np.exp(-x))


def of_decimal(name, x):
    """Rounded once to long double, whatever that is here, from 50 digits."""

    def one(value):
        v = Decimal(value)
        if name == "sigmoid":
            return 1 / (1 + (-v).exp())
        if abs(v) < Decimal("1e-9"):  # beyond 50 digits the quotient would be 0; the next term is 2/15 x^5
            return v - v**3 / 3
        square = (2 * v).exp()
        return (square - 1) / (square + 1)

    with localcontext() as context:
        context.prec = 50
        return np.array([np.longdouble(str(one(value))) for value in x.tolist()])


def ulps(got, truth):
    """How far each of `got` is from the truth, which is an array of higher precision."""
    return np.abs(got.astype(truth.dtype) - truth) / np.spacing(np.abs(truth.astype(got.dtype))).astype(truth.dtype)


def flushed(y, truth):
    """The truth, but 0 where that is what a result is to be; around the least normal number either is right."""
    limits = np.finfo(y.dtype)
    if not FLUSHES:
        return truth
    assert ((y == 0) | (np.abs(y) >= limits.tiny)).all()
    small = np.abs(truth) < float(limits.tiny) * (1 + MOST_ULPS[y.dtype.type] * float(limits.eps))
    return np.where(small & (y == 0), truth.dtype.type(0), truth)


def floats(patterns):
    return patterns.astype(np.uint32).view(np.float32)


def worst_of(name, x, truth=None):
    """Largest error over a chunk, after all that holds of every value has been asserted."""
    y, nan = getattr(functional, name)(x), np.isnan(x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    assert np.isnan(y[nan]).all()
    real, y = x[~nan], y[~nan]
    assert (y <= 1).all()  # false for NaN too
    if name == "sigmoid":
        assert (y >= 0).all()
        assert (y[real >= 64] == 1).all()
        assert (y[real <= -750] == 0).all()
    else:
        assert_same_bits(functional.tanh(-real), -y)
        assert_same_bits(np.signbit(y), np.signbit(real))
        assert (np.abs(y[np.abs(real) >= 20]) == 1).all()
    if not real.size:
        return 0.0
    truth = of_numpy(name, real.astype(np.float64)) if truth is None else truth
    return float(ulps(y, flushed(y, truth)).max())


def test_ulps_are_spacings_at_the_rounded_result():
    """Or the bounds below would be about something else."""
    one = np.float32(1)
    got = np.array([1 + 2.0**-23, 1 - 2.0**-24, 2.0**-149, 0, 0.5], np.float32)
    truth = np.array([1, 1 - 2.0**-24, 0, 2.0**-149, 0.5 + 2.0**-26])
    assert ulps(got, truth).tolist() == [1, 0, 1, 1, 0.25]
    assert ulps(np.nextafter(one, 2, dtype=np.float32)[None], np.array([1 - 2.0**-26]))[0] == 1.125


@every_function
def test_float32_sample_of_all_values(name):
    worst, count = 0.0, 0
    for start in range(0, 2**32, STRIDE * CHUNK):
        x = floats(np.arange(start, min(start + STRIDE * CHUNK, 2**32), STRIDE))
        worst, count = max(worst, worst_of(name, x)), count + len(x)
    assert count == -(-(2**32) // STRIDE)
    assert worst <= MOST_ULPS[np.float32]
    assert worst > 0.45  # no function of 16 million values is rounded better than that, so something was compared


@every_function
def test_float32_where_it_is_hard(name):
    """Between 2^-14 and the saturations, where the sample is thin: 4 million values uniform in ±20 and in ±110."""
    rng = np.random.default_rng(0)
    for width in (20, 110):
        x = rng.uniform(-width, width, 2_000_000).astype(np.float32)
        assert worst_of(name, x) <= MOST_ULPS[np.float32]


def test_tanh_never_falls():
    """In runs of neighbouring floats from everywhere, from where tanh bends, and from where a kernel might change its
    formula. On the negative side too, by oddness.
    """
    rng = np.random.default_rng(1)
    bend = np.array([2.0**-13, 9.2], np.float32).view(np.uint32)
    halves = (np.arange(32) + 0.5) * np.log(2) / 2  # e^-2x = 2^n e^-r, and n changes
    seams = np.array([2.0**-12, 0.25, 0.5, 0.625, 0.75, 1, 8, 9, 9.01, 10, 20, 44, *halves], np.float32)
    starts = [
        rng.integers(0, INFINITY - 64, 50_000),
        rng.integers(*bend.tolist(), 50_000),
        seams.view(np.uint32).astype(np.int64) - 32,
    ]
    for part in np.array_split(np.concatenate(starts), 8):
        x = floats(part[:, None] + np.arange(65))
        assert (np.diff(x) > 0).all()
        assert (np.diff(functional.tanh(x)) >= 0).all()


@pytest.mark.exhaustive
@every_function
def test_float32_all_values(name):
    """Chunks overlap by one value, so that tanh is seen not to fall from any float to the next."""
    worst = 0.0
    for start in range(0, 2**32, CHUNK):
        x = floats(np.arange(start, min(start + CHUNK + 1, 2**32)))
        worst = max(worst, worst_of(name, x))
        if name == "tanh":
            # By rising magnitude for both signs; where the sign changes there are only NaNs before.
            assert (np.diff(np.abs(functional.tanh(x[~np.isnan(x)]))) >= 0).all()
    print(f"\n{name}, float32, {recurra.build_info()['isa']}: at most {worst:.3f} ULP over all 2^32 values")
    assert worst <= MOST_ULPS[np.float32]


def float64_points(count, seed):
    """From everywhere: uniform, of any magnitude down to subnormals, where a formula may change, results saturate, or
    the 1 of 1 + e^-x is about to be lost.
    """
    rng = np.random.default_rng(seed)
    n = count // 8
    sign = np.where(rng.random((3, n)) < 0.5, -1.0, 1.0)
    parts = [
        rng.uniform(-25, 25, n),
        rng.uniform(-750, 750, n),
        rng.uniform(-2, 2, n),
        sign[0] * 2.0 ** rng.uniform(-1074, 10, n),
        sign[1] * 2.0 ** rng.uniform(-30, 3, n),
        sign[2] * rng.uniform(0.6, 0.75, n),
        rng.choice([-37.0, -19.0, 19.0, 37.0], n) + rng.uniform(-1, 1, n),
        rng.uniform(-747, -707, count - 7 * n),
    ]
    return np.concatenate(parts)


@every_function
def test_float64_against_decimal(name):
    x = float64_points(2000, seed=2)
    worst = worst_of(name, x, of_decimal(name, x))
    assert 0.1 < worst <= MOST_ULPS[np.float64]


if np.finfo(np.longdouble).nmant >= 63:  # more than float64 has: not so on Windows and on macOS

    @every_function
    def test_float64_against_long_double(name):
        x = float64_points(1_000_000, seed=3)
        assert 0.45 < worst_of(name, x, of_numpy(name, x.astype(np.longdouble))) <= MOST_ULPS[np.float64]

    @every_function
    def test_the_two_truths_agree(name):
        """Each is checked by the other, to a thousandth of a ULP or so."""
        x = float64_points(2000, seed=4)
        decimal, long = of_decimal(name, x), of_numpy(name, x.astype(np.longdouble))
        assert (ulps(long.astype(np.float64), decimal) <= 0.51).all()
        spacing = np.spacing(np.abs(decimal.astype(np.float64))).astype(np.longdouble)
        assert (np.abs(long - decimal) <= 2e-3 * spacing).all()


@every_dtype
def test_special_values(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    assert_same_bits(functional.tanh(x[:4]), np.array([0.0, -0.0, 1, -1], dtype))
    assert_same_bits(functional.sigmoid(x[:4]), np.array([0.5, 0.5, 1, 0], dtype))
    assert_same_bits(functional.tanh(x[5:]), np.array([1, -1], dtype))
    assert_same_bits(functional.sigmoid(x[5:]), np.array([1, 0], dtype))
    assert np.isnan([functional.tanh(x)[4], functional.sigmoid(x)[4]]).all()
    tiny = np.finfo(dtype).smallest_subnormal * np.arange(-5, 6).astype(dtype)
    assert_same_bits(functional.tanh(tiny), tiny * 0 if FLUSHES else tiny)  # of the same signs


@every_dtype
@every_function
def test_every_size_and_memory_layout(name, dtype):
    """Each value is the same, bit for bit, wherever it stands: in a vector, in a tail, between strides."""
    function = getattr(functional, name)
    x = np.random.default_rng(4).uniform(-9, 9, 200).astype(dtype)
    x.flags.writeable = False
    whole = function(x)
    assert whole.flags.writeable
    assert_same_bits(np.concatenate([function(x[i : i + 1]) for i in range(200)]), whole)  # one at a time
    for size in (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65):
        for begin in (0, 1, 5):
            assert_same_bits(function(x[begin : begin + size]), whole[begin : begin + size])
    for step in (2, 3, -1, -7):
        assert_same_bits(function(x[::step]), whole[::step])
    cube, result = x.reshape(5, 8, 5), whole.reshape(5, 8, 5)
    for a, b in ((cube, result), (cube.T, result.T), (cube[1::2, ::-3, 1:], result[1::2, ::-3, 1:])):
        assert_same_bits(function(a), b)
    assert_same_bits(function(np.broadcast_to(x[3], (2, 9))), np.full((2, 9), whole[3]))
    assert function(np.empty((0, 3), dtype)).shape == (0, 3)
    point = function(np.array(x[7]))
    assert (point.shape, point.dtype) == ((), dtype)
    assert point == whole[7]
    memory = np.empty(9 * x.itemsize + 1, np.uint8)[1:].view(dtype)  # aligned to nothing
    memory[...] = x[:9]
    assert_same_bits(function(memory), whole[:9])

"""The functions that formulas are written with; each computes on traced values, arrays, tensors and Python numbers."""

from typing import Any

from .expression import apply


def minimum(v: Any, w: Any) -> Any:
    """The smaller of v and w; NaN if either is. Where they are equal, each has half of the gradient."""
    return apply("minimum", v, w)


def maximum(v: Any, w: Any) -> Any:
    """The greater of v and w; NaN if either is. Where they are equal, each has half of the gradient."""
    return apply("maximum", v, w)


def where(condition: Any, v: Any, w: Any) -> Any:
    """v where the condition is met (isn't 0), w elsewhere."""
    return apply("where", condition, v, w)


def equal(v: Any, w: Any) -> Any:
    """The condition v = w."""
    return apply("equal", v, w)


def not_equal(v: Any, w: Any) -> Any:
    """The condition v ≠ w."""
    return apply("not_equal", v, w)


def clip(v: Any, lo: float | None, hi: float | None) -> Any:
    """V, but at least lo and at most hi, which are numbers or None; the gradient passes from lo to hi inclusive."""
    return apply("clip", v, lo, hi)


def square(v: Any) -> Any:
    """V²."""
    return apply("square", v)


def sqrt(v: Any) -> Any:
    """The square root."""
    return apply("sqrt", v)


def exp(v: Any) -> Any:
    """The exponential function."""
    return apply("exp", v)


def expm1(v: Any) -> Any:
    """Exp(v) - 1, exact near 0 too."""
    return apply("expm1", v)


def log(v: Any) -> Any:
    """The natural logarithm."""
    return apply("log", v)


def log1p(v: Any) -> Any:
    """Log(1 + v), exact near 0 too."""
    return apply("log1p", v)


def sin(v: Any) -> Any:
    """The sine."""
    return apply("sin", v)


def cos(v: Any) -> Any:
    """The cosine."""
    return apply("cos", v)


def erf(v: Any) -> Any:
    """The error function."""
    return apply("erf", v)


def sigmoid(v: Any) -> Any:
    """1 / (1 + exp(-v))."""
    return apply("sigmoid", v)


def tanh(v: Any) -> Any:
    """The hyperbolic tangent."""
    return apply("tanh", v)


def relu(v: Any) -> Any:
    """V where it is positive, else 0; the slope at 0 is 0."""
    return apply("relu", v)


def leaky_relu(v: Any, slope: float = 0.01) -> Any:
    """V where it is positive, else slope · v."""
    return apply("leaky_relu", v, slope)


def elu(v: Any, alpha: float = 1.0) -> Any:
    """V where it is positive, else alpha · (exp(v) - 1); alpha is positive."""
    return apply("elu", v, alpha)


def softplus(v: Any) -> Any:
    """Log(1 + exp(v))."""
    return apply("softplus", v)


def log_sigmoid(v: Any) -> Any:
    """Log(sigmoid(v))."""
    return apply("log_sigmoid", v)


def silu(v: Any) -> Any:
    """V · sigmoid(v)."""
    return apply("silu", v)


def gelu(v: Any, approximate: str = "none") -> Any:
    """V · Φ(v) by erf; by tanh if `approximate` is "tanh"."""
    if approximate not in {"none", "tanh"}:
        raise ValueError(f"approximate: expected 'none' or 'tanh', got {approximate!r}")
    return apply("gelu", v, approximate)


def hard_sigmoid(v: Any) -> Any:
    """(v + 3) / 6, but at least 0 and at most 1."""
    return apply("hard_sigmoid", v)


def hard_tanh(v: Any) -> Any:
    """V, but at least -1 and at most 1."""
    return apply("hard_tanh", v)


def given_slope(value: Any, slope_of: Any) -> Any:
    """`value`, with the gradient of `slope_of` instead of its own: spikes, rounding, bounded square roots."""
    return apply("given_slope", value, slope_of)


def mean(v: Any) -> Any:
    """The mean over the units of a row, the same number for all of them."""
    return apply("mean", v)


def project(v: Any) -> Any:
    """W_hr v, of a size of its own: only as the first state that the function returns."""
    return apply("project", v)

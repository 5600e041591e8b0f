"""The functions that formulas are written with; each computes on traced values, arrays, tensors and Python numbers.

What their descriptions call a value is any of these. Derivatives are PyTorch's.
"""

from typing import Any

from .expression import apply


def minimum(v: Any, w: Any) -> Any:
    """The smaller of v and w; NaN if either is. Where they are equal, each has half of the gradient.

    Args:
        v: a value.
        w: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.minimum(np.array([1.0, 5.0]), 3)
        array([1., 3.])
    """
    return apply("minimum", v, w)


def maximum(v: Any, w: Any) -> Any:
    """The greater of v and w; NaN if either is. Where they are equal, each has half of the gradient.

    Args:
        v: a value.
        w: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.maximum(np.array([1.0, 5.0]), 3)
        array([3., 5.])
    """
    return apply("maximum", v, w)


def where(condition: Any, v: Any, w: Any) -> Any:
    """v where the condition is met (isn't 0), w elsewhere; the condition has no gradient.

    Args:
        condition: a comparison of values, or several joined by `&`, `|` and `~`.
        v: a value.
        w: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> v = np.array([-1.0, 2.0])
        >>> recurra.formula.where((v > 0) & (v < 3), v, 0.5)
        array([0.5, 2. ])
    """
    return apply("where", condition, v, w)


def equal(v: Any, w: Any) -> Any:
    """The condition v = w, for `where`.

    Args:
        v: a value.
        w: a value.

    Returns:
        A condition, or an array of bool.

    Example:
        >>> recurra.formula.equal(np.array([1.0, 5.0]), 5)
        array([False,  True])
    """
    return apply("equal", v, w)


def not_equal(v: Any, w: Any) -> Any:
    """The condition v ≠ w, for `where`.

    Args:
        v: a value.
        w: a value.

    Returns:
        A condition, or an array of bool.

    Example:
        >>> recurra.formula.not_equal(np.array([1.0, 5.0]), 5)
        array([ True, False])
    """
    return apply("not_equal", v, w)


def clip(v: Any, lo: float | None, hi: float | None) -> Any:
    """v, but at least lo and at most hi; the gradient passes from lo to hi inclusive.

    Args:
        v: a value.
        lo: a number, or None for no bound; for a bound that is a value there is `maximum`.
        hi: a number, or None; `minimum`.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.clip(np.array([-2.0, 0.5, 3.0]), 0, None)
        array([0. , 0.5, 3. ])
    """
    return apply("clip", v, lo, hi)


def square(v: Any) -> Any:
    """The square v².

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.square(np.array([1.0, -3.0]))
        array([1., 9.])
    """
    return apply("square", v)


def sqrt(v: Any) -> Any:
    """The square root √v, whose slope at 0 is infinite: `given_slope` bounds it.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.sqrt(np.array([4.0, 9.0]))
        array([2., 3.])
    """
    return apply("sqrt", v)


def exp(v: Any) -> Any:
    """The exponential function.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.exp(np.array([0.0, 1.0])).round(4)
        array([1.    , 2.7183])
    """
    return apply("exp", v)


def expm1(v: Any) -> Any:
    """exp(v) − 1, exact near 0 too.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.expm1(np.array([1e-9, 1.0])).round(12)
        array([1.00000000e-09, 1.71828183e+00])
    """
    return apply("expm1", v)


def log(v: Any) -> Any:
    """The natural logarithm.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.log(np.array([1.0, 10.0])).round(4)
        array([0.    , 2.3026])
    """
    return apply("log", v)


def log1p(v: Any) -> Any:
    """log(1 + v), exact near 0 too.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.log1p(np.array([1e-9, 1.0])).round(12)
        array([1.00000000e-09, 6.93147181e-01])
    """
    return apply("log1p", v)


def sin(v: Any) -> Any:
    """The sine of v in radians.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.sin(np.array([0.0, np.pi / 2]))
        array([0., 1.])
    """
    return apply("sin", v)


def cos(v: Any) -> Any:
    """The cosine of v in radians.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.cos(np.array([0.0, np.pi]))
        array([ 1., -1.])
    """
    return apply("cos", v)


def erf(v: Any) -> Any:
    """The error function, 2/√π times the integral of exp(−t²) from 0 to v.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.erf(np.array([0.0, 1.0])).round(4)
        array([0.    , 0.8427])
    """
    return apply("erf", v)


def given_slope(value: Any, slope_of: Any) -> Any:
    """`value`, with the gradient of `slope_of` in the place of its own.

    For surrogate gradients of spikes, straight-through rounding, and roots whose slope is to stay finite.

    Args:
        value: what there is on the way forward.
        slope_of: the value through which gradients go on the way back.

    Returns:
        In a formula and of tensors as said; of arrays, which have no gradients, `value`.

    Example:
        >>> v = np.array([-0.1, 0.1])
        >>> recurra.formula.given_slope(recurra.formula.where(v > 0, 1.0, 0.0), v / (1 + 25 * abs(v)))
        array([0., 1.])
    """
    return apply("given_slope", value, slope_of)


def mean(v: Any) -> Any:
    """The mean over the units of a row, the same number for all of them.

    It needs all units, so what depends on it is a further stage of the step.

    Args:
        v: a value.

    Returns:
        In a formula a value; of an array (B, H) one of shape (B, 1).

    Example:
        >>> recurra.formula.mean(np.array([[1.0, 2.0], [3.0, 5.0]]))
        array([[1.5],
               [4. ]])
    """
    return apply("mean", v)


def project(v: Any) -> Any:
    """W_hr v, of a size of its own, `proj_size`: only as the first of the states that the function returns.

    Arrays can't be projected by it, as they don't bring the matrix: `Formula.run_step` does.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> @recurra.formula(gates="n")
        ... def Projected(a):
        ...     return recurra.formula.project(recurra.formula.tanh(a.n))
        >>> Projected(3, 8, proj_size=2, seed=0)(np.ones((5, 3), np.float32))[0].shape
        (5, 2)
    """
    return apply("project", v)

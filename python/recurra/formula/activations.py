"""Activations for formulas: functions of one value, as those of `functions.py`."""

from typing import Any

from .expression import apply


def sigmoid(v: Any) -> Any:
    """The logistic function 1 / (1 + exp(−v)).

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.sigmoid(np.array([-1.0, 0.0])).round(4)
        array([0.2689, 0.5   ])
    """
    return apply("sigmoid", v)


def tanh(v: Any) -> Any:
    """The hyperbolic tangent.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.tanh(np.array([-1.0, 0.0])).round(4)
        array([-0.7616,  0.    ])
    """
    return apply("tanh", v)


def relu(v: Any) -> Any:
    """v where it is positive, else 0; the slope at 0 is 0.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.relu(np.array([-1.0, 2.0]))
        array([0., 2.])
    """
    return apply("relu", v)


def leaky_relu(v: Any, slope: float = 0.01) -> Any:
    """v where it is positive, else slope · v.

    Args:
        v: a value.
        slope: a number, which is the derivative at 0 too.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.leaky_relu(np.array([-1.0, 2.0]), 0.1)
        array([-0.1,  2. ])
    """
    return apply("leaky_relu", v, slope)


def elu(v: Any, alpha: float = 1.0) -> Any:
    """v where it is positive, else alpha · (exp(v) − 1).

    Args:
        v: a value.
        alpha: a positive number.

    Returns:
        Such a value, of v's shape and dtype.

    Raises:
        ValueError: alpha isn't positive, in a formula.

    Example:
        >>> recurra.formula.elu(np.array([-1.0, 2.0])).round(4)
        array([-0.6321,  2.    ])
    """
    return apply("elu", v, alpha)


def softplus(v: Any) -> Any:
    """log(1 + exp(v)), which doesn't overflow.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.softplus(np.array([0.0, 1000.0])).round(4)
        array([6.931e-01, 1.000e+03])
    """
    return apply("softplus", v)


def log_sigmoid(v: Any) -> Any:
    """log(sigmoid(v)), which doesn't underflow.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.log_sigmoid(np.array([0.0, -1000.0])).round(4)
        array([-6.931e-01, -1.000e+03])
    """
    return apply("log_sigmoid", v)


def silu(v: Any) -> Any:
    """v · sigmoid(v), also called swish.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.silu(np.array([-1.0, 2.0])).round(4)
        array([-0.2689,  1.7616])
    """
    return apply("silu", v)


def gelu(v: Any, approximate: str = "none") -> Any:
    """v · Φ(v), of the normal distribution's Φ.

    Args:
        v: a value.
        approximate: "none", by `erf`; or "tanh", by a formula with `tanh` that is off by up to 5e-4.

    Returns:
        Such a value, of v's shape and dtype.

    Raises:
        ValueError: `approximate` is something else.

    Example:
        >>> recurra.formula.gelu(np.array([-1.0, 2.0])).round(4)
        array([-0.1587,  1.9545])
    """
    if approximate not in {"none", "tanh"}:
        raise ValueError(f"approximate: expected 'none' or 'tanh', got {approximate!r}")
    return apply("gelu", v, approximate)


def hard_sigmoid(v: Any) -> Any:
    """(v + 3) / 6, but at least 0 and at most 1.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.hard_sigmoid(np.array([-4.0, 0.0, 1.5]))
        array([0.  , 0.5 , 0.75])
    """
    return apply("hard_sigmoid", v)


def hard_tanh(v: Any) -> Any:
    """v, but at least −1 and at most 1.

    Args:
        v: a value.

    Returns:
        Such a value, of v's shape and dtype.

    Example:
        >>> recurra.formula.hard_tanh(np.array([-4.0, 0.5]))
        array([-1. ,  0.5])
    """
    return apply("hard_tanh", v)

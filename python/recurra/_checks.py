"""Checks of arguments, with errors in one form: `name: expected what, got what`."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable
from numbers import Real
from typing import Any, NoReturn

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]  # NDArray[Any], which takes numpy.typing 0.4 ms to import
MASKED_TARGET = "write {0}.data, and position_weights=~np.ma.getmaskarray({0})"
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def shown(value: object) -> str:
    """A value as an error message quotes it."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (of an array of JAX that is deleted, say)
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def converter(value: object) -> str:
    """What makes a layer of another package's, as an error advises it; begins with a colon, or is empty."""
    for kind in type(value).__mro__:
        match kind.__module__.partition(".")[0], kind.__name__:
            case "torch", "Module":
                return ": recurra.from_torch makes a layer of PyTorch's modules"
            case "keras", "Layer":
                return ": recurra.from_keras makes a layer of Keras's"
    return ""


def caller_level() -> int:
    """The `stacklevel` by which a function of the package that calls this warns its first caller outside of it."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("recurra."):
        frame, level = frame.f_back, level + 1
    return level


def check_index(name: str, value: object, what: str) -> int:
    """An integer, which `what` says in words; no bool, though Python takes that for one."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: expected {what}, got {shown(value)}") from None


def is_listed(value: object) -> bool:
    """Whether it has members to go through: an array of no axes says that it has."""
    return isinstance(value, Iterable) and not (isinstance(value, np.ndarray) and np.asarray(value).ndim == 0)


def check_size(name: str, value: object, most: int = 2**62) -> int:
    """A positive integer up to `most`, whose default fits the kernels' index type."""
    number = check_index(name, value, "a positive integer")
    if not 0 < number <= most:
        limit = "" if number < 1 else f" up to {most}"
        raise ValueError(f"{name}: expected a positive integer{limit}, got {shown(value)}")
    return number


def check_flag(name: str, value: object) -> bool:
    """True or False, NumPy's included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def check_tokens(value: object) -> bool | None:
    """Whether integers are tokens; None where they can't be features."""
    return None if value is None else check_flag("tokens", value)


def check_number(name: str, value: object, what: str, least: float, below: float) -> float:
    """A number in [least, below), which `what` says in words."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected {what}, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if not least <= number < below:
        raise ValueError(f"{name}: expected {what}, got {shown(value)}")
    return number


def check_dtype(value: object) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        dtype: np.dtype[Any] = np.dtype(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, SyntaxError) as error:  # of texts: not UTF-8, or "f4,("
        raise TypeError(f"dtype: expected float32 or float64, got {shown(value)}") from error
    if value is None or dtype not in FLOATS or not dtype.isnative:
        raise TypeError(f"dtype: expected float32 or float64, got {shown(value)}")
    return dtype


def is_masked(array: Array) -> bool:
    """Whether its class has a member `mask`, as numpy.ma.MaskedArray does; the member itself is not asked for."""
    return any("mask" in vars(kind) for kind in type(array).__mro__ if kind is not np.ndarray)


def refuse_masked(name: str, value: object) -> None:
    """Where another package reads arrays, which would take what is masked for data.

    Raises:
        TypeError: it is a masked array, or a list or an array of objects with one.
    """
    listed = value.flat if isinstance(value, np.ndarray) and value.dtype.kind == "O" else value
    for one in (value, *listed) if isinstance(listed, (list, tuple, np.flatiter)) else (value,):
        if isinstance(one, np.ndarray) and is_masked(one):
            raise TypeError(f"{name}: expected plain arrays, got a masked one: {masked_cure(name)}")


def narrowing() -> str:
    """How a model m of float64 becomes one of float32, for the end of an error."""
    return (
        "into the same model made with dtype=np.float32, m32, m32.load_state_dict({k: v.astype(np.float32) for k, v in "
        "m.state_dict().items()}) loads it"
    )


def masked_cure(name: str) -> str:
    """What to write instead of a masked array."""
    return (MASKED_TARGET if name in {"target", "targets"} else "fill it with {0}.filled(0)").format(name)


def taken(name: str, value: Any) -> Any:
    """An array of another package as one of NumPy; anything else as it is.

    Raises:
        TypeError: it is an array and can't be read, such as one in a GPU's memory.
    """
    if isinstance(value, np.ndarray) or value is None:
        return value
    exports = hasattr(type(value), "__array__") or hasattr(type(value), "__dlpack__")
    if isinstance(value, np.generic) or not exports:
        return value
    from ._foreign import ARRAYS, as_array

    return as_array(name, value, "numbers", "", ARRAYS)


def all_taken(**given: Any) -> tuple[Any, ...]:
    """Those of `taken`, before the first is looked at: to ask an object for its array may free the memory of others.

    For the same reason views are made once all arguments are checked.
    """
    return tuple(taken(name, value) for name, value in given.items())


def plain_array(
    name: str, value: object, kinds: str, what: str, dtype: str, *, numbers: bool = False, written: bool = False
) -> Array:
    """An array whose dtype is of these kinds, as NumPy's own class: a matrix would multiply as one.

    Args:
        name: of the argument, in an error.
        value: what was given for it, such as an array of another package.
        kinds: NumPy's letters for the kinds of dtype.
        what: what that is in words.
        dtype: what the error advises to cast to.
        numbers: whether a list of numbers will do.
        written: whether it is to be changed, so that it must be NumPy's.
    """
    if isinstance(value, np.ndarray):
        array = value
    else:
        from ._foreign import ARRAYS, NUMBERS, NUMPY, as_array

        array = as_array(name, value, what, dtype, NUMPY if written else NUMBERS if numbers else ARRAYS)
    if is_masked(array):
        raise TypeError(f"{name}: expected a plain numpy.ndarray, got a masked one: {masked_cure(name)}")
    if array.dtype.kind not in kinds:
        _refuse_dtype(name, value, array, what, dtype)
    return np.asarray(array)


def check_array(name: str, value: object, dtype: np.dtype[Any] | None = None, *, written: bool = False) -> Array:
    """An array of this dtype, or of either float dtype; as NumPy's own class."""
    what = dtype.name if dtype else "float32 or float64"
    advised = dtype.name if dtype else "float32"
    array = plain_array(name, value, "biufcOSUVMm", what, advised, written=written)
    if array.dtype not in ((dtype,) if dtype else FLOATS) or not array.dtype.isnative:
        _refuse_dtype(name, value, array, what, advised)
    return array


def _refuse_dtype(name: str, value: object, array: Array, what: str, dtype: str) -> NoReturn:
    from ._foreign import refuse_dtype

    refuse_dtype(name, value, array.dtype, what, dtype)


def check_lengths(value: object, steps: int, batch: int | None = None) -> Array:
    """(B,) integers in 0..T, as int64; batch None says that there is none, so that there are no lengths either."""
    if batch is None:
        raise ValueError(f"lengths: expected None, as x has no batch, got {type(value).__name__}")
    lengths = plain_array("lengths", value, "iu", "integers", "int64", numbers=True)
    if lengths.shape != (batch,):
        raise ValueError(f"lengths: expected (B,) = ({batch},), got {lengths.shape}")
    wrong = (lengths < 0) | (lengths > steps)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"lengths: expected integers in 0..T = 0..{steps}, got {lengths[at]} at index {at}")
    return lengths.astype(np.int64)


def check_resets(value: object, steps: int, batch: tuple[int, ...], batch_first: bool) -> None:
    """(T, B) of bool in x's layout, or (T,) where x has no batch."""
    resets = plain_array("resets", value, "b", "bool", "bool_", numbers=True)
    shape = (*batch, steps) if batch_first else (steps, *batch)
    if resets.shape != shape:
        symbols = "(T,)" if not batch else "(B, T)" if batch_first else "(T, B)"
        raise ValueError(f"resets: expected {symbols} = {shape}, got {resets.shape}")


def check_rng(name: str, value: object) -> np.random.Generator:
    """A generator, or one from an integer seed; None (where a caller allows it) is a seed from the system."""
    if isinstance(value, np.random.Generator):
        return value
    if value is None:
        return np.random.default_rng()
    seed = check_index(name, value, "an integer or a numpy.random.Generator")
    if seed < 0:
        raise ValueError(f"{name}: expected an integer from 0 up, got {shown(value)}")
    return np.random.default_rng(seed)

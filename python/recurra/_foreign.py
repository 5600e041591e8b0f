"""Arrays of other packages: what their `__array__` or `__dlpack__` gives, or an error that says what to write instead.

Imported when there is something that isn't a numpy.ndarray, or is to be refused.
"""

from __future__ import annotations

import contextlib
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ._checks import Array, is_masked, masked_cure, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMPY, ARRAYS, NUMBERS = range(3)  # what a parameter takes, as `Takes` in csrc/python/foreign.h
HOSTS = (1, 3, 11)  # DLPack's numbers of memory that the CPU reads: plain, pinned for CUDA, for ROCm
DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA", 14: "oneAPI"}
OF_ARRAYS = {  # what to do where a tuple of arrays comes
    "x": ": pass y of the (y, state) that a layer returns, or join layers by Sequential",
    "h0": ": h is one array",  # of an LSTM too, whose state is two
}
TORCH_CASTS = {"float32": "float()", "float64": "double()", "int64": "long()", "bool_": "bool()"}


def as_array(name: str, value: Any, what: str, dtype: str, takes: int) -> Array:
    """The array of an object that is no numpy.ndarray: a view of its memory, if its package gives one.

    Args:
        name: of the argument, in an error.
        value: what was given for it.
        what: what it is to hold, in words.
        dtype: as which an error advises to make it; "" leaves that open.
        takes: NUMPY refuses it in any case, NUMBERS takes lists of numbers too.

    Raises:
        TypeError: it isn't one, lies elsewhere than in the CPU's memory, or raises itself when it is asked.
    """
    kind = type(value)
    if takes == NUMBERS and isinstance(value, (list, tuple)):
        return _of_numbers(name, value, what, dtype)
    exports = hasattr(kind, "__array__") or hasattr(kind, "__dlpack__")
    if takes == NUMPY or not exports or isinstance(value, np.generic):
        article = "a numpy.ndarray" if takes == NUMPY else "an array"
        raise TypeError(f"{name}: expected {article} of {what}, got {called(kind)}{_making(name, value, dtype, takes)}")
    _refuse_elsewhere(name, value)
    if _package(kind) == "torch" and getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"{name}: expected an array of {what}, got a {called(kind)} that requires grad: pass {name}.detach(), or "
            "use recurra.torch"
        )
    if _package(kind) == "pandas" and "Sparse" in str(getattr(value, "dtypes", "")):
        raise TypeError(f"{name}: expected an array of {what}, got a sparse one: pass {name}.sparse.to_dense()")
    if _package(kind) == "torch" and str(getattr(value, "dtype", "")).startswith(("torch.bfloat", "torch.float8")):
        raise TypeError(f"{name}: expected {what}, got {value.dtype}{_torch_cast(name, dtype)}")
    try:
        array = value.__array__() if hasattr(kind, "__array__") else np.from_dlpack(value)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        reason = type(error).__name__
        with contextlib.suppress(Exception):  # which an error's own __str__ may raise
            reason = " ".join(f"{reason}: {error}".split())
        reason = reason if len(reason) <= 160 else reason[:157] + "..."
        raise TypeError(
            f"{name}: expected an array of {what}, got {called(kind)}, which gives none ({reason})"
            f"{_densifying(name, value)}"
        ) from error
    if not issubclass(type(array), np.ndarray):
        raise TypeError(
            f"{name}: expected an array of {what}, got {called(kind)} whose __array__ is {called(type(array))}"
        )
    if is_masked(array):
        raise TypeError(f"{name}: expected a plain array, got a masked one: {masked_cure(name)}")
    return array


def refuse_dtype(name: str, value: Any, got: object, what: str, dtype: str) -> NoReturn:
    """Raises TypeError for an array of another dtype than `what` says, `dtype` being the one to cast it to."""
    if name == "x" and (dtype, str(got)) == ("float32", "float64"):
        also = ", or make the layer with dtype=np.float64"
    else:
        also = ""
    raise TypeError(f"{name}: expected {what}, got {got}{_casting(name, value, got, dtype)}{also}")


def called(kind: type) -> str:
    """A class by its name, with its package's if that isn't Python."""
    package = _package(kind)
    return kind.__qualname__ if package in {"builtins", "__main__", ""} else f"{package}.{kind.__qualname__}"


def _package(kind: type) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def _of_numbers(name: str, value: Any, what: str, dtype: str) -> Array:
    """An array of a list, whatever numbers are in it: Python's and NumPy's, so that no other's code is run for it."""
    kinds = {type(one) for one in _flat(value)}
    if not all(issubclass(kind, np.generic) or kind in {bool, int, float} for kind in kinds):
        raise TypeError(f"{name}: expected numbers, {what}, got a list of other things")
    bools = kinds & {bool, np.bool_}
    if bools and kinds - bools:
        raise TypeError(f"{name}: expected numbers, {what}, got a list of some and of bools")
    try:
        array = np.array(value)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        raise TypeError(f"{name}: expected numbers, {what}, got lists of several lengths") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers, {what}, got a list that makes an array of {array.dtype}")
    return array if array.size else array.astype(dtype)


def _flat(value: Any) -> Iterator[Any]:
    """What is in a list, and in the lists that are in it."""
    for one in value:
        yield from _flat(one) if isinstance(one, (list, tuple)) else [one]


def _refuse_elsewhere(name: str, value: Any) -> None:
    """Raises TypeError for what says that it isn't in the CPU's memory."""
    kind, device, where = type(value), 0, ""
    with contextlib.suppress(Exception):  # what raises here may have an __array__ all the same
        device = int(value.__dlpack_device__()[0])
    with contextlib.suppress(Exception):
        device = device or (2 if value.__cuda_array_interface__ is not None else 0)
    if not device or device in HOSTS:
        return
    if _package(kind) == "torch":
        where, cure = f"on {value.device}", f": pass {name}.cpu()"
    else:
        where = f"on a {DEVICES[device]} device" if device in DEVICES else "on another device"
        cure = f": pass {name}.get()" if hasattr(kind, "get") else ": copy it there"
    raise TypeError(f"{name}: expected an array in CPU memory, got {called(kind)} {where}{cure}")


def _making(name: str, value: Any, dtype: str, takes: int) -> str:
    """What makes an array of an object that holds numbers and isn't one; begins with a colon, or is empty."""
    kind, second = type(value), f", np.{dtype}" if dtype else ""
    if hasattr(kind, "toarray"):  # SciPy's sparse ones
        return f": pass {name}.toarray()"
    if hasattr(kind, "to_numpy"):  # pandas, Polars
        return f": pass {name}.to_numpy({second[2:]})"
    if hasattr(kind, "detach") and hasattr(kind, "numpy"):  # a tensor
        return f": pass {name}.detach().numpy()"
    if isinstance(value, (list, tuple, Real)):
        alone = isinstance(value, Real) and takes == NUMBERS
        usual = f": pass a list such as [{shown(value)}]" if alone else f": pass np.array({name}{second})"
        return usual if isinstance(value, Real) else _joining(name, value, usual)
    if hasattr(kind, "__array__") or isinstance(value, memoryview) or hasattr(kind, "tobytes"):
        return f": pass np.asarray({name}{second})"
    return ""


def _joining(name: str, value: Any, usual: str) -> str:
    """What to do with a list or a tuple, where that isn't the usual: of arrays, of several shapes perhaps."""
    shapes = {one.shape for one in value if isinstance(one, np.ndarray)}
    if shapes and isinstance(value, tuple) and name in OF_ARRAYS:
        return OF_ARRAYS[name]
    if len(shapes) > 1:
        return ": recurra.pad(x) makes an array of sequences, and their lengths" if name == "x" else ""
    return usual


def _densifying(name: str, value: Any) -> str:
    """What makes one that `__array__` can give, or nothing."""
    kind = type(value)
    if _package(kind) == "torch":
        return "" if str(getattr(value, "layout", "")) in {"", "torch.strided"} else f": pass {name}.to_dense()"
    return f": pass {name}.todense()" if hasattr(kind, "todense") else ""


def _torch_cast(name: str, dtype: str) -> str:
    return f": pass {name}.{TORCH_CASTS.get(dtype or 'float32', f'to(torch.{dtype})')}"


def _casting(name: str, value: Any, got: Any, dtype: str) -> str:
    """What casts it, in the way of its package; rounding to a narrow type isn't a matter of casting."""
    package = _package(type(value))
    if dtype in {"", "int8", "uint16", "float16"}:
        return ""
    if package == "torch" and got.kind in "biuf":
        return _torch_cast(name, dtype)
    if package == "pandas" and got.kind in "biufO":
        return f': pass {name}.astype("{dtype.rstrip("_")}")'
    if isinstance(value, (list, tuple)):
        return f": pass np.array({name}, np.{dtype})"
    if got.kind not in "biuf" and str(got) != "bfloat16":
        return ""
    own = isinstance(value, np.ndarray) or hasattr(type(value), "astype")
    return f": pass {name}.astype(np.{dtype})" if own else f": pass np.asarray({name}, np.{dtype})"

"""Tensors of a file as arrays: every length is compared with the shape before anything is allocated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.weights.errors import FormatError

from .limits import MOST_AXES, MOST_BYTES

if TYPE_CHECKING:
    from recurra.module import Array

    from .external import External

# TensorProto's numbers of types: the dtype, and the field that has the numbers where there is no raw_data.
TYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    10: ("float16", "int32_data"),  # as the bits of uint16
    11: ("float64", "double_data"),
    12: ("uint32", "uint64_data"),
    13: ("uint64", "uint64_data"),
}
EXTERNAL = 1


def dtype_of(number: int, what: str) -> np.dtype[Any]:
    """The dtype of one of TensorProto's numbers of types."""
    if number not in TYPES:
        raise FormatError(f"{what}: expected numbers or bools, got type {number} of ONNX")
    return np.dtype(TYPES[number][0])


def array_of(tensor: Any, what: str, files: External | None) -> Array:
    """A TensorProto as an array that can't be written to.

    Args:
        tensor: the protobuf.
        what: what to call it in an error.
        files: where external data lies; None where the model is no file, so that there may be none.
    """
    dtype = dtype_of(tensor.data_type, what)
    shape = tuple(tensor.dims)
    if len(shape) > MOST_AXES or any(n < 0 for n in shape):
        raise FormatError(f"{what}: expected a shape of at most {MOST_AXES} sizes from 0 up, got {shape[:40]}")
    if tensor.HasField("segment"):
        raise FormatError(f"{what}: expected a whole tensor, got a segment of one")
    size = math.prod(shape)
    if size * dtype.itemsize > MOST_BYTES:
        raise FormatError(f"{what}: expected at most {MOST_BYTES:,} bytes, got shape {shape}")
    if tensor.data_location == EXTERNAL:
        if files is None:
            raise FormatError(f"{what}: expected data in the model itself, as it isn't a file, got it in another")
        array = files.array(tensor, what, size * dtype.itemsize, lambda data: _from_bytes(data, dtype, size, what))
    elif tensor.HasField("raw_data"):
        array = _from_bytes(tensor.raw_data, dtype, size, what)
    else:
        array = _from_field(tensor, dtype, size, what)
    array = array.reshape(shape)
    array.flags.writeable = False
    return array


def _from_bytes(data: bytes, dtype: np.dtype[Any], size: int, what: str) -> Array:
    if len(data) != size * dtype.itemsize:
        raise FormatError(f"{what}: expected {size * dtype.itemsize:,} bytes for its shape, got {len(data):,}")
    if dtype.kind == "b":  # a bool of another byte than 0 or 1 would be undefined
        flags: Array = np.frombuffer(data, np.uint8) != 0
        return flags
    array: Array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    return array


def _from_field(tensor: Any, dtype: np.dtype[Any], size: int, what: str) -> Array:
    field = TYPES[tensor.data_type][1]
    numbers = getattr(tensor, field)
    if len(numbers) != size:
        raise FormatError(f"{what}: expected {size:,} numbers in {field} for its shape, got {len(numbers):,}")
    values = np.array(numbers, {"float_data": np.float32, "double_data": np.float64}.get(field))
    if size == 0:
        return np.zeros(0, dtype)
    if dtype == np.float16:
        return values.astype(np.uint16).view(np.float16)
    return values.astype(dtype)

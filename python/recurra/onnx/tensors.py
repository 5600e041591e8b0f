"""Tensors of a file as arrays: every length is compared with the shape before anything is allocated."""

from __future__ import annotations

import math
import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.weights.errors import FormatError

from .limits import MOST_AXES, MOST_BYTES, text

if TYPE_CHECKING:
    from pathlib import Path

    from recurra.module import Array

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


def array_of(tensor: Any, what: str, folder: Path | None) -> Array:
    """A TensorProto as an array that can't be written to.

    Args:
        tensor: the protobuf.
        what: what to call it in an error.
        folder: where external data lies; None where there is no file, so that there may be none.
    """
    dtype = dtype_of(tensor.data_type, what)
    shape = tuple(tensor.dims)
    if len(shape) > MOST_AXES or any(n < 0 for n in shape):
        raise FormatError(f"{what}: expected a shape of at most {MOST_AXES} sizes from 0 up, got {shape[:40]}")
    if tensor.HasField("segment"):
        raise FormatError(f"{what}: expected a whole tensor, got a segment of one")
    size = math.prod(shape)
    if size * dtype.itemsize > MOST_BYTES and tensor.data_location != EXTERNAL:
        raise FormatError(f"{what}: expected at most {MOST_BYTES:,} bytes, got shape {shape}")
    if tensor.data_location == EXTERNAL:
        array = _from_bytes(_external(tensor, what, folder, size * dtype.itemsize), dtype, size, what)
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


def _external(tensor: Any, what: str, folder: Path | None, size: int) -> bytes:
    """The bytes of a tensor that lie in a file of their own, which has to be in the model's folder or below."""
    entries = {text(entry.key, what): text(entry.value, what) for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise FormatError(f"{what}: expected data in the model itself, as it isn't a file, got it in {location[:80]!r}")
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location or location.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise FormatError(f"{what}: expected external data in the model's folder, got {location[:80]!r}")
    home = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(home, *parts))  # noqa: PTH118 - follows links, to see where they lead
    if os.path.commonpath([home, path]) != home:
        raise FormatError(f"{what}: expected external data in the model's folder, got a link out of it, {location!r}")
    offset = _number(entries.get("offset", "0"), f"{what}: offset")
    length = _number(entries.get("length", str(size)), f"{what}: length")
    if length != size:
        raise FormatError(f"{what}: expected {size:,} bytes of external data for its shape, got {length:,}")
    try:
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{what}: expected a regular file, got {location!r}")
        if status.st_size < offset + size:
            raise FormatError(f"{what}: expected {offset + size:,} bytes in {location!r}, got {status.st_size:,}")
        with open(path, "rb") as file:  # noqa: PTH123
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise FormatError(f"{what}: expected external data in {location!r}, got {error.strerror}") from error


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FormatError(f"{what}: expected a whole number, got {text[:40]!r}")
    return int(text)

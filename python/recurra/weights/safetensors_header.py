"""The header of a safetensors file, checked before anything else is done with the file.

Eight bytes say how long it is; then comes JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
"__metadata__": {"key": "text"}}. Offsets count from the header's end, and the arrays fill the rest without gaps.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from recurra._checks import shown

from .errors import FormatError
from .strict_json import parse_json

MOST_HEADER = 2**23  # bytes: ten thousand layers' names, and read in 0.2 s
MOST_TENSORS = 2**15  # read in 0.5 s
MOST_AXES = 32  # NumPy's limit before 2.0
MOST_BYTES = 2**62
OTHERS = {  # what files of other formats begin with: none could be a header's length, which is up to 2**23
    b"PK\x03\x04": "a zip archive, as torch.save, numpy.savez and Keras write",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes",
    b"\x93NUMPY": "an array of numpy.save",
}
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind)
    for name, kind in {
        "BOOL": "bool", "U8": "u1", "I8": "i1", "U16": "u2", "I16": "i2", "U32": "u4", "I32": "i4", "U64": "u8",
        "I64": "i8", "F16": "f2", "F32": "f4", "F64": "f8",
    }.items()
}  # fmt: skip


class Header(NamedTuple):
    """What a file says it has."""

    arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]  # in the order of their places in the file
    metadata: dict[str, str]


def check_name(name: str) -> str:
    """What is wrong with a name of an array, or ""."""
    if not name or not name.isprintable() or ".." in name or name == "__metadata__" or len(name) > 1000:
        return f"expected names of printable characters, without .., got {shown(name)}"
    return ""


def read_header(begin: bytes, size: int) -> Header:
    """The header of a file of `size` bytes that begins with these, which include all of the header that is allowed.

    Raises:
        FormatError: it isn't one, or the arrays it names aren't what the rest of the file can be.
    """
    if len(begin) < 8:
        raise FormatError(f"expected a safetensors file, got {len(begin)} bytes, less than the length of a header")
    for magic, what in OTHERS.items():
        if begin.startswith(magic):
            raise FormatError(f"expected a safetensors file, got {what}")
    length = int.from_bytes(begin[:8], "little")
    if length > size - 8:
        raise FormatError(f"expected a header within the file's {size} bytes, got a length of {length}")
    if length > MOST_HEADER:
        raise FormatError(f"expected a header of up to {MOST_HEADER} bytes, got {length}")
    text = begin[8 : 8 + length]
    if not text.startswith(b"{"):
        raise FormatError(f"expected a header that begins with {{, got {shown(text[:8])}")
    if text.count(b"data_offsets") > MOST_TENSORS:
        raise FormatError(f"expected up to {MOST_TENSORS} arrays, got more")
    try:
        return _checked(parse_json(text, "header"), size - 8 - length)
    except RecursionError:  # of what quotes a value
        raise FormatError("header: expected JSON, got one nested too deeply") from None


def _checked(entries: dict[str, Any], size: int) -> Header:
    """What the header's JSON says, of `size` bytes of arrays."""
    metadata = _metadata(entries.pop("__metadata__", {}))
    places: list[tuple[int, int, str]] = []
    arrays = {}
    for name, entry in entries.items():
        if trouble := check_name(name):
            raise FormatError(trouble)
        dtype, shape, first, last = _entry(name, entry)
        arrays[name] = dtype, shape
        places.append((first, last, name))
    places.sort()
    end = 0
    for first, last, name in places:
        if first != end:
            raise FormatError(f"expected {shown(name)} to begin at {end}, where the array before it ends, got {first}")
        end = last
    if end != size:
        raise FormatError(f"expected {end} bytes of arrays after the header, got {size}")
    return Header({name: arrays[name] for _, _, name in places}, metadata)


def _metadata(value: object) -> dict[str, str]:
    if type(value) is not dict or not all(type(text) is str for text in value.values()):
        raise FormatError(f"expected texts by name as __metadata__, got {shown(value)}")
    return value


def _entry(name: str, entry: object) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """An array's dtype, shape and where its bytes begin and end."""
    if type(entry) is not dict or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"expected dtype, shape and data_offsets of {shown(name)}, got {shown(entry)}")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    dtype = DTYPES.get(kind) if type(kind) is str else None
    if dtype is None:
        raise FormatError(f"expected one of {', '.join(DTYPES)} as dtype of {shown(name)}, got {shown(kind)}")
    if type(shape) is not list or len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError(f"expected up to {MOST_AXES} lengths of axes as shape of {shown(name)}, got {shown(shape)}")
    if type(offsets) is not list or len(offsets) != 2 or not all(type(n) is int and n >= 0 for n in offsets):
        raise FormatError(f"expected a begin and an end as data_offsets of {shown(name)}, got {shown(offsets)}")
    if math.prod(n for n in shape if n) * dtype.itemsize > MOST_BYTES:  # NumPy counts so, also where an axis is empty
        raise FormatError(f"expected an array that memory can hold, got {shown(name)} of shape {shown(shape)}")
    first, last = offsets
    if last - first != math.prod(shape) * dtype.itemsize:
        expected = f"{math.prod(shape) * dtype.itemsize} bytes of {shown(name)}, {dtype} of shape {shown(shape)}"
        raise FormatError(f"expected {expected}, got data_offsets {shown(offsets)}")
    return dtype, tuple(shape), first, last

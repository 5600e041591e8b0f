"""Arrays and texts by name in one file of the safetensors format: written whole or not at all, read with suspicion."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import shown
from recurra._files import checked_path, checked_target, replace_file

from .errors import FormatError
from .safetensors_header import DTYPES, MOST_HEADER, MOST_TENSORS, check_name, read_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.module import Array


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Writes a file that `read_tensors`, and whatever else knows safetensors, reads.

    The file is written beside its place, is on the disk before it takes it, and takes it at once: whoever reads, or
    whatever crashes meanwhile, there is the old file or the new one. A symbolic link stays, and what it leads to is
    replaced; the permissions of a file that is replaced stay too.

    Args:
        path: where to.
        tensors: arrays of integers, bool or float16, float32, float64, of any shape and strides.
        metadata: texts by name.

    Raises:
        ImportError: without safetensors.
        TypeError, ValueError: a name, an array or a text can't be written; nothing is touched then.
        OSError: the file can't be written; what was there still is.
    """
    content = _serialized(tensors, metadata)
    target, mode = checked_target("path", path)
    replace_file(target, content, mode)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """What `write_tensors` wrote, or any other safetensors file of dtypes that NumPy has.

    Returns:
        The arrays, each with memory of its own, writeable and C-contiguous; and the metadata.

    Raises:
        ImportError: without safetensors.
        FormatError: the file isn't of the format, is damaged, or asks for more than a model needs.
        OSError: there is no such file, or it can't be read.
    """
    library = _library()
    name = checked_path("path", path)
    if not stat.S_ISREG(os.stat(name).st_mode) and not os.path.isdir(name):  # noqa: PTH112, PTH116 (a pipe would wait)
        raise FormatError(f"{name!r}: expected a regular file, got something else")
    with open(name, "rb") as file:  # noqa: PTH123
        size = os.fstat(file.fileno()).st_size
        try:
            header = read_header(file.read(8 + MOST_HEADER), size)
        except FormatError as error:
            raise FormatError(f"{name!r}: {error}") from None
        file.seek(0)
        content = file.read()
    try:
        arrays = library.load(content)
        if {key: (value.dtype, value.shape) for key, value in arrays.items()} != header.arrays:
            raise ValueError("the header says something else than the arrays")
    except Exception as error:  # whatever the library makes of what the checks haven't found
        raise FormatError(f"{name!r}: expected a safetensors file, got one that can't be read: {error}") from error
    for key, array in arrays.items():
        if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
            raise FormatError(f"{name!r}: expected bytes 0 and 1 in {shown(key)}, which is of bool, got others")
    return {key: np.array(arrays[key], order="C") for key in header.arrays}, header.metadata


def _serialized(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    library = _library()
    ready = {}
    for name, array in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"tensors: expected names that are str, got {shown(name)}")
        if trouble := check_name(name):
            raise ValueError(f"tensors: {trouble}")
        if not isinstance(array, (np.ndarray, np.generic)):
            raise TypeError(f"{name}: expected a numpy.ndarray, got {type(array).__name__}")
        native = array.dtype.newbyteorder("=")
        if native not in DTYPES.values():
            raise TypeError(f"{name}: expected integers, bool or floats of up to 64 bits, got {array.dtype}")
        ready[name] = np.array(array, native, order="C")  # a copy, which no other thread can resize meanwhile
    for key, text in metadata.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"metadata: expected str by str, got {shown(text)} by {shown(key)}")
        try:
            (key + text).encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"metadata: expected text that UTF-8 can hold, got {shown(text)} by {shown(key)}"
            ) from None
    if len(ready) > MOST_TENSORS:
        raise ValueError(f"tensors: expected up to {MOST_TENSORS}, got {len(ready)}")
    content: bytes = library.save(ready, dict(metadata))
    length = int.from_bytes(content[:8], "little")
    if length > MOST_HEADER:
        raise ValueError(f"tensors, metadata: expected up to {MOST_HEADER} bytes of names and texts, got {length}")
    return content


def _library() -> Any:
    try:
        from safetensors import numpy
    except ImportError:
        raise ImportError(
            "safetensors: expected the package safetensors, which is missing: pip install 'recurra[safetensors]'"
        ) from None
    return numpy

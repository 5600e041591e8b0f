"""Tensors that lie in files beside the model's: they may take no more memory than those files have bytes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from recurra.weights.errors import FormatError

from .limits import text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recurra.module import Array

    from .limits import Budget


class External:
    """The files in a model's folder and below; what several tensors share is read once.

    Args:
        folder: where they lie.
        budget: what has to grow by the bytes that are read.
    """

    def __init__(self, folder: Path, budget: Budget) -> None:
        self._home = os.path.realpath(folder)
        self._budget = budget
        self._read: dict[tuple[int, int], int] = {}  # bytes, by the file, which may have several names
        self._arrays: dict[tuple[int, int, int, int, int], Array] = {}

    def array(self, tensor: Any, what: str, size: int, made: Callable[[bytes], Array]) -> Array:
        """What `made` makes of a tensor's `size` bytes.

        Raises:
            FormatError: they aren't there, or tensors that overlap would take more memory than the file has bytes.
        """
        entries = {text(entry.key, what): text(entry.value, what) for entry in tensor.external_data}
        location = entries.get("location", "")
        path = self._path(location, what)
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
            file_of = status.st_dev, status.st_ino
            key = (*file_of, offset, size, tensor.data_type)
            if key not in self._arrays:
                read = self._read[file_of] = self._read.get(file_of, 0) + size
                if read > status.st_size:
                    raise FormatError(
                        f"{what}: expected tensors that share all their bytes in {location!r} or none, got {read:,} "
                        f"bytes of {status.st_size:,}"
                    )
                with open(path, "rb") as file:  # noqa: PTH123
                    file.seek(offset)
                    self._arrays[key] = made(file.read(size))
                self._budget.add_stored(size)
        except OSError as error:
            raise FormatError(f"{what}: expected external data in {location!r}, got {error.strerror}") from error
        return self._arrays[key]

    def forget(self) -> None:
        """Lets go of what was read: the nodes keep this as long as the network is."""
        self._arrays.clear()

    def _path(self, location: str, what: str) -> str:
        parts = location.replace("\\", "/").split("/")
        if not location or "\0" in location or location.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise FormatError(f"{what}: expected external data in the model's folder, got {location[:80]!r}")
        path = os.path.realpath(os.path.join(self._home, *parts))  # noqa: PTH118 - follows links, to see where they lead
        if os.path.commonpath([self._home, path]) != self._home:
            raise FormatError(
                f"{what}: expected external data in the model's folder, got a link out of it, {location!r}"
            )
        return path


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FormatError(f"{what}: expected a whole number, got {text[:40]!r}")
    return int(text)

"""Paths, and files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from errno import EINVAL, ELOOP

from ._checks import shown


def checked_path(name: str, path: object) -> str:
    """A path that there can be, as a string.

    Raises:
        TypeError, ValueError: it is none.
    """
    try:
        text = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]
        encoded = os.fsencode(text)
    except TypeError:
        model = hasattr(path, "state_dict")
        hint = ": export_c(model, path) and to_onnx(model, path) take the model first" if model else ""
        raise TypeError(f"{name}: expected a path, got {shown(path)}{hint}") from None
    except UnicodeError:
        raise ValueError(f"{name}: expected a path that can be encoded, got {shown(path)}") from None
    if b"\0" in encoded:
        raise ValueError(f"{name}: expected a path without null characters, got {shown(path)}")
    return str(text)


def checked_target(name: str, path: object) -> tuple[str, int | None]:
    """Where a file may be written: its path without symbolic links, and the permissions of the one that is there.

    Raises:
        TypeError, ValueError: it is no path.
        OSError: no file can be written there.
    """
    given = checked_path(name, path)
    target = os.path.realpath(given)
    if not given:
        raise FileNotFoundError(f"{name}: expected a file, got ''")
    folder = os.path.dirname(target)
    mode = None
    with suppress(FileNotFoundError):
        found = os.lstat(target)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(ELOOP, os.strerror(ELOOP), given)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(f"{name}: expected a file, got a folder, {shown(given)}")
        if not stat.S_ISREG(found.st_mode):
            raise OSError(EINVAL, f"{name}: expected a regular file", given)
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{name}: expected a file that may be written to, got {shown(given)}")
        mode = stat.S_IMODE(found.st_mode)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{name}: expected a path in a folder that is there, got {shown(given)}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{name}: expected a folder that may be written to, got {shown(folder)}")
    return target, mode


def replace_file(target: str, content: bytes, mode: int | None) -> None:
    """Puts a file of that content in the place of another, whose mode it gets; None: a new one's."""
    folder = os.open(os.path.dirname(target), os.O_RDONLY)
    try:
        beside = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.recurra")
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(file, "wb") as stream:  # it closes the descriptor
                if mode is not None:
                    os.fchmod(file, mode)
                stream.write(content)
                stream.flush()
                os.fsync(file)
            os.replace(beside, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(beside)
            raise
        with suppress(OSError):  # some file systems can't; the file is in its place all the same
            os.fsync(folder)
    finally:
        os.close(folder)

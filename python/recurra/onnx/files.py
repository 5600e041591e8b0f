"""A model from a path, from bytes or as it is: parsed by the package onnx, and small enough to be looked at."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from recurra._files import checked_path
from recurra.weights.errors import FormatError

from .limits import MOST_BYTES, MOST_NODES, MOST_TENSORS
from .package import onnx_package


def model_of(source: Any) -> tuple[Any, Path | None]:
    """The ModelProto, and the folder of its file, if it is one.

    Raises:
        TypeError: it is no path, bytes or ModelProto.
        OSError: there is no such file, or it can't be read.
        FormatError: it isn't an ONNX model, or larger than any network.
    """
    onnx = onnx_package("from_onnx")
    if isinstance(source, onnx.ModelProto):
        model, folder = source, None
    elif isinstance(source, bytes):
        model, folder = _parsed(onnx, source, "model"), None
    elif isinstance(source, (str, os.PathLike)):
        path = Path(checked_path("model", source))
        model, folder = _parsed(onnx, _read(path), path.name), path.parent
    else:
        raise TypeError(f"model: expected a path, bytes or an onnx.ModelProto, got {type(source).__name__}")
    graph = model.graph
    for what, number, most in (
        ("nodes", len(graph.node), MOST_NODES),
        ("initializers", len(graph.initializer), MOST_TENSORS),
        ("inputs", len(graph.input), MOST_TENSORS),
        ("outputs", len(graph.output), MOST_TENSORS),
    ):
        if number > most:
            raise FormatError(f"model: expected at most {most:,} {what}, got {number:,}")
    return model, folder


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(f"model: expected a regular file, got {str(path)!r}")
    if status.st_size > MOST_BYTES:
        raise FormatError(f"model: expected a file of at most {MOST_BYTES:,} bytes, got {status.st_size:,}")
    return path.read_bytes()


def _parsed(onnx: Any, data: bytes, name: str) -> Any:
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError) as error:
        raise FormatError(f"model: expected an ONNX file, got {name!r}, which isn't one: {error}") from error
    if not model.HasField("graph"):
        raise FormatError(f"model: expected an ONNX file with a graph, got {name!r} without one")
    return model

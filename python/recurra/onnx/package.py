"""The package `onnx`, which reads and writes the protobuf, imported when a model is read or written."""

from __future__ import annotations

from typing import Any


def onnx_package(function: str) -> Any:
    """The package.

    Args:
        function: which public function asks for it.

    Raises:
        ImportError: it is missing.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError(f"{function}: expected onnx, which is missing: pip install 'recurra[onnx]'") from None
    return onnx

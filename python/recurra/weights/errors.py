"""The one kind of error that a file which can't be read as what it should be leads to."""

from __future__ import annotations


class FormatError(ValueError):
    """A file isn't what it should be: truncated, inconsistent, of another format, or with what can't be computed.

    `load` and `from_onnx` raise it before anything is changed. The message names the file or the node, and the trouble.

    Example:
        >>> try:
        ...     recurra.from_onnx(b"no model")
        ... except recurra.FormatError as error:
        ...     print(isinstance(error, ValueError), str(error).partition(", got")[0])
        True model: expected an ONNX file
    """

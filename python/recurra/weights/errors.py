"""The one kind of error that a file which can't be read as what it should be leads to."""

from __future__ import annotations


class FormatError(ValueError):
    """A file isn't what it should be: truncated, inconsistent, or of another format. The message names the trouble."""

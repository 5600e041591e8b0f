"""What a check has found, and the lines that say so."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from typing import TextIO

LEVELS = ("ok", "warning", "fault")
COLOURS = {"ok": "32", "warning": "33", "fault": "31"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        check: which check it is of.
        level: "ok"; "warning", what may be meant but costs something; "fault", what has to be mended.
        text: what was found, with the figures.
        cure: what to do about it; of an "ok", what else to know.
    """

    check: str
    level: str
    text: str
    cure: str = ""


def lines(finding: Finding, width: int, colour: bool) -> list[str]:
    """The finding, its cure underneath, in lines of at most `width` characters."""
    level = f"{finding.level:8}"
    if colour:
        level = f"\x1b[{COLOURS[finding.level]}m{level}\x1b[0m"
    first, *more = wrapped(finding.text, width - 18)
    made = [f"{level} {finding.check:8} {first}", *(" " * 18 + line for line in more)]
    for k, line in enumerate(wrapped(finding.cure, width - 21)):
        made.append(" " * 18 + ("-> " if k == 0 else "   ") + line)
    return made


def wrapped(text: str, width: int) -> list[str]:
    """Without breaking words, as commands and paths are to be copied."""
    return textwrap.wrap(text, max(width, 40), break_long_words=False, break_on_hyphens=False)


def coloured(stream: TextIO | None) -> bool:
    """Whether a stream gets colours: a terminal does, unless NO_COLOR is set. None is one that was closed."""
    return (
        stream is not None and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )

"""Fills the code blocks of docs/ko/learn.md with those of docs/learn.md, in order: `python docs/ko/blocks.py`.

After a change of the English page's code; a new block has to be put into the Korean page first, empty.
"""

import re
from pathlib import Path

KOREAN = Path(__file__).with_name("learn.md")
ENGLISH = KOREAN.parents[1] / "learn.md"
BLOCK = re.compile(r"^```\w*\n(?:.*?\n)??```$", re.MULTILINE | re.DOTALL)


def sections(page):
    """The parts of a page that begin with its headings."""
    return re.split(r"^(?=## )", page, flags=re.MULTILINE)


def filled(korean, english):
    """The Korean page with the English page's blocks."""
    for ours, theirs in zip(sections(korean), sections(english), strict=True):
        have, expected = len(BLOCK.findall(ours)), len(BLOCK.findall(theirs))
        if have != expected:
            raise ValueError(f"{ours.splitlines()[0]}: expected {expected} fenced blocks, got {have}")
    blocks = iter(BLOCK.findall(english))
    return BLOCK.sub(lambda _: next(blocks), korean)


if __name__ == "__main__":
    KOREAN.write_text(filled(KOREAN.read_text("utf-8"), ENGLISH.read_text("utf-8")), "utf-8")

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
    ours, theirs = sections(korean), sections(english)
    if len(ours) != len(theirs):
        raise ValueError(f"docs/ko/learn.md: expected {len(theirs)} sections, got {len(ours)}")
    for section, counterpart in zip(ours, theirs, strict=True):
        expected, have = (len(BLOCK.findall(part)) for part in (counterpart, section))
        if have != expected:
            raise ValueError(f"{section.splitlines()[0]}: expected {expected} fenced blocks, got {have}")
    blocks = iter(BLOCK.findall(english))
    return BLOCK.sub(lambda _: next(blocks), korean)


if __name__ == "__main__":
    KOREAN.write_text(filled(KOREAN.read_text("utf-8"), ENGLISH.read_text("utf-8")), "utf-8")

"""docs/ko/learn.md goes with docs/learn.md: the same code, pictures, formulas and numbers in the same sections."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from test_examples import test_links_lead_somewhere as check_links

DOCS = Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("blocks", DOCS / "ko" / "blocks.py")
blocks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(blocks)

# Words of formulas that are Korean there.
TRANSLATED = r"\b(both ways|column|deep|directly|forward|of|quantile|reverse|the)\b"


def contents(path):
    """Of each section, by the beginning of its heading, what is the same in all languages but for its order: sorted."""
    found = {}
    for section in blocks.sections(path.read_text("utf-8")):
        text = blocks.BLOCK.sub("", section)
        formulas = re.sub(TRANSLATED, "", "".join(re.findall(r"^    .*", text, re.MULTILINE)))
        links = [path.parent / link for link in re.findall(r"\]\(([^)]+)\)", text)]
        prose = re.sub(r"^    .*|\]\([^)]+\)", "", text, flags=re.MULTILINE)
        parts = {
            "links and pictures": [link.resolve() for link in links if link.name != "learn.md"],
            "formulas": re.findall(r"[A-Za-z]+|[^\sA-Za-z가-힣]", formulas),
            "code in prose": re.findall(r"`[^`]+`", prose),
            "numbers": re.findall(r"\d+(?:\.\d+)*", prose),
            "rows of tables": re.findall(r"^\|", prose, re.MULTILINE),
        }
        found[re.match(r"## \d+\.|# ", section)[0]] = {kind: sorted(part) for kind, part in parts.items()}
    return found


def test_the_code_is_the_english_pages():
    """Byte for byte; `python docs/ko/blocks.py` makes it so."""
    korean, english = (path.read_text("utf-8") for path in (blocks.KOREAN, blocks.ENGLISH))
    assert blocks.BLOCK.findall(korean) == re.findall(r"^```\w+\n.*?^```$", english, re.MULTILINE | re.DOTALL)
    assert blocks.filled(korean, english) == korean


def test_sections_correspond():
    korean = contents(blocks.KOREAN)
    assert len(korean) == 17
    assert korean == contents(blocks.ENGLISH)


def test_links_lead_somewhere():
    check_links(blocks.KOREAN)


def test_blocks_are_filled_in_their_sections():
    english = "# A\n```text\nnew\n```\n## 1. B\nprose\n```python\nx = 1\n```\n```python\ny = 2\n```\n"
    korean = "# 가\n```text\nold\n```\n## 1. 나\n글\n```python\n```\n```python\n\n```\n"
    filled = "# 가\n```text\nnew\n```\n## 1. 나\n글\n```python\nx = 1\n```\n```python\ny = 2\n```\n"
    assert blocks.filled(korean, english) == filled
    with pytest.raises(ValueError, match=r"^## 1\. 나: expected 2 fenced blocks, got 1$"):
        blocks.filled(korean.replace("```python\n```\n", ""), english)
    with pytest.raises(ValueError, match=r"^docs/ko/learn\.md: expected 2 sections, got 3$"):
        blocks.filled(korean + "## 2. 다\n", english)

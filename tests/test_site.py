"""The reference in docs/api has all that is public, and what checks the built site finds what is wrong."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from public_names import MODULES, NEIGHBOURS, public

ROOT = Path(__file__).parents[1]


def described(pages):
    """What the directives of the pages name, and of modules whose members are shown those."""
    shown = {}
    for page in pages:
        text = page.read_text()
        for name in re.findall(r"^ *\.\. auto(?:class|function|exception):: ([\w.]+)", text, re.MULTILINE):
            module, _, attribute = name.rpartition(".")
            shown[id(getattr(importlib.import_module(module), attribute))] = name
        for name, options in re.findall(r"^\.\. automodule:: ([\w.]+)\n((?: +:.*\n)*)", text, re.MULTILINE):
            if ":no-members:" not in options:
                shown |= {id(value): name for name, value in public([name.removeprefix("recurra").lstrip(".")]).items()}
    return shown


def test_the_reference_has_every_public_name():
    shown = described(page for page in (ROOT / "docs" / "api").glob("*.md") if page.stem not in NEIGHBOURS)
    assert [name for name, value in public(MODULES).items() if id(value) not in shown] == []


@pytest.mark.parametrize("module", NEIGHBOURS)
def test_the_reference_has_what_needs_a_neighbour(module):
    pytest.importorskip(NEIGHBOURS[module])
    shown = described([ROOT / "docs" / "api" / f"{module}.md"])
    assert [name for name, value in public([module]).items() if id(value) not in shown] == []


def test_links_of_a_site_are_checked(tmp_path):
    file = ROOT / ".ci" / "site_links.py"
    if not file.exists():
        pytest.skip("a source distribution has no .ci")
    spec = importlib.util.spec_from_file_location("site_links", file)
    links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(links)
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    good = ["b.html", "b.html#here", "#top", "https://example.org/x", "mailto:me@example.org"]
    page = '<p id="top"></p>{}<script src="s.js"></script><link rel="canonical" href="https://example.org/a.html">'
    (tmp_path / "s.js").write_text("")
    (tmp_path / "a.html").write_text(page.format("".join(f'<a href="{link}"></a>' for link in good)))
    assert links.faults(tmp_path) == []
    bad = [
        '<a href="c.html">',
        '<a href="b.html#there">',
        '<a href="https://">',
        '<img src="https://example.org/i.png">',
    ]
    (tmp_path / "a.html").write_text(page.format("".join(bad)))
    assert [fault.split(": ")[1].split()[-1] for fault in links.faults(tmp_path)] == [
        "there",
        "anchor",
        "address",
        "https://example.org/i.png",
    ]

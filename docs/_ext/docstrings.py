"""What the docstrings leave to be understood: indented blocks are shown as they stand, |e| and *= are no markup."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# Sections whose items are indented, so that what is indented further is their text.
ITEMS = re.compile(r"(Args|Arguments|Attributes|Keyword Args|Other Parameters|Raises|Returns|Warns|Yields):$")

STARS = re.compile(r"(?<![\w*\\])(\*{1,2})(?=[\w=.])(?!.*[^\s*(]\*+(?![\w.=]))")  # that begin nothing
RESULT = re.compile(r"(Returns|Yields):$")
COLON = "\ue000"  # for one that separates no type from a description


def indent_of(line: str) -> int:
    """The number of spaces at its beginning."""
    return len(line) - len(line.lstrip())


def is_python(text: str) -> bool:
    """Whether it is code and no equation."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def escaped(line: str) -> str:
    """Bars and lone stars as they are, outside of backticks."""
    parts = line.split("`")
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(r"(?<!\\)\|", r"\|", parts[k])
        parts[k] = STARS.sub(lambda stars: stars[1].replace("*", r"\*"), parts[k])
    return "`".join(parts)


def join_names(lines: list[str]) -> None:
    """Names of arguments that go on in the next line, before the colon, are put into one."""
    for i in range(len(lines) - 2, -1, -1):
        if re.fullmatch(r"\s+\w+(, \w+)*,", lines[i]) and re.match(r"\s+\w+(, \w+)*: ", lines[i + 1]):
            lines[i : i + 2] = [f"{lines[i]} {lines[i + 1].lstrip()}"]


def mark_blocks(_app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """An indented block after an empty line becomes a block of Python or of text, but for that of a directive."""
    join_names(lines)
    if what in {"property", "attribute", "data"} and lines:
        lines[0] = lines[0].replace(":", COLON)  # or napoleon takes what is before it for a type
    result: list[str] = []
    section = -1  # the indentation of the header of a section of items that we are in
    last, i, typed = "", 0, False  # typed: within what a session shows
    while i < len(lines):
        line = lines[i]
        if line.strip() and section >= 0 and indent_of(line) <= section:
            section = -1
        if ITEMS.match(line.strip()):
            section = indent_of(line)
        if RESULT.match(last.strip()) and section >= 0:
            line = line.replace(":", COLON)  # a sentence: types are in the signature
        begins = line.strip() and last and i and not lines[i - 1].strip() and indent_of(line) > indent_of(last)
        if not begins or section >= 0 or last.lstrip().startswith(("..", "- ", "* ")) or line.lstrip()[:3] == ">>>":
            typed = bool(line.strip()) and (typed or line.lstrip().startswith(">>>"))
            result.append(line if typed else escaped(line))
            last = line if line.strip() else last
            i += 1
            continue
        end = i
        while end < len(lines) and (not lines[end].strip() or indent_of(lines[end]) > indent_of(last)):
            end += 1
        block = textwrap.dedent("\n".join(lines[i:end])).rstrip().split("\n")
        if last.rstrip().endswith("::"):
            mark = max(k for k, text in enumerate(result) if text.strip())
            result[mark] = result[mark].rstrip()[:-1] if result[mark].strip() != "::" else ""
        margin = " " * indent_of(last)
        language = "python" if is_python("\n".join(block)) else "text"
        result += [f"{margin}.. code-block:: {language}", "", *(f"{margin}   {text}".rstrip() for text in block), ""]
        last, i = margin + "x", end
    lines[:] = result


def restore_colons(_app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """After napoleon."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def add_formula(_app: Sphinx, what: str, name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """Of a published cell its formula as it is written, which is what there is to read and to copy."""
    if what == "class" and name.startswith("recurra.cells.") and hasattr(obj, "function"):
        source = textwrap.dedent(inspect.getsource(obj.function))
        source = source.replace(ast.get_source_segment(source, ast.parse(source).body[0].body[0]), "", 1)
        text = re.sub(r":\n\s*\n", ":\n", source, count=1)
        lines[:] = [line for line in lines if line != "Arguments as for `recurra.FormulaLayer`."]  # said once
        lines += [".. code-block:: python", "", *(f"   {line}".rstrip() for line in text.split("\n")), ""]


def shorten(_app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> tuple[str, str] | None:
    """Published cells have the arguments of all layers, sixty times; what is a result isn't made by its reader."""
    if what == "class" and name.startswith("recurra.cells."):
        return "(…)", ""
    return ("", "") if what == "class" and (is_dataclass(obj) or hasattr(obj, "_fields")) else None


def leave_out(_app: Sphinx, _what: str, _name: str, obj: Any, *_: Any) -> bool | None:
    """Fields of a tuple, whose docstring is their number: those of its class say what they are."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx; before napoleon, which understands sections but not this."""
    app.connect("autodoc-process-docstring", mark_blocks, priority=100)
    app.connect("autodoc-process-docstring", restore_colons, priority=900)
    app.connect("autodoc-process-docstring", add_formula, priority=900)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

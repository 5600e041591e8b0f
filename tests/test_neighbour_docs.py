"""docs/neighbours: every page runs as it stands, and prints what it shows; its tables are those of the code.

Blocks of Python are one program, but for those that begin with a file's name, which the commands in blocks of `sh` run.
What a line prints stands behind it, `# 3`, or in the block of `text` below.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

import pytest

from recurra import _lazy
from recurra.weights.orders import ORDERS
from test_examples import test_links_lead_somewhere as check_links

PAGES = sorted((Path(__file__).parents[1] / "docs" / "neighbours").glob("*.md"))
NEEDED = ("torch", "keras", "onnx", "onnxruntime", "sklearn", "scipy", "pandas", "joblib", "mpi4py", "safetensors")
README = next(page for page in PAGES if page.name == "README.md").read_text()

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def blocks(page):
    """(language, contents) of all fenced blocks."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def parts(page):
    """The program, the files by name, and the commands; the program and each command with the lines that they print."""
    code, shown, written, commands = [], [], {}, []
    printing = shown
    for language, text in blocks(page):
        if language == "python" and (name := re.match(r"# (\w+\.py)\n", text)):
            written[name[1]] = text
        elif language == "python":
            code.append(text)
            shown += re.findall(r"^ *print\(.*\)  # (.*)$", text, re.MULTILINE)
            printing = shown
        elif language == "sh":
            commands.append((text.splitlines(), []))
            printing = commands[-1][1]
        elif language == "text":
            printing += text.splitlines()
    return "\n".join(code), shown, written, commands


def skip_without_neighbours(page):
    text = page.read_text()
    used = [name for name in NEEDED if re.search(rf"^ *(import|from) [\w., ]*\b{name}\b", text, re.MULTILINE)]
    if re.search(r"\bsave\(|checkpoint=", text):
        used.append("safetensors")
    for name in used:
        if find_spec(name) is None:
            pytest.skip(f"needs {name}")


def lines_of(command, folder, text=""):
    env = os.environ | {"OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch"}
    if library := mpi_files().get("libmpi.so.12"):
        env["LD_LIBRARY_PATH"] = f"{library.parent}:{env.get('LD_LIBRARY_PATH', '')}"
    result = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=100, check=False, env=env, cwd=folder
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def mpi_files():
    """The files of pip's MPI by name; it may lie in a folder of its own, beside another interpreter."""
    try:
        return {file.name: Path(file.locate()).resolve() for file in files("mpich") or ()}
    except PackageNotFoundError:
        return {}


def words_of(line):
    """A command; what pip puts beside an interpreter needn't be on the path."""
    name, *arguments = [sys.executable if word == "python" else word for word in line.split()]
    if name == "torchrun":
        return [sys.executable, "-m", "torch.distributed.run", *arguments]
    return [str(mpi_files().get(name, name)), *arguments]


@every_page
def test_a_page_prints_what_it_shows(page, tmp_path):
    skip_without_neighbours(page)
    code, shown, written, commands = parts(page)
    assert len(shown) + len(commands) >= 3  # or nothing would be compared
    if code:
        assert lines_of([sys.executable, "-"], tmp_path, code) == shown
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    for lines, expected in commands:
        printed = []
        for line in lines:
            printed += lines_of(words_of(line), tmp_path)
        assert printed == expected


@every_page
def test_links_lead_somewhere(page):
    check_links(page)


def test_every_page_is_in_the_index_and_the_index_in_the_documentation():
    assert {page.name for page in PAGES} == {"README.md", *re.findall(r"^\| \[([\w-]+\.md)\]", README, re.MULTILINE)}
    root = Path(__file__).parents[1]
    assert "docs/neighbours/README.md" in (root / "README.md").read_text()
    assert "neighbours/README.md" in (root / "docs" / "api" / "index.md").read_text()


def row(name):
    (cells,) = re.findall(rf"^\| {name} \| (.*) \|$", README, re.MULTILINE)
    return cells.split(" | ")


@pytest.mark.parametrize(("name", "kind"), [("gates of an LSTM", "LSTM"), ("gates of a GRU", "GRU")])
def test_the_table_has_the_orders_of_gates(name, kind):
    assert [order.replace(" ", "") for order in row(name)] == [
        ORDERS[framework][kind] for framework in ("recurra", "torch", "keras", "onnx")
    ]


def test_pages_name_all_that_needs_a_neighbour():
    text = "".join(page.read_text() for page in PAGES)
    names = _lazy.HOMES.keys() - {"cells", "compare", "compress", "export_c", "narrow", "reference", "schedules"}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", text)] == []

"""Do the versions fit: NumPy's, the compiled half's and the Python half's, and is there one recurra only?"""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np

import recurra
from recurra import _core

from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

AGAIN = "pip install --force-reinstall recurra"


def check() -> list[Finding]:
    """NumPy, the build, where it comes from, and other installations."""
    try:
        found = metadata.distribution("recurra")
    except metadata.PackageNotFoundError:
        cure = "pip install it, rather than having its folder on sys.path: versions and options go by pip's records"
        return [Finding("versions", "warning", "pip knows no installation of recurra", cure)]
    source = editable_source(found.read_text("direct_url.json"))
    return [
        numpy(np.__version__, found.requires or []),
        halves(recurra.__version__, found.version, Path(_core.__file__)),
        flags(recurra.build_info()["flags"], wheel_tag(found.read_text("WHEEL"))),
        *(stale(source, Path(_core.__file__)) if source else []),
        *several(sys.path, Path(recurra.__file__)),
    ]


def numpy(version: str, requires: Iterable[str]) -> Finding:
    """Against the least that recurra's metadata asks for."""
    asked = [match[1] for text in requires if (match := re.match(r"numpy\s*>=\s*([\d.]+)\s*$", text))]
    least = asked[0] if asked else "0"
    if release(version) < release(least):
        text = f"NumPy {version} is older than {least}, the oldest that recurra works with"
        return Finding("versions", "fault", text, f"pip install 'numpy>={least}'")
    return Finding("versions", "ok", f"NumPy {version}; {least} or newer is needed")


def release(version: str) -> tuple[int, ...]:
    """ "1.26.4rc1" -> (1, 26, 4)."""
    return tuple(int(match[0]) for part in version.split(".")[:3] if (match := re.match(r"\d+", part)))


def halves(compiled: str, recorded: str, core: Path) -> Finding:
    """The compiled half is for this Python, and of the version that pip installed."""
    tag = sysconfig.get_config_var("EXT_SUFFIX") or ""
    if compiled != recorded:
        text = f"the compiled half is of version {compiled}, pip's record says {recorded}"
        return Finding("versions", "fault", text, AGAIN)
    if tag and not core.name.endswith(tag) and ".abi3." not in core.name:
        return Finding("versions", "fault", f"{core.name} isn't for this Python, whose modules end in {tag}", AGAIN)
    return Finding("versions", "ok", f"recurra {compiled} ({core})")


def wheel_tag(text: str | None) -> str:
    """ "cp311-cp311-linux_x86_64", from the file WHEEL; empty if there is none."""
    match = re.search(r"^Tag: (.+)$", text or "", re.MULTILINE)
    return match[1] if match else ""


def flags(compiled_with: str, tag: str) -> Finding:
    """Optimised, and without what changes bits or ties the build to one CPU."""
    own = tag.endswith(("linux_x86_64", "linux_aarch64")) and "manylinux" not in tag and "musllinux" not in tag
    origin = "built here from source" if own else "a wheel" if tag else "of unknown origin"
    wrong = [flag for flag in ("-ffast-math", "-Ofast", "-march=native", "-mcpu=native") if flag in compiled_with]
    if wrong:
        cure = (
            "build without it: fast mathematics change bits, and code for one CPU crashes on others. Look for CXXFLAGS"
        )
        return Finding("versions", "fault", f"compiled with {', '.join(wrong)}", cure)
    levels = re.findall(r"[-/]O([0-3sdgz])\b", compiled_with.partition(" (")[0])  # an ISA's own are in brackets
    if levels[-1:] not in (["2"], ["3"]):
        cure = "install it without -C cmake.define.RECURRA_OPTIMIZE"
        return Finding("versions", "warning", f"compiled without optimisation ({compiled_with})", cure)
    compiler = recurra.build_info()["compiler"]
    return Finding("versions", "ok", f"{origin} by {compiler}, optimised" + (f" ({tag})" if tag else ""))


def editable_source(direct_url: str | None) -> Path | None:
    """The folder of an editable installation, from pip's record of where it came from."""
    record: Any = json.loads(direct_url or "{}")
    if not record.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlparse(record["url"]).path))


def stale(source: Path, core: Path) -> list[Finding]:
    """Whether C++ files of an editable installation are newer than what was compiled of them."""
    files = [*source.glob("csrc/**/*.h"), *source.glob("csrc/**/*.cpp"), source / "CMakeLists.txt"]
    newer = [file for file in files if file.exists() and file.stat().st_mtime > core.stat().st_mtime]
    if not newer:
        return [Finding("versions", "ok", f"editable, from {source}, and up to date")]
    first = max(newer, key=lambda file: file.stat().st_mtime).relative_to(source)
    text = f"editable, from {source}: {len(newer)} files are newer than the compiled half, {first} the newest"
    return [Finding("versions", "warning", text, f"pip install --no-build-isolation -e {source}")]


def several(path: Sequence[str], used: Path) -> list[Finding]:
    """Other folders on sys.path that have a recurra: which one is imported depends on their order."""
    folders = dict.fromkeys(Path(entry or ".").resolve() for entry in path)
    here = used.resolve().parent
    others = [
        str(folder)
        for folder in folders
        if ((folder / "recurra" / "__init__.py").is_file() and (folder / "recurra").resolve() != here)
    ]
    records = [str(record) for folder in folders if folder.is_dir() for record in folder.glob("recurra-*.dist-info")]
    if not others and len(records) <= 1:
        return []
    text = f"{here.parent} is imported, but there is also {', '.join(others or records)}"
    cure = "pip uninstall recurra until it finds none, then install it once; or run Python in another directory"
    return [Finding("versions", "warning", text, cure)]

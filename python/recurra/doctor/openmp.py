"""Which OpenMP libraries are in one process with recurra, and whether that does harm. `loaded` looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .child import start_bare
from .finding import Finding
from .loaded import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS = {"libgomp": "GNU's", "libomp": "LLVM's", "libiomp5": "Intel's", "libiomp": "Intel's"}
HARMLESS = (
    "each has threads of its own, which does no harm: recurra's sleep some µs after a call, and its forked children "
    "compute"
)


def check(beside: Sequence[str], openmp: bool, environment: Mapping[str, str]) -> list[Finding]:
    """Of recurra by itself, or beside modules that are imported first.

    Args:
        beside: their names.
        openmp: whether recurra was built with it.
        environment: os.environ.
    """
    return judge(start_bare("loaded", *beside).result(), openmp, environment)


def judge(report: Mapping[str, Any], openmp: bool, environment: Mapping[str, str]) -> list[Finding]:
    """Of what `loaded` printed: "known", "brought", "failed" and "forked"; or {"error": …}."""
    if "error" in report:
        cure = "if OpenMP's own message stands there, two libraries won't share a process: see docs/doctor.md"
        return [Finding("openmp", "fault", f"importing failed: {report['error']}", cure)]
    failed = [
        *fork(report.get("forked"), openmp),
        *(
            Finding(
                "openmp", "warning", f"{module} can't be imported: {reason}", "check the name that follows --beside"
            )
            for module, reason in report["failed"].items()
        ),
    ]
    if not report["known"]:
        return [*failed, Finding("openmp", "ok", "which OpenMP libraries are loaded can't be told on this system")]
    brought = {module: paths for module, paths in report["brought"].items() if paths}
    paths = [path for each in brought.values() for path in each]
    if not paths:
        text = "no OpenMP library is loaded" + ("" if openmp else ": recurra was built without one")
        return [*failed, Finding("openmp", "ok", text)]
    shown = "; ".join(f"{module} brings {' and '.join(map(name, each))}" for module, each in brought.items())
    notes = [HARMLESS] * (len(paths) > 1) + [shared(brought)] * (openmp and not brought.get("recurra"))
    return [*failed, Finding("openmp", "ok", shown, ". ".join(notes)), *clashes(paths), *spinning(paths, environment)]


def fork(works: bool | None, openmp: bool) -> list[Finding]:
    """Whether forked children compute, rather than wait for threads that stayed with the parent."""
    if works is None:
        return []
    if works:
        how = ", in one thread" if openmp else ""
        return [Finding("openmp", "ok", f"a child that is forked after threads were used computes{how}")]
    text = "a child that is forked after threads were used hangs or fails"
    cure = "start processes afresh: multiprocessing.set_start_method('spawn'), or import recurra before the fork"
    return [Finding("openmp", "fault", text, cure)]


def kind(path: str) -> str:
    """A library's name without version and hash."""
    match = NAMES.match(path.rsplit("/", 1)[-1])
    return match[1] if match else ""


def name(path: str) -> str:
    """ "GNU's (/usr/lib/libgomp.so.1)"."""
    return f"{KINDS[kind(path)]} ({path})"


def shared(brought: Mapping[str, Sequence[str]]) -> str:
    """What to know where another module has loaded the library that recurra uses, too."""
    owner = next((module for module, paths in brought.items() if any("/libgomp.so" in path for path in paths)), "")
    return (
        f"recurra uses that of {owner or 'the others'}, which was loaded first, so idle threads spin for some ms "
        "after a call; not if recurra is imported first, or with GOMP_SPINCOUNT=1000 in the environment"
    )


def clashes(paths: Sequence[str]) -> list[Finding]:
    """LLVM's and Intel's don't share a process."""
    if not {"libomp"} & set(map(kind, paths)) or not {"libiomp5", "libiomp"} & set(map(kind, paths)):
        return []
    text = (
        "LLVM's and Intel's OpenMP are one library twice: the second to start threads ends the process (OMP: Error #15)"
    )
    cure = "take both packages from one source (all from wheels, or all from conda), or run them in two processes"
    return [Finding("openmp", "fault", text, cure)]


def spinning(paths: Sequence[str], environment: Mapping[str, str]) -> list[Finding]:
    """Settings by which idle threads of one library keep CPUs from the other's, or that hide a clash."""
    found = []
    active = [
        f"{variable}={value}"
        for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
        if (value := environment.get(variable)) and spins(variable, value)
    ]
    if active:
        text = f"{', '.join(active)}: idle threads keep their CPUs" + (", of two libraries" if len(paths) > 1 else "")
        cure = "unset it: beside another busy process two threads took 4 to 9 times as long as one"
        found.append(Finding("openmp", "warning", text, cure))
    elif {"libomp", "libiomp5", "libiomp"} & set(map(kind, paths)) and "KMP_BLOCKTIME" not in environment:
        text = "threads of LLVM's and Intel's OpenMP spin for 200 ms after a call, on CPUs that recurra's may need"
        cure = "where calls of both alternate, KMP_BLOCKTIME=0 in the environment stops that"
        found.append(Finding("openmp", "ok", text, cure))
    if environment.get("KMP_DUPLICATE_LIB_OK"):
        text = f"KMP_DUPLICATE_LIB_OK={environment['KMP_DUPLICATE_LIB_OK']} lets one OpenMP be there twice"
        cure = "its makers say that this may crash or give wrong results: unset it, and see which package fails"
        found.append(Finding("openmp", "warning", text, cure))
    return found


def spins(variable: str, value: str) -> bool:
    """Whether a setting lets threads spin for long."""
    value = value.strip().lower()
    if variable == "OMP_WAIT_POLICY":
        return value == "active"
    if variable == "GOMP_SPINCOUNT":  # a million is some ms
        return value.startswith("inf") or (value.isdigit() and int(value) >= 1_000_000) or value[-1:] in {"m", "g", "t"}
    return value.startswith("inf") or (value.rstrip("ms").isdigit() and int(value.rstrip("ms")) >= 200)

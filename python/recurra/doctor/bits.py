"""Do the kernels give the promised bits, each instruction set in a process of its own, by one thread and by several?"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import recurra

from .child import start
from .finding import Finding
from .networks import TEAM

if TYPE_CHECKING:
    from collections.abc import Mapping

STORED = Path(__file__).with_name("hashes.json")
REINSTALL = (
    "the compiled half computes otherwise than it is bound to. Install it again (pip install --force-reinstall "
    "--no-cache-dir recurra); if that doesn't help, report it with the output of python -m recurra doctor --json"
)


def check() -> list[Finding]:
    """A finding for each instruction set that this machine has."""
    stored = json.loads(STORED.read_text())
    running = {isa: start("networks", RECURRA_ISA=isa) for isa in recurra.build_info()["isas_available"]}
    return [judge(isa, child.result(), stored.get(family(isa))) for isa, child in running.items()]


def family(isa: str) -> str:
    """Under which name an instruction set's hashes are stored.

    AVX2, AVX-512 and NEON have the same bits. Without a fused multiply-add plain x86-64 has its own; elsewhere the
    baseline's depend on whether the compiler had one, so none are stored.
    """
    return "fused" if isa != "baseline" else f"baseline {platform.machine().lower().replace('amd64', 'x86_64')}"


def judge(isa: str, report: dict[str, Any], stored: Mapping[str, str] | None) -> Finding:
    """Of one instruction set.

    Args:
        isa: its name.
        report: what its process printed (`networks.report`), or {"error": …}.
        stored: network -> hash; None if this machine's aren't known.
    """
    if "error" in report:
        return Finding("bits", "fault", f"{isa}: its process failed: {report['error']}", REINSTALL)
    if report["isa"] != isa:
        return Finding("bits", "fault", f"{isa}: {report['isa']} ran instead", REINSTALL)
    if report["threads"]:
        return Finding("bits", "fault", f"{isa}: 1 and {TEAM} threads differ in {listed(report['threads'])}", REINSTALL)
    found = report["hashes"]
    if stored is None:
        return Finding("bits", "ok", f"{isa}: {len(found)} networks, the same bits, by 1 and {TEAM} threads")
    wrong = [name for name, value in found.items() if stored.get(name) != value]
    if wrong:
        text = f"{isa}: {len(wrong)} of {len(found)} networks have other bits than promised: {listed(wrong)}"
        return Finding("bits", "fault", text, REINSTALL)
    return Finding("bits", "ok", f"{isa}: {len(found)} networks, the promised bits, by 1 and {TEAM} threads")


def listed(names: list[str], most: int = 4) -> str:
    """Some of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

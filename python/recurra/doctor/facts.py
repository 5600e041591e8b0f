"""What machine and build this is, as far as it can be told, and the lines at the head of a report."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra import _core
from recurra.bench.machine import cpu_model

if TYPE_CHECKING:
    from collections.abc import Mapping


def gather() -> dict[str, Any]:
    """For JSON: "machine", "python", "versions", "build", "blas", "date". `lines` prints them."""
    return {
        "machine": {
            "cpu": cpu_model(),
            "model": cpu_numbers(),
            "cpus": os.cpu_count(),
            "affinity": affinity(),
            "quota": quota(),
            "system": platform.platform(),
        },
        "python": platform.python_version(),
        "versions": {"recurra": recurra.__version__, "NumPy": np.__version__},
        "blas": blas(),
        "build": recurra.build_info(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def cpu_numbers() -> str:
    """ "family 6, model 207": names such as "Intel(R) Xeon(R) Processor" don't say which. Empty if it isn't known."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    found = [re.search(rf"^{name}\s*:\s*(\w+)$", text, re.MULTILINE) for name in ("cpu family", "model")]
    return ", ".join(f"{name} {match[1]}" for name, match in zip(("family", "model"), found, strict=True) if match)


def affinity() -> int | None:
    """How many CPUs this process may run on; None where no such number is kept."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def quota() -> float | None:
    """CPUs' worth of time that the control group grants; None for no limit."""
    if sys.platform != "linux":
        return None
    granted = _core.cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup")
    return granted if math.isfinite(granted) else None


def granted(machine: Mapping[str, Any]) -> int:
    """CPUs for a call's threads: those of the affinity, or fewer by the quota, of which a part counts as one."""
    cpus = machine["affinity"] or machine["cpus"] or 1
    return min(cpus, math.ceil(machine["quota"])) if machine["quota"] else int(cpus)


def blas() -> str:
    """The library behind NumPy's products, "scipy-openblas 0.3.31"; empty if NumPy doesn't know."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    version = re.match(r"[\d.]*?(?=\.\d+\.\d+$)|[\d.]+", str(found.get("version", "")))
    return " ".join(part for part in (str(found.get("name", "")), version[0] if version else "") if part)


def lines(facts: dict[str, Any], threads: int | None = None, width: int = 80) -> list[str]:
    """Four lines or some more: the CPU, the kernels, the threads and the versions.

    Args:
        facts: from `gather`, perhaps with further "versions".
        threads: how many this run uses, if that isn't the default.
        width: of the terminal.
    """
    machine, build = facts["machine"], facts["build"]
    numbers = f" ({machine['model']})" if machine["model"] else ""
    isas = [isa for isa in build["isas_available"] if isa != build["isa"]]
    names = facts["versions"]
    numpy = f"NumPy {names['NumPy']}" + (f" with {facts['blas']}" if facts["blas"] else "")
    others = [f"{name} {version}" for name, version in names.items() if name not in {"recurra", "NumPy"}]
    rows = {
        "machine": f"{machine['cpu']}{numbers}, {platform_name(machine['system'])}",
        "CPUs": cpus(machine),
        "kernels": f"{build['isa']}" + (f"; also available: {', '.join(isas)}" if isas else ""),
        "threads": threads_line(build, threads),
        "versions": ", ".join([f"recurra {names['recurra']}", f"Python {facts['python']}", numpy, *others]),
    }
    return [
        line
        for name, text in rows.items()
        for line in textwrap.wrap(text, width, initial_indent=f"{name:10}", subsequent_indent=" " * 10)
    ]


def platform_name(system: str) -> str:
    """ "Linux x86_64": the rest of platform.platform() is in the JSON."""
    return f"{system.partition('-')[0]} {platform.machine()}"


def cpus(machine: dict[str, Any]) -> str:
    """How many there are, and what this process may have of them."""
    parts = [f"{machine['cpus']}"]
    if machine["affinity"] is not None and machine["affinity"] != machine["cpus"]:
        parts.append(f"{machine['affinity']} for this process (affinity)")
    if machine["quota"] is not None:
        parts.append(f"the time of {machine['quota']:g} (quota of the control group)")
    return ", ".join(parts) if len(parts) > 1 else f"{parts[0]}, without a quota or an affinity of less"


def threads_line(build: dict[str, Any], threads: int | None) -> str:
    """How many this run uses, how many are used by default, and by what."""
    by = {"OpenMP": "OpenMP", "std": "C++'s own", "none": "built without threads"}[build["threading"]]
    if threads is None:
        return f"{build['threads']} by default, {by}"
    return f"{threads} in this run ({build['threads']} by default), {by}"

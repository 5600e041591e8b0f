"""Do the threads fit the CPUs? How many are wanted, by whom, and how many CPUs this process may use."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from . import facts
from .finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

CROWD = 1.5  # processes that want a CPU, for each CPU


def check(machine: Mapping[str, Any], build: Mapping[str, Any], environment: Mapping[str, str]) -> list[Finding]:
    """Number, limits, and who else is there.

    Args:
        machine: "cpus", "affinity" and "quota", as in `facts.gather`.
        build: `recurra.build_info()`.
        environment: os.environ.
    """
    return [number(machine, build, environment), *limits(environment, build), *crowd(machine)]


def number(machine: Mapping[str, Any], build: Mapping[str, Any], environment: Mapping[str, str]) -> Finding:
    """Of threads, against the CPUs."""
    cpus, threads, wish = facts.granted(machine), build["threads"], environment.get("OMP_NUM_THREADS")
    have = f"{cpus} CPU" + "s" * (cpus != 1) + why(machine)
    if build["threading"] == "none":
        text = f"this build has no threads; {have}"
        cure = "install it without -C cmake.define.RECURRA_THREADS=none"
        return Finding("threads", "ok" if cpus == 1 else "warning", text, "" if cpus == 1 else cure)
    if wish is not None and not re.fullmatch(r"\s*\+?0*[1-9]\d*\s*(,.*)?", wish):
        cure = f"set OMP_NUM_THREADS to a number such as {cpus}, or unset it"
        return Finding("threads", "warning", f"OMP_NUM_THREADS is {wish!r}, which isn't a number from 1 up", cure)
    by = f", as OMP_NUM_THREADS={wish} says," if wish else ""
    text = f"calls use up to {threads} thread" + "s" * (threads != 1) + f"{by} on {have}"
    if threads > cpus:
        cure = f"threads that share a CPU wait for each other: set OMP_NUM_THREADS={cpus}, or unset it, or call "
        return Finding("threads", "warning", text, cure + f"recurra.set_num_threads({cpus})")
    note = "more can be had: unset OMP_NUM_THREADS, or call recurra.set_num_threads" if threads < cpus else ""
    return Finding("threads", "ok", text, note)


def why(machine: Mapping[str, Any]) -> str:
    """What leaves fewer CPUs than there are, in brackets."""
    cpus, affinity, quota = machine["cpus"], machine["affinity"], machine["quota"]
    reasons = []
    if affinity is not None and cpus is not None and affinity < cpus:
        reasons.append(f"{affinity} by its affinity")
    if quota is not None:
        reasons.append(f"the time of {quota:g} by its control group's quota")
    return f" ({cpus} there are, {', '.join(reasons)})" if reasons else ""


def limits(environment: Mapping[str, str], build: Mapping[str, Any]) -> list[Finding]:
    """What may grant fewer threads than are wanted, or place them badly."""
    found = []
    most = environment.get("OMP_THREAD_LIMIT", "")
    if most.isdigit() and build["threading"] == "OpenMP" and int(most) < build["threads"]:
        text = f"OMP_THREAD_LIMIT={most} is less than the {build['threads']} threads that calls may use"
        found.append(Finding("threads", "warning", text, "unset it, or set OMP_NUM_THREADS to the same number"))
    places = {name: environment[name] for name in ("GOMP_CPU_AFFINITY", "KMP_AFFINITY") if environment.get(name)}
    if environment.get("OMP_PROC_BIND", "").lower() not in {"", "false"}:
        places["OMP_PROC_BIND"] = environment["OMP_PROC_BIND"]
    if places:
        text = ", ".join(f"{name}={value}" for name, value in places.items()) + " binds threads to CPUs"
        cure = (
            "several processes with this setting get the same CPUs while others are idle: unset it where there are any"
        )
        found.append(Finding("threads", "warning", text, cure))
    return found


def crowd(machine: Mapping[str, Any]) -> list[Finding]:
    """Whether other processes keep the CPUs busy."""
    cpus = machine["cpus"] or 1
    try:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    except OSError:  # where /proc isn't to be seen
        return []
    if load <= CROWD * cpus:
        return []
    text = f"{load:.0f} processes want the {cpus} CPUs (load average of a minute)"
    cure = "several threads of a call wait for the one that has lost its CPU: recurra.set_num_threads(1) may be faster"
    return [Finding("threads", "warning", text, cure)]

"""Are the kernels as fast as this machine lets them be? NumPy's product of matrices is the yardstick.

The measuring is done by `rates`, in a process held to one thread and one CPU.
"""

from __future__ import annotations

import os
from typing import Any

import recurra
from recurra.bench.machine import choose_cpus, worker_environment

from .child import start
from .facts import blas
from .finding import Finding

# Of NumPy's sgemm, which an LSTM forward has to reach: 0.94 to 1.1 were measured with AVX-512, AVX2 and baseline, each
# beside an OpenBLAS of the same instruction set, on a machine five times overbooked. An instruction set that the user
# has forced is beside a better one: baseline has 0.16 of what OpenBLAS does by AVX-512. NEON's was never measured, so
# there it is a warning to stay below.
FLOOR, FORCED_FLOOR = 0.6, 0.1
SLOW_SUBNORMALS = 1.5  # times as long as with other numbers; without flushing it is some 5 to 20
BUSY = 0.75  # of the wall time that the process had a CPU


def check() -> list[Finding]:
    """The instruction set, the rate, and subnormal numbers."""
    child = start("rates", cpus=choose_cpus(1), **worker_environment(1))
    build = recurra.build_info()
    floor = FLOOR if build["isa"] == build["isas_available"][-1] else FORCED_FLOOR
    if "accelerate" in blas().lower():  # it has units of Apple's for matrices, which no other library reaches
        floor = 0.0
    return [*instruction_set(), *judge(child.result(), floor, "warning" if build["isa"] == "neon" else "fault")]


def instruction_set() -> list[Finding]:
    """Whether it is the best that this machine has."""
    build = recurra.build_info()
    best = build["isas_available"][-1]
    if build["isa"] == best:
        left = [isa for isa in build["isas"] if isa not in build["isas_available"]]
        missing = f"; this CPU or its operating system has no {', '.join(left)}" if left else ""
        return [Finding("speed", "ok", f"kernels for {best}, the best of this machine{missing}")]
    wish = os.environ.get("RECURRA_ISA")
    return [
        Finding(
            "speed",
            "warning",
            f"kernels for {build['isa']}, where this machine has {best}: RECURRA_ISA is {wish!r}",
            "unset RECURRA_ISA, unless that is meant: the bits are the same with all but baseline, the speed isn't",
        )
    ]


def judge(rates: dict[str, Any], floor: float, slow: str = "fault") -> list[Finding]:
    """Of what `rates` printed: "sgemm" and "lstm" in GFLOP/s, "subnormals" as a factor, "busy" as a share.

    Args:
        rates: these, or {"error": …}.
        floor: the share of "sgemm" that "lstm" has to reach.
        slow: the level of a finding that it doesn't.
    """
    if "error" in rates:
        return [Finding("speed", "fault", f"measuring failed: {rates['error']}", "see what that error says")]
    ours, numpy = rates["lstm"], rates["sgemm"]
    text = f"an LSTM runs at {ours:.0f} GFLOP/s on one thread, {ours / numpy:.0%} of NumPy's product of matrices "
    text += f"({numpy:.0f})" + (f"; at least {floor:.0%} is expected" if floor else "")
    noisy = rates["busy"] < BUSY
    found = []
    if ours >= floor * numpy:
        found.append(Finding("speed", "ok", text, noise(rates) if noisy else ""))
    elif noisy:
        found.append(Finding("speed", "warning", text, noise(rates)))
    else:
        cure = (
            "run the check again when nothing else computes. If the share stays, compare the builds: RECURRA_ISA=avx2 "
        )
        cure += "python -m recurra doctor --only speed. A build of your own is to be without -O0 or -O1 (see versions)"
        found.append(Finding("speed", slow, text, cure))
    if rates["subnormals"] > SLOW_SUBNORMALS:
        text = f"subnormal numbers take {rates['subnormals']:.1f} times as long as others"
        cure = "this build doesn't set the CPU's flushing mode: keep values that fade from falling below 1e-38"
        found.append(Finding("speed", "warning", text, cure))
    return found


def noise(rates: dict[str, Any]) -> str:
    """What to say where others had the CPU."""
    return (
        f"the process had its CPU for {rates['busy']:.0%} of the time only: another process, a neighbour on the "
        "host or a CPU quota takes the rest, from every call. The figures are those of the best turns"
    )

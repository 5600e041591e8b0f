"""The machine: what it is called, which CPUs to hold a process to, and what tells libraries their number of threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

# Read when a library is loaded: OpenMP's, and those of NumPy's possible BLAS libraries.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def cpu_model() -> str:
    """The CPU's name as the system knows it."""
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        named = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return named or platform.machine()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def choose_cpus(threads: int) -> set[int]:
    """As many of the CPUs this process may use, on cores of their own while there are any; empty to leave it open."""
    if sys.platform != "linux":
        return set()
    usable = sorted(os.sched_getaffinity(0), reverse=True)  # from the end, as CPU 0 serves most interrupts
    cores: dict[str, list[int]] = {}
    for cpu in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text() if siblings.exists() else str(cpu), []).append(cpu)
    by_rank = sorted((rank, -cpu) for core in cores.values() for rank, cpu in enumerate(core))
    return {-cpu for _, cpu in by_rank[:threads]} if threads <= len(usable) else set()


def worker_environment(threads: int) -> dict[str, str]:
    """The environment that holds a fresh process to so many threads."""
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(threads))
    environment["JAX_PLATFORMS"] = "cpu"
    if threads == 1:  # pinning says the same, where it can be had
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return environment

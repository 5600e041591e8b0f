"""How many threads a call may use."""

from __future__ import annotations

from . import _core


def set_num_threads(n: int) -> None:
    """Sets how many threads a call may use at most, for all Python threads; small calls use one.

    Results don't depend on it, bit for bit. Until it is called the number is OMP_NUM_THREADS, else that of the CPUs
    this process may use.

    Raises:
        TypeError: n isn't an integer.
        ValueError: n is below 1 or above 1024.
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads a call may use at most: 1 without OpenMP, and in a forked child."""
    return _core.get_num_threads()

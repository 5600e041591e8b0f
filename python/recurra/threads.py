"""How many threads a call may use."""

from __future__ import annotations

from . import _core


def set_num_threads(n: int) -> None:
    """Sets how many threads a call may use at most, for all Python threads; small calls use one.

    Results don't depend on it, bit for bit. Until it is called the number is that of OMP_NUM_THREADS, or else of the
    CPUs this process may use, by its affinity and its control group's quota.

    Args:
        n: how many, 1 to 1024.

    Raises:
        TypeError: n isn't an integer.
        ValueError: n is below 1 or above 1024.

    Example:
        >>> before = recurra.get_num_threads()
        >>> recurra.set_num_threads(1)
        >>> recurra.get_num_threads()
        1
        >>> recurra.set_num_threads(before)
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads a call may use at most.

    Returns:
        The number; 1 in a build without OpenMP, and in a forked child.

    Example:
        >>> 1 <= recurra.get_num_threads() <= 1024
        True
    """
    return _core.get_num_threads()

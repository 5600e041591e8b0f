"""NumPy's arithmetic without errors, whatever `numpy.seterr` the program has called."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """The function under `numpy.errstate(all="ignore")`.

    An exponential that underflows is the 0 it should be, and a NaN shows in the result, as it does from the compiled
    half. An errstate is no decorator itself before NumPy 2: one that two threads are in restores the wrong state.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return call

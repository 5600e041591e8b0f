"""`python -m recurra.doctor.rates` times a product of matrices in NumPy and an LSTM in turns, and prints JSON."""

from __future__ import annotations

import json
import sys
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np

import recurra

from .networks import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 0.8
SIZE = 384  # of the square matrices: 0.4 MB each, which stay in the second cache
T, B, H = 10, 16, 192  # whose weights, 1.2 MB, and input do as well


def rates() -> dict[str, float]:
    """GFLOP/s of "sgemm" and "lstm" in their best turns, the factor that "subnormals" cost, and how "busy" we were."""
    recurra.set_num_threads(1)
    a, b, c = (numbers((SIZE, SIZE), k) for k in range(3))
    layer, y = recurra.LSTM(H, H, seed=0), np.empty((T, B, H), np.float32)
    layer.load_state_dict({name: numbers(v.shape, 3, scale=2.0**-4) for name, v in layer.state_dict().items()})
    x, faint = (numbers((T, B, H), 4, scale=scale) for scale in (1.0, 2.0**-130))
    calls: list[Callable[[], object]] = [
        lambda: np.matmul(a, b, out=c),
        lambda: layer(x, out=y),
        lambda: layer(faint, out=y),
    ]
    for call in calls:
        call()
    turns: list[list[float]] = [[] for _ in calls]
    end, start = perf_counter() + SECONDS, (perf_counter(), process_time())
    while perf_counter() < end:
        for call, seconds in zip(calls, turns, strict=True):
            seconds.append(timed(call))
    busy = (process_time() - start[1]) / (perf_counter() - start[0])
    sgemm, lstm, subnormals = (min(seconds) for seconds in turns)
    operations = 2 * T * B * 4 * H * (H + H)
    return {
        "sgemm": 2 * SIZE**3 / sgemm / 1e9,
        "lstm": operations / lstm / 1e9,
        "subnormals": subnormals / lstm,
        "busy": busy,
    }


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    call()
    return perf_counter() - start


if __name__ == "__main__":
    json.dump(rates(), sys.stdout)

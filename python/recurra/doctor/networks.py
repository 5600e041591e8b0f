"""Small networks whose bits are promised, and the hashes of all that they compute.

The numbers that go in are made by integer arithmetic, not drawn and not by a C library's functions, so that a hash
depends on nothing but the kernels. `python -m recurra.doctor.networks` prints those of the instruction set in use as
JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra.cells import PeepholeLSTM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from recurra.module import Array

TEAM = 3  # threads that have to give what one gives


def numbers(shape: tuple[int, ...], seed: int, dtype: Any = np.float32, scale: float = 1.0) -> Array:
    """Values of 24 bits in ±scale, a power of two: splitmix64 of their places, so they are the same everywhere."""
    n = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) + np.uint64(seed << 32)
    n *= np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ (n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    n = (n ^ (n >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    whole = ((n ^ (n >> np.uint64(31))) >> np.uint64(40)).astype(np.int64) - (1 << 23)
    return (whole.astype(np.float64) * (scale * 2.0**-23)).astype(dtype).reshape(shape)


def filled(layer: Any) -> Any:
    """The layer or model, with weights from `numbers`, about as large as those that it would draw."""
    drawn = sorted(layer.state_dict().items())
    layer.load_state_dict({name: numbers(old.shape, 100 + k, old.dtype, 0.25) for k, (name, old) in enumerate(drawn)})
    return layer


def flat(results: Any) -> list[Array]:
    """The arrays among results, tuples and dicts in their order."""
    if isinstance(results, np.ndarray):
        return [results]
    if isinstance(results, dict):
        results = [results[name] for name in sorted(results)]
    return [] if results is None else [array for each in results for array in flat(each)]


def digest(results: Any) -> str:
    """16 hexadecimal digits of the shapes, dtypes and little-endian bytes."""
    hashed = hashlib.sha256()
    for array in flat(results):
        hashed.update(f"{array.dtype.name}{array.shape}".encode())
        hashed.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return hashed.hexdigest()[:16]


def forward(kind: str, dtype: Any = np.float32, scale: float = 1.0, **options: Any) -> Any:
    """Outputs and final states of 11 steps of 5 sequences: tiles with remainders in each direction."""
    layer = filled(getattr(recurra, kind)(13, 37, dtype=dtype, seed=0, **options))
    return layer(numbers((11, 5, 13), 1, dtype, scale))


def train(layer: Any, size: int, dtype: Any = np.float32, T: int = 9, B: int = 6) -> Any:
    """Two steps of training by Adam, with decays whose powers are exact: outputs, gradients and weights."""
    filled(layer)
    adam, results = recurra.Adam(layer, lr=2.0**-6, betas=(0.5, 0.75)), []
    for step in range(2):
        y, state, tape = layer.forward(numbers((T, B, size), 2 + step, dtype))
        adam.zero_grad()
        _, dy = recurra.mse(y, numbers(y.shape, 4 + step, dtype))
        dx, dstate = layer.backward(tape, dy)
        results += [y, state, dx, dstate, {name: grad.copy() for name, grad in layer.grads.items()}]
        adam.step()
    return [*results, layer.state_dict()]


def narrow(kind: str, weights: str) -> Any:
    """A compressed layer of 70 units, which int8 kernels take in several vectors."""
    layer = recurra.compress(filled(getattr(recurra, kind)(24, 70, seed=0)), weights)
    return layer(numbers((7, 4, 24), 7))


def stream() -> Any:
    """A step at a time, then a block, through three layers."""
    model = recurra.Sequential(recurra.LSTM(6, 19, seed=0), recurra.GRU(19, 17, seed=0), recurra.Linear(17, 5, seed=0))
    steps = numbers((12, 1, 6), 8)
    with recurra.Stream(filled(model)) as goes:
        return [*(goes(x) for x in steps[:8]), goes.many(steps[8:])]


def team() -> Any:
    """Large enough for threads to share out its sequences, and its weights' gradients."""
    return train(recurra.LSTM(48, 96, seed=0), 48, T=16, B=24)


# The last argument of forward makes every input subnormal: recurra takes them for zero, whatever the caller's mode is.
NETWORKS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: forward("RNN"),
    "RNN, relu": lambda: forward("RNN", nonlinearity="relu"),
    "LSTM": lambda: forward("LSTM"),
    "LSTM, float64": lambda: forward("LSTM", np.float64),
    "GRU": lambda: forward("GRU"),
    "GRU, float64": lambda: forward("GRU", np.float64),
    "GRU, reset before": lambda: forward("GRU", reset_after=False),
    "GRU, 2 layers, both ways": lambda: forward("GRU", num_layers=2, bidirectional=True),
    "LSTM of subnormal numbers": lambda: forward("LSTM", scale=2.0**-130),
    "RNN training": lambda: train(recurra.RNN(9, 21, seed=0), 9),
    "LSTM training": team,
    "GRU training, float64": lambda: train(recurra.GRU(9, 21, dtype=np.float64, seed=0), 9, np.float64),
    "formula training": lambda: train(PeepholeLSTM(9, 21, seed=0), 9),
    "LSTM int8": lambda: narrow("LSTM", "int8"),
    "GRU bfloat16": lambda: narrow("GRU", "bfloat16"),
    "Stream": stream,
}


def hashes(names: Iterable[str] = NETWORKS) -> dict[str, str]:
    """Name -> hash, with the number of threads that is set."""
    return {name: digest(NETWORKS[name]()) for name in names}


def report() -> dict[str, Any]:
    """Of the instruction set in use: the hashes by one thread, and by several those that aren't the same."""
    before = recurra.get_num_threads()
    try:
        recurra.set_num_threads(1)
        one = hashes()
        recurra.set_num_threads(TEAM)
        several = hashes()
    finally:
        recurra.set_num_threads(before)
    return {
        "isa": recurra.build_info()["isa"],
        "hashes": one,
        "threads": [name for name in one if several[name] != one[name]],
    }


if __name__ == "__main__":
    json.dump(report(), sys.stdout)

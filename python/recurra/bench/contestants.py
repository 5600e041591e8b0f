"""What takes part: how a contestant is asked, recurra and NumPy themselves, and where to find the others."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

import recurra

from .numpy_cells import NUMPY_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .problem import Array, Data, Spec


class Unsupported(Exception):  # noqa: N818 (no failure: this contestant sits a row out)
    """The contestant has no way to compute what the row asks for."""


class Entry(NamedTuple):
    """A contestant ready for one row: converted, warmed and compiled.

    Args:
        run: one call, what is timed; returns when its results are there.
        answers: y (T, B, H), h_n and further states such as c_n (B, H); after training also dx (T, B, I) and a gradient
            per weight.
        context: what a user enters once around many calls.
    """

    run: Callable[[], object]
    answers: Callable[[], dict[str, Array]]
    context: Callable[[], AbstractContextManager[Any]] = nullcontext


class Contestant(Protocol):
    """One library; lives in a process of its own, whose environment holds it to `threads` threads."""

    def __init__(self, threads: int) -> None: ...

    @property
    def version(self) -> str:
        """The library's."""

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Raises Unsupported if it can't take part in this row."""


class Recurra:
    """This package, called as its users call it."""

    version = recurra.__version__

    def __init__(self, threads: int) -> None:
        recurra.set_num_threads(threads)

    def layer(self, spec: Spec) -> Any:
        """What computes the row, with weights of its own as yet."""
        kind = getattr(recurra, spec.cell.upper())
        options = {"num_layers": spec.layers, "bidirectional": spec.directions == 2}
        return kind(spec.shape.inputs, spec.shape.hidden, dtype=np.dtype(spec.dtype), **options)

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row."""
        layer = self.layer(spec)
        layer.load_state_dict(weights)
        x, dy = data
        lengths, initial = spec.lengths(), spec.state()

        def infer() -> Any:
            return layer(x, initial, lengths=lengths)

        def train() -> Any:
            layer.zero_grad()
            y, state, tape = layer.forward(x, initial, lengths=lengths)
            dx, _ = layer.backward(tape, dy)
            return y, state, dx

        def answers() -> dict[str, Array]:
            y, state, *dx = (train if spec.training else infer)()
            h_n, *c_n = unpacked(state)
            return named(y, squeezed(h_n), *(squeezed(c) for c in c_n)) | (
                {"dx": dx[0]} | {name: grad.copy() for name, grad in layer.grads.items()} if spec.training else {}
            )

        return Entry(train if spec.training else infer, answers)


class Numpy:
    """The careful NumPy way of numpy_cells, its BLAS held to the row's threads."""

    version = np.__version__
    layers = NUMPY_LAYERS

    def __init__(self, threads: int) -> None:
        """BLAS reads its number of threads from the environment."""

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Plain rows."""
        if not spec.plain:
            raise Unsupported("one layer, one direction, one length, zeros before")
        layer = self.layers[spec.cell](weights, spec.shape.steps, spec.shape.batch)
        x, dy = data

        def infer() -> Any:
            return layer.infer(x)

        def train() -> Any:
            layer.forward(x)
            return layer.backward(x, dy)

        def answers() -> dict[str, Array]:
            (train if spec.training else infer)()
            gradients = {"dx": layer.dx} | layer.grads if spec.training else {}
            return {name: value.copy() for name, value in (named(layer.y, *layer.state) | gradients).items()}

        return Entry(train if spec.training else infer, answers)


def unpacked(state: Any) -> tuple[Any, ...]:
    """(h,) or (h, c), of a state h or (h, c)."""
    return state if isinstance(state, tuple) else (state,)


def squeezed(state: Array) -> Array:
    """(1, B, H) -> (B, H), as answers have a single layer's state."""
    return state[0] if len(state) == 1 else state


def named(*outputs: Array) -> dict[str, Array]:
    """The outputs y, h_n and perhaps further states, of which there are c, n and m, by those names."""
    return dict(zip(("y", "h_n", "c_n", "n_n", "m_n"), outputs, strict=False))


@dataclass(frozen=True)
class Source:
    """Where a contestant is to be found, and the modules that it needs."""

    module: str
    name: str
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Those of its modules that aren't installed."""
        return [module for module in self.needs if find_spec(module) is None]

    def load(self) -> type[Contestant]:
        """Imports it, and the library with it."""
        contestant: type[Contestant] = getattr(import_module(self.module, __package__), self.name)
        return contestant


HOME = {"recurra": Source(".contestants", "Recurra"), "NumPy": Source(".contestants", "Numpy")}
PEERS = {
    "PyTorch": Source(".peer_torch", "PyTorch", ("torch",)),
    "ONNX Runtime": Source(".peers_onnx", "OnnxRuntime", ("onnx", "onnxruntime")),
    "OpenVINO": Source(".peers_onnx", "OpenVINO", ("onnx", "openvino")),
    "JAX": Source(".peer_jax", "Jax", ("jax",)),
}
# Other ways of doing the same, which benchmarks/compare.py asks for.
VARIANTS = {
    "PyTorch packed": Source(".peer_torch", "PyTorchPacked", ("torch",)),
    "PyTorch cell": Source(".peer_torch", "PyTorchCell", ("torch",)),
}
# The same libraries with cells of one's own, as formulas or as each has it: another process each, for CellSpecs.
OWN_CELLS = {
    "recurra": Source(".cells.layers", "RecurraCells"),
    "NumPy": Source(".cells.numpy_cells", "NumpyCells"),
    "PyTorch": Source(".cells.peer_torch", "TorchCells", ("torch",)),
    "JAX": Source(".cells.peer_jax", "JaxCells", ("jax",)),
}
SOURCES = HOME | PEERS | VARIANTS | {f"{name} cells": source for name, source in OWN_CELLS.items()}

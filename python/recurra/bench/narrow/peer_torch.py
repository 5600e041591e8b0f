"""PyTorch: its layers and cells in float32, and dynamically quantised while torch.ao.quantization lives."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from recurra.bench.peer_torch import PyTorch

from .problem import Steps, plain, sequence, stepping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.bench.contestants import Entry
    from recurra.bench.problem import Array, Data, Spec

CELLS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}


class Float32(PyTorch):
    """In inference mode: layers for sequences, cells for single steps, where layers take 1.5 to 7 times as long."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)  # the number of those between operators can be set only once in a process

    def model(self, module: Any) -> Any:
        """The module as this contestant runs it."""
        return module

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row of these parts."""
        plain(spec)
        tensors, x = {name: torch.from_numpy(value) for name, value in weights.items()}, torch.from_numpy(data.x)
        if isinstance(spec, Steps):
            cells = []
            for layer, width in enumerate(spec.widths):
                cells.append(CELLS[spec.cell](width, spec.shape.hidden))
                own = {name.split("_l")[0]: value for name, value in tensors.items() if name.endswith(f"_l{layer}")}
                cells[-1].load_state_dict(own)
            step = handing_on([self.model(cell.eval()) for cell in cells])
            entry = stepping(list(x), step, (spec.shape.batch, spec.shape.hidden))
        else:
            module = self.layer(spec)
            module.load_state_dict(tensors)
            layer = self.model(module.eval())
            entry = sequence(lambda: layer(x)[0], spec)
        return entry._replace(context=torch.inference_mode)


class Int8(Float32):
    """quantize_dynamic's: int8 weights with one scale each, activations of 8 bits with one scale a call."""

    def model(self, module: Any) -> Any:
        """Quantised."""
        holder = torch.nn.ModuleList([module])  # as it replaces members
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is deprecated
            return torch.ao.quantization.quantize_dynamic(holder, {type(module)}, torch.qint8)[0]


def handing_on(cells: list[Any]) -> Callable[[Any], Any]:
    """x_t -> h_t of the last of stacked cells, each of which is handed the state that it returned."""
    states: list[Any] = [None] * len(cells)

    def step(x: Any) -> Any:
        for k, cell in enumerate(cells):
            states[k] = state = cell(x, states[k])
            x = state[0] if isinstance(state, tuple) else state
        return x

    return step

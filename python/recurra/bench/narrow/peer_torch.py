"""PyTorch: torch.nn.LSTM and GRU in float32, and dynamically quantised while torch.ao.quantization lives."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from recurra.bench.peer_torch import PyTorch

from .ours import handing_on
from .problem import Steps, plain, sequence, stepping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.bench.contestants import Entry
    from recurra.bench.problem import Array, Data, Spec


class Float32(PyTorch):
    """Eager, in inference mode."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)  # of operators at once there are none, and their number can be set only once

    def model(self, spec: Spec, weights: Mapping[str, Array]) -> Any:
        """The layer with these weights."""
        layer = self.layer(spec)
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return layer.eval()

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row of these parts."""
        plain(spec)
        layer, x = self.model(spec, weights), torch.from_numpy(data.x)
        if isinstance(spec, Steps):
            entry = stepping([frame[None] for frame in x], handing_on(layer), (spec.shape.batch, spec.shape.hidden))
        else:
            entry = sequence(lambda: layer(x)[0], spec)
        return entry._replace(context=torch.inference_mode)


class Int8(Float32):
    """quantize_dynamic's: int8 weights by a scale each, activations of 8 bits by a scale each call."""

    def model(self, spec: Spec, weights: Mapping[str, Array]) -> Any:
        """The layer, quantised."""
        holder = torch.nn.ModuleList([super().model(spec, weights)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is deprecated
            return torch.ao.quantization.quantize_dynamic(holder, {torch.nn.LSTM, torch.nn.GRU}, torch.qint8)[0]

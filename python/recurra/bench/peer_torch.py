"""PyTorch's torch.nn.RNN, LSTM and GRU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .contestants import Entry, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .problem import Array, Data, Spec


class PyTorch:
    """Eager, as its users run it; inference in inference mode."""

    version = str(torch.__version__)

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row."""
        kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[spec.cell]
        layer = kind(spec.shape.inputs, spec.shape.hidden, dtype=getattr(torch, spec.dtype))
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        layer.train(spec.training)
        x = torch.from_numpy(data.x).requires_grad_(spec.training)
        dy = torch.from_numpy(data.dy)
        variables = {"dx": x} | dict(layer.named_parameters())

        def infer() -> Any:
            return layer(x)

        def train() -> Any:
            for variable in variables.values():
                variable.grad = None
            y, state = layer(x)
            y.backward(dy)
            return y, state

        def answers() -> dict[str, Array]:
            y, state = (train if spec.training else infer)()
            h_n, *c_n = state if spec.cell == "lstm" else (state,)
            outputs = named(*(value.detach().numpy() for value in (y, h_n[0], *(c[0] for c in c_n))))
            gradients = {name: variable.grad.numpy() for name, variable in variables.items()} if spec.training else {}
            return outputs | gradients

        return Entry(train, answers) if spec.training else Entry(infer, answers, torch.inference_mode)

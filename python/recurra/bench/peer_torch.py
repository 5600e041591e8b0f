"""PyTorch's torch.nn.RNN, LSTM and GRU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .contestants import Entry, Unsupported, named, squeezed, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .problem import Array, Data, Spec


class PyTorch:
    """Eager, as its users run it; inference in inference mode. Of ragged sequences it computes the full rectangle."""

    version = str(torch.__version__)

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)

    def layer(self, spec: Spec) -> Any:
        """What computes the row, with weights of its own as yet."""
        kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[spec.cell]
        options = {"num_layers": spec.layers, "bidirectional": spec.directions == 2}
        return kind(spec.shape.inputs, spec.shape.hidden, dtype=getattr(torch, spec.dtype), **options)

    def run(self, layer: Any, x: Any, initial: Any, lengths: Any) -> Any:  # noqa: ARG002 (for those who pack)
        """One call forward."""
        return layer(x, initial)

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Any row."""
        layer = self.layer(spec)
        layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        layer.train(spec.training)
        x = torch.from_numpy(data.x).requires_grad_(spec.training)
        dy = torch.from_numpy(data.dy)
        state, given = spec.state(), spec.lengths()
        initial = tuple(map(torch.from_numpy, state)) if isinstance(state, tuple) else state
        initial = torch.from_numpy(initial) if isinstance(initial, type(data.x)) else initial
        lengths = None if given is None else torch.from_numpy(given)
        variables = {"dx": x} | dict(layer.named_parameters())

        def infer() -> Any:
            return self.run(layer, x, initial, lengths)

        def train() -> Any:
            for variable in variables.values():
                variable.grad = None
            y, state = self.run(layer, x, initial, lengths)
            y.backward(dy)
            return y, state

        def answers() -> dict[str, Array]:
            if spec.ragged and type(self) is PyTorch:
                return {}  # of padding too, so there is nothing to compare
            y, state = (train if spec.training else infer)()
            h_n, *c_n = unpacked(state)
            outputs = named(y.detach().numpy(), *(squeezed(value.detach().numpy()) for value in (h_n, *c_n)))
            gradients = {name: variable.grad.numpy() for name, variable in variables.items()} if spec.training else {}
            return outputs | gradients

        return Entry(train, answers) if spec.training else Entry(infer, answers, torch.inference_mode)


class PyTorchPacked(PyTorch):
    """Ragged sequences by way of packing, as its documentation says."""

    def run(self, layer: Any, x: Any, initial: Any, lengths: Any) -> Any:
        """Packing and unpacking are part of the call."""
        rnn = torch.nn.utils.rnn
        y, state = layer(rnn.pack_padded_sequence(x, lengths, enforce_sorted=False), initial)
        return rnn.pad_packed_sequence(y, total_length=len(x))[0], state


class PyTorchCell(PyTorch):
    """A single step by a cell instead of a layer."""

    def prepare(self, spec: Spec, weights: Mapping[str, Array], data: Data) -> Entry:
        """Inference over one step."""
        if spec.training or spec.shape.steps != 1 or spec.layers * spec.directions != 1:
            raise Unsupported("single steps only")
        kind = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[spec.cell]
        cell = kind(spec.shape.inputs, spec.shape.hidden, dtype=getattr(torch, spec.dtype))
        own = {name.removesuffix("_l0"): torch.from_numpy(value) for name, value in weights.items()}
        cell.load_state_dict(own)
        x, state = torch.from_numpy(data.x[0]), spec.state()
        h, *c = (None if array is None else torch.from_numpy(array[0]) for array in unpacked(state))
        initial = (h, *c) if c else h

        def run() -> Any:
            return cell(x, initial)

        def answers() -> dict[str, Array]:
            h_n, *c_n = (value.numpy() for value in unpacked(run()))
            return named(h_n[None], h_n, *c_n)

        return Entry(run, answers, torch.inference_mode)

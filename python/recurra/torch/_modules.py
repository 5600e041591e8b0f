"""What modules over sequences and single steps share: from a call's arguments to tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import PackedSequence

from recurra._checks import shown

from ._networks import array_of, check_memory, check_parameters, check_tensor, shapes_of, tensors_of
from ._packed import padded_steps
from ._run import Call, outputs_of

if TYPE_CHECKING:
    from ._networks import Held, Kind

TRACED = "expected a module of torch.nn's RNN, LSTM, GRU or their cells without further arguments where it is traced"


class CoreModule:
    """A torch.nn.Module that recurra computes. A subclass says what the core is to be."""

    _held: Held | None
    _states = 1  # of the cell
    _original: Any = None  # torch.nn's class, where there is one

    def _kind(self) -> Kind:
        """What the core is to be."""
        raise NotImplementedError

    def _parts(self, hx: Any) -> tuple[Any, ...]:
        """The cell's states, each of which may be None."""
        if self._states == 1:
            return (hx,)
        if hx is None:
            return (None,) * self._states
        if not isinstance(hx, (tuple, list)) or len(hx) != self._states:
            raise TypeError(f"hx: expected a tuple of {self._states} tensors, got {type(hx).__name__}")
        return tuple(hx)

    def _own_forward(self, input: Any, hx: Any) -> Any:  # noqa: A002
        """torch.nn's forward, which traces and exports as torch's operators do; NotImplementedError without one."""
        if self._original is None:
            raise NotImplementedError(f"{type(self).__name__}: {TRACED}")
        return self._original.forward(self, input, hx)

    def _trace(self, input: Any, hx: Any, others: Mapping[str, Any]) -> Any:  # noqa: A002
        """Within torch.compile, torch.export, torch.jit.trace or torch.onnx.export."""
        given = {name: value for name, value in others.items() if value is not None}
        exporting = getattr(torch.compiler, "is_exporting", None)
        if torch.compiler.is_compiling() and not (exporting and exporting()):
            return eager(self, input, hx, given)
        if given:
            raise NotImplementedError(f"{type(self).__name__}: {TRACED}, got {', '.join(given)}")
        return self._own_forward(input, hx)

    def _refuse(self, error: Exception, input: Any, hx: Any, plain: bool) -> None:  # noqa: A002
        """For arguments that the core refuses: raises torch's own error where it has one, or says what is wrong.

        torch has none where the call isn't `plain`, but has arguments that torch.nn doesn't know.
        """
        shapes = shapes_of(self)
        check_parameters(self, shapes, tensors_of(self, shapes))
        if plain:
            with torch.no_grad(), suppress(NotImplementedError):
                self._own_forward(input, hx)
        x = input.data if isinstance(input, PackedSequence) else input
        for name, tensor in (("input", x), *[("hx", part) for part in self._parts(hx) if part is not None]):
            check_tensor(name, tensor)
        raise error


def plain_array(name: str, value: Any, what: str) -> Any:
    """What has no gradients, a tensor or what torch makes one of, as an array."""
    try:
        return array_of(torch.as_tensor(value), name)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor of {what}, got {shown(value)}") from error
        check_memory(name, value)  # torch's repr of one without memory ends the process
        got = f"one of {value.dtype} and {value.layout} on {value.device}"
        raise TypeError(f"{name}: expected a dense tensor of {what} on the CPU, got {got}") from error


def named_inputs(inputs: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """The names and the tensors of what a formula's cell reads."""
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs: expected a dict of tensors by name, got {type(inputs).__name__}")
    for name, tensor in inputs.items():
        check_tensor(f"inputs[{name!r}]", tensor)
    return tuple(inputs), tuple(inputs.values())


@partial(torch.compiler.disable, recursive=True)
def eager(module: Any, input: Any, hx: Any, others: Mapping[str, Any]) -> Any:  # noqa: A002
    """The module's forward outside of the graph that is being compiled."""
    return module._run(input, hx, **others)


def cast(tensor: Any, dtype: Any) -> Any:
    """Within autocast, a tensor of a narrower dtype as the weights have it."""
    same = tensor is None or tensor.dtype is dtype or not tensor.is_floating_point()
    return tensor if same else tensor.to(dtype)


class Sequences(CoreModule):
    """Modules over sequences."""

    batch_first: bool
    bidirectional: bool
    dropout: float
    hidden_size: int
    num_layers: int
    proj_size: int
    training: bool

    def forward(
        self,
        input: Any,  # noqa: A002
        hx: Any = None,
        *,
        lengths: Any = None,
        inputs: Mapping[str, Any] | None = None,
        resets: Any = None,
    ) -> Any:
        """Runs the layers: arguments and results of torch.nn's, and three arguments more.

        Args:
            input: (T, B, input_size), with `batch_first` (B, T, input_size), (T, input_size), or a PackedSequence.
            hx: the initial state (L*D, B, P), or a tuple of the cell's states; None is zeros.
            lengths: (B,) integers in 0..T, the steps of each sequence, in the place of a PackedSequence, with which
                neither this nor the following may be given.
            inputs: what a formula's cell reads besides `input`: tensors by name, (T, B, H), (T, B) or (B, H).
            resets: (T, B) of bool, laid out as `input`: before which steps the state becomes zero.

        Returns:
            output (T, B, D*P), zero beyond the end given by `lengths`, or a PackedSequence; and the state after each
            sequence's last step.

        Raises:
            RuntimeError: torch.nn's own for wrong shapes and dtypes, as are the others; a second derivative.
            ValueError: likewise; or `lengths`, `inputs` or `resets` with a PackedSequence.
            TypeError: likewise.
            NotImplementedError: `vmap`; a traced or exported call that torch.nn's operators can't replace.
        """
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            return self._trace(input, hx, {"lengths": lengths, "inputs": inputs, "resets": resets})
        return self._run(input, hx, lengths, inputs, resets)

    def _run(
        self,
        input: Any,  # noqa: A002
        hx: Any,
        lengths: Any = None,
        inputs: Mapping[str, Any] | None = None,
        resets: Any = None,
    ) -> Any:
        call = Call(self, batch_first=self.batch_first)
        try:
            parameters = tensors_of(self, shapes_of(self))
            states = self._parts(hx)
            packed = input if isinstance(input, PackedSequence) else None
            x = input if packed is None else packed.data
            if packed is not None:
                check_packed(lengths=lengths, inputs=inputs, resets=resets)
                check_memory("input.data", x)
                call.batch_sizes, call.batch_first = packed.batch_sizes, False
                states = permuted(states, packed.sorted_indices)
            if x.dtype is not parameters[0].dtype and torch._C._is_any_autocast_enabled():
                x = cast(x, parameters[0].dtype)
                states = tuple([cast(state, parameters[0].dtype) for state in states])
            if lengths is not None:
                call.lengths = plain_array("lengths", lengths, "integers")
            if resets is not None:
                call.resets = plain_array("resets", resets, "bool")
            values = ()
            if inputs is not None:
                call.inputs, values = named_inputs(inputs)
            if self.training and self.dropout and self.num_layers > 1:
                call.draw = partial(self._draw, x, call.batch_sizes)
            y, *state = outputs_of(call, (x, *states, *values), parameters)
        except (TypeError, ValueError, AttributeError) as error:
            return self._refuse(error, input, hx, lengths is None and inputs is None and resets is None)
        if packed is not None:
            y = PackedSequence(y, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
            state = permuted(state, packed.unsorted_indices)
        return y, state[0] if self._states == 1 else tuple(state)

    def _draw(self, x: Any, batch_sizes: Any, steps: int, batch: int) -> tuple[list[Any], None]:
        """Inverted dropout's factors between layers (T, B, D*P), from torch's generator, as torch.nn draws them."""
        features = (2 if self.bidirectional else 1) * (self.proj_size or self.hidden_size)
        rows = (steps, batch) if batch_sizes is None else x.shape[:1]
        rate, masks = self.dropout, []
        for _ in range(self.num_layers - 1):
            mask = torch.empty((*rows, features), dtype=x.dtype).bernoulli_(1 - rate)
            mask = mask.div_(1 - rate) if rate < 1 else mask
            masks.append((mask if batch_sizes is None else padded_steps(mask, batch_sizes)[0]).numpy())
        return masks, None


def check_packed(**others: Any) -> None:
    """Refuses what is given by sequence or by step, whose order and layout a PackedSequence doesn't tell."""
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"{name}: expected None with a PackedSequence, got {type(value).__name__}: give padded sequences"
            )


def permuted(states: Any, order: Any) -> Any:
    """States with their sequences in another order."""
    if order is None:
        return states
    return tuple([None if state is None else state.index_select(1, order) for state in states])


class Steps(CoreModule):
    """Modules of a single step."""

    def forward(self, input: Any, hx: Any = None, *, inputs: Mapping[str, Any] | None = None) -> Any:  # noqa: A002
        """The state after one step.

        Args:
            input: (B, input_size) or (input_size,).
            hx: the state before it, (B, H) or (H,), or a tuple of the cell's states; None is zeros.
            inputs: what a formula's cell reads besides `input`: tensors by name, (B, H) or (B,).

        Returns:
            The state after it, like `hx`.

        Raises:
            RuntimeError: torch.nn's own for wrong shapes and dtypes, as are the others.
            ValueError: likewise.
            TypeError: likewise.
        """
        if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            return self._trace(input, hx, {"inputs": inputs})
        return self._run(input, hx, inputs)

    def _run(self, input: Any, hx: Any, inputs: Mapping[str, Any] | None = None) -> Any:  # noqa: A002
        call = Call(self, single=True)
        try:
            parameters = tensors_of(self, shapes_of(self))
            x, states, values = input, self._parts(hx), ()
            if x.dtype is not parameters[0].dtype and torch._C._is_any_autocast_enabled():
                x = cast(x, parameters[0].dtype)
                states = tuple([cast(state, parameters[0].dtype) for state in states])
            if inputs is not None:
                call.inputs, values = named_inputs(inputs)
            state = outputs_of(call, (x, *states, *values), parameters)
        except (TypeError, ValueError, AttributeError) as error:
            return self._refuse(error, input, hx, inputs is None)
        return state[0] if self._states == 1 else state

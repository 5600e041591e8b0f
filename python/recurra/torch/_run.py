"""One call of a module: what torch's autograd sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.autograd.function import Function

from ._networks import array_of, network_of
from ._packed import packed_rows, padded_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

keeps_graph: Callable[[], bool] | None = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)

SECOND = (
    "Trying to backward through the graph a second time: the tape of a recurra module is freed by its first backward. "
    "Specify retain_graph=True if you need to backward through the graph a second time."
)
TWICE = "trying to differentiate twice a recurra module: it has first derivatives only"


class Call:
    """All of a call but its tensors: x, the states, the inputs, then the parameters, whose gradients are asked for.

    `states` are how many states the cell has, `inputs` the names of its inputs that are given. `draw` is a function of
    (T, B) that draws masks, or None. `batch_sizes` are those of a PackedSequence, whose data x then is.
    """

    __slots__ = (
        "batch_first",
        "batch_sizes",
        "draw",
        "inputs",
        "kept",
        "lengths",
        "module",
        "resets",
        "single",
        "states",
    )

    def __init__(self, module: Any, *, single: bool = False, batch_first: bool = False) -> None:
        self.module, self.states, self.single, self.batch_first = module, module._states, single, batch_first
        self.inputs: Sequence[str] = ()
        self.draw: Any = None
        self.lengths: Any = None
        self.resets: Any = None
        self.batch_sizes: Any = None
        self.kept: Any = None  # between the two parts of a transformed forward

    def values(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """The cell's inputs among the tensors."""
        return tensors[1 + self.states : 1 + self.states + len(self.inputs)] if self.inputs else ()

    def arguments(self, tensors: Sequence[Any]) -> tuple[Any, Any, Any]:
        """x, the initial state and the inputs, as the core takes them."""
        x, states, values = tensors[0], tensors[1 : 1 + self.states], tensors[1 + self.states :]
        if self.batch_sizes is not None:
            x, self.lengths = padded_steps(x.detach(), self.batch_sizes)
        arrays = tuple([None if state is None else array_of(state) for state in states])
        inputs = {name: array_of(value) for name, value in zip(self.inputs, values, strict=True)} or None
        return array_of(x), arrays[0] if self.states == 1 else arrays, inputs

    def outputs(self, y: Any, state: Any) -> tuple[Any, ...]:
        """The tensors that the call returns: y, unless it is a single step, and the states."""
        tensors = tuple([torch.from_numpy(part) for part in (state if self.states > 1 else (state,))])
        if self.single:
            return tensors
        y = torch.from_numpy(y)
        return (y if self.batch_sizes is None else packed_rows(y, self.lengths), *tensors)

    def run(self, tensors: Sequence[Any], parameters: Sequence[Any]) -> tuple[Any, ...]:
        """Without gradients."""
        network = network_of(self.module, parameters)
        x, hx, inputs = self.arguments(tensors)
        if self.draw is not None:
            y, state, _ = network.forward(
                x, hx, self.lengths, self.batch_first, self.draw, None, inputs, self.resets, None
            )
            return self.outputs(y, state)
        result = network.call(x, hx, self.lengths, None, self.batch_first, None, inputs, self.resets, None)
        return self.outputs(None, result) if self.single else self.outputs(*result)

    def record(self, tensors: Sequence[Any]) -> tuple[Any, Any, tuple[Any, ...]]:
        """With a tape: the network, the tape and the outputs."""
        given = 1 + self.states + len(self.inputs)
        network = network_of(self.module, tensors[given:])
        x, hx, inputs = self.arguments(tensors[:given])
        result = network.forward(x, hx, self.lengths, self.batch_first, self.draw, None, inputs, self.resets, None)
        y, state, tape = (None, *result) if self.single else result
        return network, tape, self.outputs(y, state)

    def gradients(
        self, network: Any, tape: Any, needed: Sequence[bool], values: Any, outputs: Sequence[Any], retain: bool
    ) -> tuple[Any, ...]:
        """Of all tensors, None where none is needed, from those of the outputs, each of which may be None."""
        given = 1 + self.states + len(self.inputs)
        if self.single:
            dy, dfinal = None, outputs
        else:
            dy, *dfinal = outputs
            if dy is not None and self.batch_sizes is not None:
                dy, _ = padded_steps(dy.detach(), self.batch_sizes)
        dstate = tuple([None if one is None else array_of(one) for one in dfinal])
        dinputs = {
            name: np.zeros_like(array_of(value))
            for name, value, wanted in zip(self.inputs, values, needed[1 + self.states : given], strict=True)
            if wanted
        }
        dx, dinitial, dparameters = network.gradients(
            tape,
            None if dy is None else array_of(dy),
            dstate[0] if self.states == 1 else dstate,
            dinputs or None,
            needed[0],
            needed[given:],
            retain,
        )
        if dx is not None:
            dx = torch.from_numpy(dx)
            dx = dx if self.batch_sizes is None else packed_rows(dx, self.lengths)
        states = zip((dinitial,) if self.states == 1 else dinitial, needed[1:], strict=False)
        return (
            dx,
            *[torch.from_numpy(part) if wanted else None for part, wanted in states],
            *[torch.from_numpy(dinputs[name]) if name in dinputs else None for name in self.inputs],
            *[None if part is None else torch.from_numpy(part) for part in dparameters],
        )


class Run(Function):  # type: ignore[misc]
    """Forward with a tape, backward through time: `apply(call, *tensors)`."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Any) -> tuple[Any, ...]:
        """The outputs of the call."""
        ctx.set_materialize_grads(False)
        ctx.call = call
        ctx.network, ctx.tape, outputs = call.record(tensors)
        ctx.values = call.values(tensors)
        return outputs

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Any, ...]:
        """The gradients of the tensors."""
        if ctx.tape is None:
            raise RuntimeError(SECOND)
        retain = keeps_graph is None or keeps_graph()
        gradients = ctx.call.gradients(ctx.network, ctx.tape, ctx.needs_input_grad[1:], ctx.values, outputs, retain)
        if not retain:
            ctx.tape = ctx.network = None
        if not torch.is_grad_enabled():
            return (None, *gradients)
        wanted = [None if part is None else part.requires_grad_() for part in gradients]  # with create_graph
        return (None, *Last.apply(*wanted))


class Last(Function):  # type: ignore[misc]
    """Gradients that have no gradients themselves: whoever asks for them is told, instead of getting a part of them."""

    @staticmethod
    def forward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        """The same."""
        ctx.set_materialize_grads(False)
        return tuple([None if part is None else part.detach() for part in gradients])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ARG004
        """There is none."""
        raise RuntimeError(TWICE)


apply_run = super(Function, Run).apply  # without what Function.apply does for torch.func alone: 3 of 27 µs


def outputs_of(call: Call, tensors: Sequence[Any], parameters: Sequence[Any]) -> tuple[Any, ...]:
    """What a call returns: autograd knows it if any of the tensors requires a gradient."""
    if torch._C._are_functorch_transforms_active():
        outputs: tuple[Any, ...] = TransformedRun.apply(call, *tensors, *parameters)
        return outputs
    if forward_ad._current_level >= 0:  # tangents don't need requires_grad; Function refuses them
        return apply_run(call, *tensors, *parameters)  # type: ignore[no-any-return]
    if torch.is_grad_enabled():
        for tensor in parameters:
            if tensor.is_nested:  # assigned to its `data`: autograd would end the process
                raise TypeError("parameters: expected dense tensors, got a nested one")
        for tensor in (*parameters, *tensors):
            if tensor is not None and tensor.requires_grad:
                return apply_run(call, *tensors, *parameters)  # type: ignore[no-any-return]
    return call.run(tensors, parameters)


class TransformedRun(Function):  # type: ignore[misc]
    """The same within torch.func.grad and its like, whose tensors are wrapped in the backward pass too."""

    @staticmethod
    def forward(call: Call, *tensors: Any) -> tuple[Any, ...]:
        """The outputs of the call."""
        network, tape, outputs = call.record(tensors)
        call.kept = network, tape, call.values(tensors)
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        """Keeps the tape, and the tensors for those who differentiate twice."""
        ctx.set_materialize_grads(False)
        ctx.call = inputs[0]
        ctx.kept = ctx.call.kept
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Any, ...]:
        """The gradients of the tensors."""
        tensors = ctx.saved_tensors
        return (
            None,
            *TransformedBack.apply(ctx.call, ctx.kept, ctx.needs_input_grad[1:], len(outputs), *outputs, *tensors),
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """There is none."""
        raise NotImplementedError(
            "vmap: expected modules that are written in torch, got one of recurra: call it in turn"
        )


class TransformedBack(Function):  # type: ignore[misc]
    """The backward pass of `TransformedRun` on the tensors within the wrappers.

    It is given the forward's tensors as well, so that torch knows what the gradients depend on.
    """

    @staticmethod
    def forward(call: Call, kept: Any, needed: Any, count: int, *tensors: Any) -> tuple[Any, ...]:
        """The gradients of the tensors, from those of `count` outputs."""
        network, tape, values = kept
        return call.gradients(network, tape, needed, values, tensors[:count], True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """There is nothing to keep."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ARG004
        """There is none."""
        raise RuntimeError(TWICE)

    vmap = TransformedRun.vmap

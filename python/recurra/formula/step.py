"""One step of a formula, by calling its function with arrays or tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import is_tensor, step_dtype, step_projection
from .layout import SUM, Layout, half_part, part_names
from .operations import InputShape
from .trace import Gate, Names
from .tracing import call


class _Sums:
    """The sums of gates for one x and the states before it."""

    def __init__(self, layout: Layout, x: Any, states: Sequence[Any], params: Mapping[str, Any]) -> None:
        self._layout = layout
        self._x = x
        self._states = states
        self._params = params
        self.hidden = _hidden_size(layout, states, params)

    def gate(self, name: str) -> Gate:
        declared = self._layout.declared
        number = declared.gates.index(name)

        def compute(part: str, v: Any) -> Any:
            code = half_part(declared, part)
            columns = self._layout.columns(number) if code == SUM else [code]
            total = self._column(number, columns[0], v)
            for column in columns[1:]:
                total = total + self._column(number, column, v)
            return total

        return Gate(name, part_names(declared, number), compute)

    def _rows(self, name: str, gate: int) -> Any:
        block = self._layout.block(name, gate)
        return self._params[name][block * self.hidden : (block + 1) * self.hidden]

    def _column(self, gate: int, part: int, v: Any) -> Any:
        layout = self._layout
        total: Any = None
        if layout.has_input(part):
            total = self._x @ self._rows("weight_ih", gate).T + self._rows("bias_ih", gate)
        for half in layout.halves(gate, part):
            product = self._product(layout.weight(gate, half), gate, self._states[half] if v is None else v)
            total = product if total is None else total + product
        return total if layout.recurrent_bias(gate, part) < 0 else total + self._rows("bias_hh", gate)

    def _product(self, name: str, gate: int, source: Any) -> Any:
        heads = self._layout.declared.heads
        weight = self._rows(name, gate)
        size = weight.shape[-1] * heads
        if not getattr(source, "shape", None) or source.shape[-1] != size:
            source = source + 0 * self._rows("bias_hh", gate)  # one number for all units, or for those of a row
        if heads == 1:
            return source @ weight.T
        parts = source.reshape(*source.shape[:-1], heads, 1, weight.shape[-1])
        blocks = weight.reshape(heads, self.hidden // heads, weight.shape[-1])
        return (parts * blocks).sum(-1).reshape(*source.shape[:-1], self.hidden)


def _hidden_size(layout: Layout, states: Sequence[Any], params: Mapping[str, Any]) -> int:
    return int(params["weight_hr"].shape[-1] if layout.projects else states[0].shape[-1])


def _check(layout: Layout, states: object, params: object, inputs: object) -> None:
    """Refuse what has other states or lacks names; shapes are the products' to refuse."""
    declared = layout.declared
    listed = ", ".join(declared.states)
    if not isinstance(states, (list, tuple)):
        raise TypeError(f"states: expected a list of arrays ({listed}), got {type(states).__name__}")
    if len(states) != len(declared.states):
        raise ValueError(f"states: expected {len(declared.states)} arrays ({listed}), got {len(states)}")
    for what, given, names in (
        ("params", params, [parameter.name for parameter in layout.parameters]),
        ("inputs", inputs, list(declared.inputs)),
    ):
        if not isinstance(given, Mapping):
            raise TypeError(f"{what}: expected a dict of arrays by name, got {type(given).__name__}")
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError(f"{what}: expected {', '.join(names)}, got no {', no '.join(missing)}")


def run_step(
    layout: Layout, x: Any, states: Sequence[Any], params: Mapping[str, Any], inputs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """See `Formula.run_step`."""
    declared = layout.declared
    _check(layout, states, params, inputs)
    sums = _Sums(layout, x, states, params)

    def given(name: str) -> Any:
        if name == "x":
            return x
        return inputs[name][..., None] if declared.inputs[name] == InputShape.PER_STEP else inputs[name]

    def names(letter: str, of: Sequence[str], value: Callable[[str], Any]) -> Names:
        return Names(letter, "names", of, value)

    like = states[0]
    dtype = step_dtype.set(like.dtype)
    projection = step_projection.set(params.get("weight_hr"))
    try:
        results = call(
            declared,
            {
                "a": names("a", declared.gates, sums.gate),
                "s": names("s", declared.states, lambda name: states[declared.states.index(name)]),
                "u": names("u", [*declared.units, *declared.scalars], lambda name: params[name]),
                "x": names("x", [*declared.inputs, "x"], given),
            },
        )
    finally:
        step_dtype.reset(dtype)
        step_projection.reset(projection)
    return tuple(_state(value, old) for value, old in zip(results, states, strict=True))


def _state(value: Any, old: Any) -> Any:
    """A new state in the shape and type of the old one: equations may have made a constant, or one number per row."""
    if is_tensor(old):
        if not is_tensor(value):
            return old * 0 + value
        return value.to(old.dtype).expand(old.shape)
    return np.broadcast_to(np.asarray(value, old.dtype), old.shape)

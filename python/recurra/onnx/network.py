"""Networks that were read: what they take and give, their nodes, and how they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra._checks import is_listed, is_masked, masked_cure, shown, taken

from .nodes import defaults_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recurra.module import Array, Module

    from .nodes import Computation, Node

SHOWN = 200  # nodes in a repr
SHORT = (int, float, str, tuple)  # attributes that are shown there


class Port(NamedTuple):
    """An input or an output of a graph.

    Attributes:
        name: in the graph.
        shape: its sizes, names for those that are free; None for what isn't said.
        dtype: NumPy's; None where it isn't said.
        optional: whether it is an input that has a default in the file.
    """

    name: str
    shape: tuple[int | str | None, ...] | None
    dtype: np.dtype[Any] | None
    optional: bool = False

    def __str__(self) -> str:
        sizes = "…" if self.shape is None else ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name}: {self.dtype or '?'}[{sizes}]{' (optional)' if self.optional else ''}"


class Step(NamedTuple):
    """A node with what it does."""

    node: Node
    computation: Computation

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the node's inputs, and of what its body reads."""
        return self.node.inputs + self.computation.more

    def __str__(self) -> str:
        node = self.node
        left, right = ", ".join(n or "-" for n in node.outputs), ", ".join(n or "-" for n in node.inputs)
        name = f" {node.name!r}" if node.name and node.name not in node.outputs else ""
        usual = defaults_of(node.op_type, node.reading.opset)
        options = {k: v for k, v in node.attributes.items() if isinstance(v, SHORT) and usual.get(k) != v}
        given = " ".join(f"{k}={shown(v)}" for k, v in options.items())
        layers = "".join(f"  -> {layer!r}" for layer in self.computation.layers)
        return f"{left} = {node.op_type}({right}){name}{' ' + given if given else ''}{layers}"


def layer_ends(step: Step) -> Sequence[str]:
    """What is put after a node's name for each of its layers."""
    count = len(step.computation.layers)
    return [f".{k}" for k in range(count)] if step.node.op_type == "Scan" else ["", "_reverse"][:count]


class Network:
    """A graph of ONNX as a function of arrays. `recurra.from_onnx` makes it.

    Runs may be called by several threads at once. There are no gradients: take `layers` to go on training. Printed, it
    shows its nodes with their layers.

    Attributes:
        inputs: what the graph takes, in its order: each has `name`, `shape` (names stand for sizes that are free),
            `dtype` and `optional`.
        outputs: what it gives, likewise.
        layers: the recurra layers that it is made of, by the names of their nodes: by the first output, where a node
            has no name or one that came before. A node whose directions differ has two, "name" and "name_reverse",
            and those in a Scan are "name.0" and so on. They are the ones that are run: what is loaded into them, or
            trained, counts from then on.
    """

    def __init__(
        self, inputs: Sequence[Port], outputs: Sequence[Port], steps: Sequence[Step], constants: Mapping[str, Array]
    ) -> None:
        self.inputs: tuple[Port, ...] = tuple(inputs)
        self.outputs: tuple[Port, ...] = tuple(outputs)
        self._steps = tuple(steps)
        self._constants = dict(constants)
        self._plans: dict[tuple[str, ...], list[tuple[Step, tuple[str, ...]]]] = {}
        self.layers: dict[str, Module] = {}
        for step in self._steps:
            name = step.node.name
            if name in self.layers:
                name = next(filter(None, step.node.outputs))
            for layer, end in zip(step.computation.layers, layer_ends(step), strict=True):
                own = name + end
                while own in self.layers:  # another node's name
                    own += "'"
                self.layers[own] = layer

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are run; those of constants alone were computed when the model was read."""
        return tuple(step.node for step in self._steps)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("network: expected to be read from its file again, got a copy or a pickle of it")

    def __repr__(self) -> str:
        lines = [f"Network of {len(self._steps)} nodes"]
        lines += [f"  input  {port}" for port in self.inputs]
        lines += [f"  {step}" for step in self._steps[:SHOWN]]
        if len(self._steps) > SHOWN:
            lines.append(f"  … and {len(self._steps) - SHOWN} more nodes")
        lines += [f"  output {port}" for port in self.outputs]
        return "\n".join(lines)

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Computes the graph.

        Args:
            inputs: arrays by the names of the graph's inputs, of the dtypes and shapes in `network.inputs`. An optional
                one may be left out, for the value in the file.
            outputs: names of the outputs that are wanted; None for all. What they don't need isn't computed.

        Returns:
            New arrays by name, in the order of `outputs`.

        Raises:
            TypeError: an input isn't an array, or of another dtype.
            ValueError: an input is missing, unknown, or of another shape; or a node can't compute what it is given.
        """
        values = self._given(inputs)
        wanted = tuple(port.name for port in self.outputs) if outputs is None else self._wanted(outputs)
        borrowed = {id(value) for value in values.values()}
        with np.errstate(all="ignore"):
            for step, last in self._plan(wanted):
                compute(step, values)
                for name in last:
                    del values[name]
        results: dict[str, Array] = {}
        for name in wanted:
            value, flags = values[name], values[name].flags
            owned = flags.owndata and flags.writeable and flags.c_contiguous and id(value) not in borrowed
            results[name] = value if owned else np.array(value, order="C")
            borrowed.add(id(value))
        return results

    def _wanted(self, outputs: Sequence[str]) -> tuple[str, ...]:
        if isinstance(outputs, str) or not is_listed(outputs) or not all(isinstance(name, str) for name in outputs):
            raise TypeError(f"outputs: expected a list of names, got {shown(outputs)}")
        known = [port.name for port in self.outputs]
        for name in outputs:
            if name not in known:
                raise ValueError(f"outputs: expected some of {', '.join(known)}, got {shown(name)}")
        return tuple(outputs)

    def _given(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Constants and inputs, checked."""
        if not hasattr(inputs, "keys"):
            raise TypeError(
                f"inputs: expected a dict of arrays by name, as the first argument, got {type(inputs).__name__}"
            )
        names = [port.name for port in self.inputs]
        for name in inputs:
            if name not in names:
                raise ValueError(f"inputs: expected names of {', '.join(names)}, got {shown(name)}")
        values = dict(self._constants)
        sizes: dict[str, int] = {}
        for port in self.inputs:
            if port.name in inputs:
                values[port.name] = _checked(port, inputs[port.name], sizes)
            elif not port.optional:
                raise ValueError(f"inputs[{port.name!r}]: expected {port}, got none")
        return values

    def _plan(self, wanted: tuple[str, ...]) -> list[tuple[Step, tuple[str, ...]]]:
        """The steps that outputs need, each with the names of values that no later one does."""
        if wanted not in self._plans:
            if len(self._plans) > 64:  # of a caller that asks for ever new ones
                self._plans.clear()
            self._plans[wanted] = plan_of(self._steps, wanted)
        return self._plans[wanted]


def compute(step: Step, values: dict[str, Array]) -> None:
    """Runs a step: reads its inputs from `values`, and adds its outputs."""
    node = step.node
    arrays = [values[name] if name else None for name in step.inputs]
    try:
        computed = step.computation.run(*arrays)
    except (ValueError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
        got = ", ".join("none" if v is None else f"{v.dtype}{list(v.shape)}" for v in arrays)
        raise ValueError(f"{node.label}: expected inputs that go together, got {got}: {error}") from error
    several = computed if isinstance(computed, tuple) else (computed,)
    for name, value in zip(node.outputs, several, strict=False):
        if name:
            values[name] = np.asarray(value)


def plan_of(steps: Sequence[Step], wanted: Sequence[str]) -> list[tuple[Step, tuple[str, ...]]]:
    """The steps that values need, each with the names of those that no later step needs."""
    needed, plan = set(wanted), []
    for step in reversed(steps):
        if needed.isdisjoint(step.node.outputs):
            continue
        fresh = {name for name in (*step.inputs, *step.node.outputs) if name} - needed
        plan.append((step, tuple(fresh)))
        needed |= fresh
    return plan[::-1]


def _checked(port: Port, value: object, sizes: dict[str, int]) -> Array:
    """An input as NumPy's own array; `sizes` collects what named axes are."""
    name = f"inputs[{port.name!r}]"
    value = np.asarray(value) if isinstance(value, np.generic) else value  # a number, which is an array without axes
    given, value = value, taken(name, value)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}")
    if is_masked(value):
        raise TypeError(f"{name}: expected a plain numpy.ndarray, got a masked one: {masked_cure(name)}")
    if port.dtype is not None and value.dtype != port.dtype:
        from recurra._foreign import refuse_dtype

        refuse_dtype(name, given, value.dtype, str(port.dtype), str(port.dtype))
    array = np.asarray(value)
    if port.shape is not None:
        fits = array.ndim == len(port.shape)
        for own, size in zip(port.shape, array.shape, strict=False):
            expected = sizes.setdefault(own, size) if isinstance(own, str) and not port.optional else own
            fits = fits and (not isinstance(expected, int) or expected == size)
        if not fits:
            known = {own: sizes[own] for own in port.shape if isinstance(own, str) and own in sizes}
            where = "".join(f", {own} = {size}" for own, size in known.items())
            raise ValueError(f"{name}: expected {port}{where}, got shape {array.shape}")
    return array

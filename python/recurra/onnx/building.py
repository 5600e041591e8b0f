"""Graphs while they are written: nodes, initializers and names of their own for every value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra.module import Array

BOOL = 9  # TensorProto's number


class Builder:
    """A graph to which nodes are added one by one. A body (of a Scan) is one too, that reads its parent's values."""

    def __init__(self, onnx: Any, opset: int, dtype: np.dtype[Any], parent: Builder | None = None) -> None:
        self.onnx, self.opset, self.dtype, self.parent = onnx, opset, dtype, parent
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.initializers: dict[str, Any] = parent.initializers if parent else {}
        self._constants: dict[Any, str] = parent._constants if parent else {}
        self._names: set[str] = parent._names if parent else set()
        self._shared: dict[Any, str] = {}

    def body(self) -> Builder:
        """A graph within this one: it shares names and constants, which stay in the outermost graph."""
        return Builder(self.onnx, self.opset, self.dtype, self)

    def fresh(self, hint: str) -> str:
        """A name that no other value has."""
        name, number = hint, 0
        while name in self._names:
            number += 1
            name = f"{hint}_{number}"
        self._names.add(name)
        return name

    def node(self, op_type: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Adds a node of one output, and returns its name."""
        return self.several(op_type, 1, *inputs, name=name, **attributes)[0]

    def several(self, op_type: str, outputs: int, *inputs: str, name: str = "", **attributes: Any) -> list[str]:
        """Adds a node, and returns the names of its outputs."""
        label = self.fresh(name or op_type)
        made = [self.fresh(f"{label}_out" if outputs == 1 else f"{label}_out{i}") for i in range(outputs)]
        given = list(inputs)
        while given and not given[-1]:
            given.pop()
        self.nodes.append(self.onnx.helper.make_node(op_type, given, made, name=label, **attributes))
        return made

    def once(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """The output of such a node: of one that is there already, if there is one."""
        key = op_type, inputs, tuple(sorted(attributes.items()))
        if key not in self._shared:
            self._shared[key] = self.node(op_type, *inputs, **attributes)
        return self._shared[key]

    def weight(self, array: Array, name: str) -> str:
        """An initializer of this name, or of one like it."""
        label = self.fresh(name)
        self.initializers[label] = self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), label)
        return label

    def integers(self, *values: int) -> str:
        """A vector of int64, each once."""
        key = "int64", values
        if key not in self._constants:
            self._constants[key] = self.weight(np.array(values, np.int64), "sizes")
        return self._constants[key]

    def integer(self, value: int) -> str:
        """An int64 without axes."""
        key = "index", value
        if key not in self._constants:
            self._constants[key] = self.weight(np.array(value, np.int64), "index")
        return self._constants[key]

    def number(self, value: float) -> str:
        """A number of the model's dtype."""
        key = "number", np.array(value, self.dtype).tobytes()
        if key not in self._constants:
            self._constants[key] = self.weight(np.array(value, self.dtype), "number")
        return self._constants[key]

    def _claim(self, name: str) -> None:
        """Takes a name that users know, which only an input of a formula can have taken before."""
        if name in self._names:
            raise ValueError(f"model: expected other names of a formula's inputs, got {name!r}")
        self._names.add(name)

    def input(self, name: str, dtype: object, shape: Sequence[Any] | None) -> str:
        """An input of the graph; sizes are numbers, names or None.

        Raises:
            ValueError: another value has that name.
        """
        self._claim(name)
        self.inputs.append(self.info(name, dtype, shape))
        return name

    def default(self, name: str, array: Array) -> None:
        """What an input is where a run leaves it out."""
        self.initializers[name] = self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)

    def output(self, value: str, name: str, dtype: object, shape: Sequence[Any] | None) -> None:
        """Makes a value an output of the graph; raises as `input` does."""
        self._claim(name)
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name], name=self.fresh(f"to_{name}")))
        self.outputs.append(self.info(name, dtype, shape))

    def info(self, name: str, dtype: object, shape: Sequence[Any] | None) -> Any:
        """A ValueInfoProto."""
        helper = self.onnx.helper
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)  # type: ignore[call-overload]

    def size(self, value: str, axis: int) -> str:
        """The length of an axis of a value, as a vector of one."""
        return self.once("Gather", self.once("Shape", value), self.integers(axis))

    def joined(self, parts: Sequence[str], axis: int) -> str:
        """Values one after another along an axis."""
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=axis)

    def parted(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """A value cut into pieces along an axis."""
        if len(sizes) == 1:
            return [value]
        return self.several("Split", len(sizes), value, self.integers(*sizes), axis=axis)

"""The layers of a stack one by one, each as a layer of its own: what comes out of those within is seen only so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from recurra.formula.operations import InputShape
from recurra.module import kind_of_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recurra.module import Array

NAME = re.compile(r"(?P<own>.*)_l(?P<layer>\d+)(?P<end>(_reverse)?(\.scale)?)")


class Stack:
    """A recurrent layer as single ones, to be called with the states, lengths, resets and inputs of the whole."""

    def __init__(self, layer: Any) -> None:
        self._formula = layer.formula
        self._directions = 2 if layer.bidirectional else 1
        self._layers = [layer] if layer.num_layers == 1 else list(_singles(layer, self._directions))
        self._whole = layer

    def run(self, x: Array, state: Any, options: Mapping[str, Any]) -> Iterator[tuple[Array, dict[str, Array]]]:
        """Of each layer y, and the final states besides h by name; refuses first what the whole would refuse."""
        inputs = options.get("inputs")
        if len(self._layers) > 1:
            self._whole(x, state, **options)
        y = x
        for k, layer in enumerate(self._layers):
            own = dict(options)
            if inputs is not None and len(self._layers) > 1:
                axes = x.ndim - (x.dtype.kind == "f")
                own["inputs"] = {name: self._of_layer(k, name, array, axes) for name, array in inputs.items()}
            y, final = layer(y, self._initial(k, state), **own)
            names = self._formula.states
            finals = dict(zip(names, final if len(names) > 1 else [final], strict=True))
            yield y, {name: one for name, one in finals.items() if name != self._formula.declared.output}

    def _initial(self, k: int, state: Any) -> Any:
        if state is None or len(self._layers) == 1:
            return state
        rows = slice(k * self._directions, (k + 1) * self._directions)
        if not isinstance(state, (tuple, list)):
            return state[rows]
        return tuple(None if one is None else one[rows] for one in state)

    def _of_layer(self, k: int, name: str, array: Array, axes: int) -> Array:
        """What an input is for a layer, of one array for all or of one for each layer and direction."""
        shape = self._formula.declared.inputs[name]
        common = {InputShape.PER_UNIT: axes + 1, InputShape.PER_STEP: axes, InputShape.PER_ROW: axes}[shape]
        return array if array.ndim == common else array[k * self._directions : (k + 1) * self._directions]


def _singles(layer: Any, directions: int) -> Iterator[Any]:
    kind, arrays = kind_of_layer(layer), layer.state_dict()
    given = layer._made_with if layer._compressed else {name: getattr(layer, name) for name in kind._options}
    for k in range(layer.num_layers):
        options = given | {"num_layers": 1} | ({"dropout": 0.0} if "dropout" in given else {})
        if k:
            options |= {"input_size": directions * (layer.proj_size or layer.hidden_size), "tokens": None}
        single = kind(**options, seed=0)
        if layer._compressed:
            single = type(layer)(single, layer.weights)
        single.load_state_dict(dict(_of_layer(arrays, k, directions)))
        yield single


def _of_layer(arrays: Mapping[str, Array], k: int, directions: int) -> Iterator[tuple[str, Array]]:
    """The parameters of one layer of a stack, by the names of a layer alone."""
    for name, array in arrays.items():
        place = NAME.fullmatch(name)
        if place is None:  # a learned state, (L*D, …)
            yield name, array[k * directions : (k + 1) * directions]
        elif int(place["layer"]) == k:
            yield f"{place['own']}_l0{place['end']}", array

"""RNN, LSTM and GRU: nodes become recurra's layers, one for each direction where the directions' cells differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.onnx.cells import ACTIVATIONS, DEFAULTS, PEEPHOLES, Activation, Cell, make_layer
from recurra.onnx.limits import MOST_CELLS
from recurra.onnx.nodes import Computation, Node, operator
from recurra.weights.orders import ORDERS, reordered

from .indexing import FLOATS

if TYPE_CHECKING:
    from recurra.module import Array
    from recurra.recurrent import Recurrent

DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
SHARED = "activation_alpha activation_beta activations clip direction hidden_size layout"


def _activations(node: Node, number: int) -> list[tuple[Activation, ...]]:
    """The activations of each direction. Numbers are handed out in order, to those that take some."""
    each = len(DEFAULTS[node.op_type])
    names = node.attributes.get("activations", DEFAULTS[node.op_type] * number)
    if node.op_type == "RNN" and number == 1 and names == ("Tanh", "Tanh"):  # the standard's default, for any direction
        names = names[:1]
    if len(names) != each * number:
        node.refuse(f"{each * number} activations", f"{len(names)}")
    given = {name: list(node.attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta")}
    found: list[Activation] = []
    for spelt in names:
        name = spelt.lower()
        if name not in ACTIVATIONS:
            node.refuse("activations of the standard", repr(spelt[:80]))
        numbers = ACTIVATIONS[name][1]
        pairs = zip(given, numbers, strict=False)
        taken: Any = tuple(given[kind].pop(0) if given[kind] else default for kind, default in pairs)
        if None in taken:
            node.refuse(f"activation_alpha and activation_beta of {spelt}, as they have no default", "no number")
        if not all(map(math.isfinite, taken)):
            node.refuse("finite activation_alpha and activation_beta", taken)
        found.append(Activation(name, taken))
    for kind, left in given.items():
        if left:
            node.refuse(f"as many numbers in activation_{kind} as the activations take", f"{len(left)} more")
    return [tuple(found[each * d : each * (d + 1)]) for d in range(number)]


def _cells(node: Node, number: int) -> list[Cell]:
    threshold = node.attributes.get("clip", math.inf)
    if not threshold > 0:
        node.refuse("clip above 0", threshold)
    cells = [
        Cell(
            node.op_type,
            activations,
            threshold,
            bool(node.attributes.get("linear_before_reset", 0)),
            node.op_type == "LSTM" and node.has_input(7),
            bool(node.attributes.get("input_forget", 0)),
        )
        for activations in _activations(node, number)
    ]
    kinds = node.reading.made.setdefault("cells", set())
    kinds.update(cell for cell in cells if not cell.is_plain)
    if len(kinds) > MOST_CELLS:
        node.refuse(f"at most {MOST_CELLS} different cells in a model", "another one")
    return cells


def _weights(node: Node, number: int) -> dict[str, Array]:
    """W, R, and where they are given B and P: constants of fitting shapes and of one dtype."""
    found: dict[str, Array] = {}
    for name, place in {"W": 1, "R": 2, "B": 3, "P": 7}.items():
        if not node.has_input(place):
            continue
        value = node.constant(place)
        if value is None:
            node.refuse(f"{name} that is constant", f"one that is computed, {node.inputs[place]!r}")
        found[name] = value
    gates = len(ORDERS["onnx"][node.op_type])
    w, r = found["W"], found["R"]
    if w.ndim != 3 or r.ndim != 3 or not w.size or not r.size or r.shape[1] != gates * r.shape[2]:
        node.refuse(f"W ({number}, {gates}*H, input_size) and R ({number}, {gates}*H, H)", f"{w.shape} and {r.shape}")
    hidden = r.shape[2]
    shapes = {
        "W": (number, gates * hidden, w.shape[2]),
        "R": (number, gates * hidden, hidden),
        "B": (number, 2 * gates * hidden),
        "P": (number, 3 * hidden),
    }
    if node.attributes.get("hidden_size", hidden) != hidden:
        node.refuse(f"hidden_size = {hidden}, as R has it", node.attributes["hidden_size"])
    for name, value in found.items():
        if value.shape != shapes[name]:
            node.refuse(f"{name} {shapes[name]}", value.shape)
        if value.dtype != w.dtype or value.dtype.name not in FLOATS:
            node.refuse(f"{name} of float32 or float64, like W", value.dtype)
    return found


def _state(node: Node, cell: Cell, weights: dict[str, Array], d: int) -> dict[str, Array]:
    """The parameters of one direction, without their suffixes."""
    kind = node.op_type
    state = {"weight_ih": weights["W"][d], "weight_hh": weights["R"][d]}
    if "B" in weights:
        state["bias_ih"], state["bias_hh"] = np.split(weights["B"][d], 2)
    state = {name: reordered(value, kind, "onnx", "recurra") for name, value in state.items()}
    if cell.coupled:  # no gate f, whose rows come second
        state = {name: np.delete(value.reshape(4, -1), 1, 0) for name, value in state.items()}
        hidden = weights["R"].shape[2]
        columns = {"weight_ih": (3 * hidden, -1), "weight_hh": (3 * hidden, -1)}
        state = {name: value.reshape(columns.get(name, -1)) for name, value in state.items()}
    if cell.peephole:
        peepholes = zip(PEEPHOLES, np.split(weights["P"][d], 3), strict=True)
        state |= {name: np.ascontiguousarray(p) for name, p in peepholes if not (cell.coupled and name == "p_f")}
    return state


def _layers(node: Node) -> tuple[Recurrent, ...]:
    """One layer, or two of one direction each."""
    direction = node.attributes["direction"]
    if direction not in DIRECTIONS:
        node.refuse("direction 'forward', 'reverse' or 'bidirectional'", repr(direction[:80]))
    number = DIRECTIONS[direction]
    cells, weights = _cells(node, number), _weights(node, number)
    made, key = node.reading.made, (tuple(cells), direction, *node.inputs[1:4], *node.inputs[7:])
    if key in made:
        found: tuple[Recurrent, ...] = made[key]
        return found
    node.reading.budget.spend(sum(value.nbytes for value in weights.values()), node.label)
    sizes = weights["W"].shape[2], weights["R"].shape[2]
    options: dict[str, Any] = {"bias": "B" in weights, "dtype": weights["W"].dtype, "tokens": False, "seed": 0}
    states = [_state(node, cell, weights, d) for d, cell in enumerate(cells)]
    if len(set(cells)) == number == 2:
        layers = [make_layer(cell, sizes, reverse=bool(d), **options) for d, cell in enumerate(cells)]
        named = [{f"{name}_l0": value for name, value in state.items()} for state in states]
    else:
        layers = [make_layer(cells[0], sizes, reverse=direction == "reverse", bidirectional=number == 2, **options)]
        suffixes = ("_l0", "_l0_reverse")[:number]
        named = [{name + end: v for end, state in zip(suffixes, states, strict=True) for name, v in state.items()}]
    for layer, state in zip(layers, named, strict=True):
        layer.load_state_dict(state)
    made[key] = tuple(layers)
    return tuple(layers)


@operator("RNN", SHARED)
@operator("GRU", SHARED + " linear_before_reset")
@operator("LSTM", SHARED + " input_forget")
def _recurrent(node: Node) -> Computation:
    layers = _layers(node)
    by_batch, has_memory = bool(node.attributes.get("layout", 0)), node.op_type == "LSTM"
    hidden = layers[0].hidden_size

    def run(x: Array, _w: Array, _r: Array, *rest: Array | None) -> Any:
        lengths, *initial = ((None,) * 1 + rest + (None,) * 5)[2 : 5 if has_memory else 4]
        if x.ndim != 3:
            raise ValueError(f"X: expected three axes, got shape {x.shape}")
        if by_batch:
            x = x.swapaxes(0, 1)
            initial = [None if h is None else h.swapaxes(0, 1) for h in initial]
        outputs, states = [], []
        for d, layer in enumerate(layers):
            own = initial if len(layers) == 1 else [None if h is None else h[d : d + 1] for h in initial]
            y, state = layer(x, tuple(own) if has_memory else own[0], lengths=lengths)
            outputs.append(y.reshape(*y.shape[:2], y.shape[2] // hidden, hidden))  # (T, B, D, H)
            states.append(state if has_memory else (state,))
        y = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, 2)
        final = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*states, strict=True)]
        if by_batch:
            return y.swapaxes(0, 1), *(h.swapaxes(0, 1) for h in final)
        return y.swapaxes(1, 2), *final

    return Computation(run, layers)

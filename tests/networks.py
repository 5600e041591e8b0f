"""Networks of the core with any cell: random ones, their calls with all that there is, and the same done by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from recurra import _core
from recurra.definitions import FORMULAS as BUILT_IN
from recurra.formula import Formula, project, sigmoid, tanh

NETWORKS = {np.float32: _core.Network32, np.float64: _core.Network64}


def driven(a, s, u, x):
    """Two states, a unit vector, a number, and inputs of all shapes."""
    f = sigmoid(a.f + u.p * s.c + x.noise)
    c = f * s.c + (1 - f) * x.gain * tanh(a.g + u.beta * x.dt)
    return sigmoid(a.o + x.noise) * tanh(c), c


def highway(a, s, x):
    """Reads x itself, and a product of a value of this step."""
    r = sigmoid(a.r)
    z = sigmoid(a.z + x.noise)
    return z * tanh(a.n(r * s.h)) + (1 - z) * x.x


def projected(a, s):
    """h has a size of its own."""
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return project(sigmoid(a.o) * tanh(c)), c


FORMULAS = {
    "driven": Formula(
        driven, gates="f g o", states="h c", units={"p": 0.1}, scalars={"beta": 0.5}, inputs="noise gain:row dt:step"
    ),
    "highway": Formula(highway, gates="r z n", inputs="noise"),
    "projected": Formula(projected, gates="i f g o", states="h c"),
}
CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before", *FORMULAS)
SHAPES = {"driven": {"noise": "unit", "gain": "row", "dt": "step"}, "highway": {"noise": "unit"}}


@dataclass(frozen=True)
class Spec:
    """A network, and the shape of a call."""

    cell: str
    input_size: int = 5
    hidden_size: int = 7
    num_layers: int = 2
    directions: int = 2
    bias: bool = True
    dtype: type = np.float64
    reverse: bool = False
    learned: bool = False
    T: int = 9
    B: int = 4

    @property
    def size(self):
        """P, the size of h."""
        return 3 if self.cell == "projected" else self.hidden_size

    @property
    def states(self):
        return (FORMULAS | BUILT_IN)[self.cell].states

    @property
    def stacked(self):
        return self.num_layers * self.directions

    def sizes(self):
        return [self.size, *[self.hidden_size] * (len(self.states) - 1)]

    def make(self):
        return NETWORKS[self.dtype](
            (FORMULAS | BUILT_IN)[self.cell].core,
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.directions,
            self.bias,
            False,
            None,
            self.size if self.size != self.hidden_size else 0,
            self.reverse,
            self.learned,
        )


def draw_spec(rng, cell, **fixed):
    """At random, but for the fields given, and within what the cell allows."""
    hidden = int(rng.choice((1, 4, 7, 8, 16, 17, 33)))
    spec = Spec(
        cell,
        input_size=int(rng.integers(1, 20)),
        hidden_size=max(hidden, 4),
        num_layers=int(rng.integers(1, 4)),
        directions=int(rng.integers(1, 3)),
        bias=rng.random() < 0.8,
        dtype=np.float32 if rng.random() < 0.5 else np.float64,
        T=int(rng.integers(1, 24)),
        B=int(rng.integers(1, 12)),
    )
    spec = replace(spec, **fixed)
    if cell == "highway":
        spec = replace(spec, input_size=spec.hidden_size, directions=1 if spec.num_layers > 1 else spec.directions)
    return spec


@dataclass
class Call:
    """Time-major arguments of a call forward and of one back; states and their gradients are lists by state."""

    x: Any
    initial: list[Any] | None
    dy: Any
    dfinal: list[Any]
    doutputs: dict[int, Any]
    dstates: dict[str, dict[int, Any]]
    inputs: dict[str, Any] = field(default_factory=dict)
    lengths: Any = None
    resets: Any = None
    masks: list[Any] | None = None
    plan: dict[str, int] | None = None


def joined(states):
    """As the core takes a state."""
    return None if states is None else states[0] if len(states) == 1 else tuple(states)


def parts(state):
    return list(state) if isinstance(state, tuple) else [state]


def draw_params(spec, network, rng):
    scale = 1 / np.sqrt(spec.hidden_size)
    params = {
        name: np.asarray(rng.uniform(-scale, scale, value.shape), spec.dtype)
        for name, value in network.parameters.views().items()
    }
    network.parameters.load(params, "params")
    return params


def draw_call(spec, rng, *, layered=(), initial=True, masked=True, resets=0.2, lengths=True):
    T, B, H = spec.T, spec.B, spec.hidden_size

    def normal(*shape):
        return np.asarray(rng.standard_normal(shape), spec.dtype)

    def states():
        return [normal(spec.stacked, B, size) for size in spec.sizes()]

    track = T, B, spec.directions * spec.size
    shapes = {"unit": (T, B, H), "step": (T, B), "row": (B, H)}
    layers = range(spec.num_layers)
    return Call(
        x=normal(T, B, spec.input_size),
        initial=states() if initial else None,
        dy=normal(*track),
        dfinal=states(),
        doutputs={layer: normal(*track) for layer in layers if rng.random() < 0.5},
        dstates={name: {layer: normal(T, B, spec.directions * H) for layer in layers} for name in spec.states[1:]},
        inputs={
            name: normal(*((spec.stacked,) if name in layered else ()), *shapes[kind])
            for name, kind in SHAPES.get(spec.cell, {}).items()
        },
        lengths=rng.integers(0, T + 1, B) if lengths else None,
        resets=rng.random((T, B)) < resets if resets else None,
        masks=[np.asarray(rng.integers(0, 2, track) * 2, spec.dtype) for _ in layers[1:]] if masked else None,
    )


def run(spec, network, call):
    """Everything that comes out, by name."""
    drawn = None if call.masks is None else lambda *_: (list(call.masks), None)
    y, final, tape = network.forward(
        call.x, joined(call.initial), call.lengths, False, drawn, None, call.inputs, call.resets, call.plan
    )
    results = {"y": y} | {f"final_{k}": s for k, s in enumerate(parts(final))}
    for name, tracks in {"h": tape.outputs, **tape.states}.items():
        results |= {f"track_{name}_{layer}": tracks[layer] for layer in range(spec.num_layers)}
    grads = {name: np.zeros_like(value) for name, value in network.parameters.views().items()}
    dinputs = {name: np.zeros(value.shape, value.dtype) for name, value in call.inputs.items()}
    dx, dinitial = network.backward(
        tape, call.dy, joined(call.dfinal), call.doutputs, call.dstates, dinputs, True, grads, False, call.plan
    )
    results |= {"dx": dx} | {f"dinitial_{k}": s for k, s in enumerate(parts(dinitial))}
    return results | {f"d{name}": d for name, d in dinputs.items()} | {f"grad {k}": g for k, g in grads.items()}


def plain(network, call):
    """The call that keeps nothing."""
    y, final = network.call(
        call.x, joined(call.initial), call.lengths, None, False, None, call.inputs, call.resets, call.plan
    )
    return {"y": y} | {f"final_{k}": s for k, s in enumerate(parts(final))}


def segments(spec, call):
    """(sequence, first step, end) of the parts of each sequence from one reset to the next, in order."""
    found = []
    for b in range(spec.B):
        length = spec.T if call.lengths is None else int(call.lengths[b])
        cuts = [t for t in range(1, length) if call.resets is not None and call.resets[t, b]]
        edges = [0, *cuts, length]
        found += [(b, begin, end) for begin, end in pairwise(edges)]
    return found


def reversed_direction(spec, k):
    return spec.reverse or k % spec.directions == 1


def places(spec, call, *, entering):
    """For each layer and direction, which segment of each sequence has its initial state, or its final one; or None."""
    found = segments(spec, call)
    result = []
    for k in range(spec.stacked):
        last = reversed_direction(spec, k) == entering
        row = []
        for b in range(spec.B):
            mine = [i for i, (sequence, _, _) in enumerate(found) if sequence == b]
            length = found[mine[-1]][2]
            dropped = entering and not last and length and call.resets is not None and call.resets[0, b]
            row.append(None if dropped else mine[-1] if last else mine[0])
        result.append(row)
    return result


def cut_by_hand(spec, call):
    """The same call with the segments as sequences of their own -> its spec and arguments."""
    found = segments(spec, call)
    lengths = np.array([end - begin for _, begin, end in found])
    cut = replace(spec, T=int(lengths.max(initial=0)), B=len(found))

    def pieces(array):
        beyond = np.nan if array.dtype.kind == "f" else 0
        result = np.full((cut.T, cut.B, *array.shape[2:]), beyond, array.dtype)
        for i, (b, begin, end) in enumerate(found):
            result[: end - begin, i] = array[begin:end, b]
        return result

    def rows(array):
        return array[..., [b for b, _, _ in found], :]

    def spread(states, entering):
        result = [np.zeros((spec.stacked, cut.B, s.shape[-1]), s.dtype) for s in states]
        for k, row in enumerate(places(spec, call, entering=entering)):
            for b, i in enumerate(row):
                for to, given in zip(result, states, strict=True):
                    if i is not None:
                        to[k, i] = given[k, b]
        return result

    def pieces_of_input(name, array):
        kind = SHAPES[spec.cell][name]
        if kind == "row":
            return rows(array)
        layered = array.ndim == (4 if kind == "unit" else 3)
        return np.stack([pieces(one) for one in array]) if layered else pieces(array)

    return cut, Call(
        x=pieces(call.x),
        initial=None if call.initial is None else spread(call.initial, entering=True),
        dy=pieces(call.dy),
        dfinal=spread(call.dfinal, entering=False),
        doutputs={layer: pieces(d) for layer, d in call.doutputs.items()},
        dstates={name: {layer: pieces(d) for layer, d in ds.items()} for name, ds in call.dstates.items()},
        inputs={name: pieces_of_input(name, array) for name, array in call.inputs.items()},
        lengths=lengths,
        masks=None if call.masks is None else [pieces(mask) for mask in call.masks],
        plan=call.plan,
    )


def whole(spec, found, array):
    """Pieces (…, longest, segments, …) as sequences of their own, from zeros."""
    to = np.zeros((spec.T, spec.B, *array.shape[2:]), array.dtype)
    for i, (b, begin, end) in enumerate(found):
        to[begin:end, b] = array[: end - begin, i]
    return to


def gathered(spec, call, array, *, entering):
    """States of segments (L*D, segments, size) as those of whole sequences; zeros where a state is dropped."""
    to = np.zeros((spec.stacked, spec.B, array.shape[-1]), array.dtype)
    for k, row in enumerate(places(spec, call, entering=entering)):
        for b, i in enumerate(row):
            if i is not None:
                to[k, b] = array[k, i]
    return to


def of_input(spec, found, kind, array):
    """The gradient of an input."""
    if kind != "row":
        layered = array.ndim == (4 if kind == "unit" else 3)
        return np.stack([whole(spec, found, one) for one in array]) if layered else whole(spec, found, array)
    to = np.zeros((*array.shape[:-2], spec.B, array.shape[-1]), array.dtype)
    for i, (b, _, _) in enumerate(found):
        to[..., b, :] += array[..., i, :]
    return to


def put_together(spec, call, results):
    """Results of the call that was cut by hand, laid out as those of the whole one; sums over rows are the same."""
    found, together = segments(spec, call), {}
    for name, array in results.items():
        kind = SHAPES.get(spec.cell, {}).get(name[1:])
        if name in {"y", "dx"} or name.startswith("track_"):
            together[name] = whole(spec, found, array)
        elif name.startswith(("final_", "dinitial_")):
            together[name] = gathered(spec, call, array, entering=name.startswith("dinitial_"))
        else:
            together[name] = of_input(spec, found, kind, array) if kind else array
    return together

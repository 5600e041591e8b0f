"""Layers of any formula, calls of them with all that there is, and everything that comes out, by name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import recurra.cells
from formula_cells import CELLS
from formulas_random import random_formula
from recurra import _core
from recurra.formula.operations import InputShape
from recurra.formula_layer import layer_class

# One of each kind: stages, states, means, units, scalars, inputs of all shapes, projection, heads, another output.
FROM_LIBRARY = ("PeepholeLSTM", "LayerNormGRU", "RHN", "SLSTM", "ProjectedLSTM", "IntersectionRNN", "CoRNN", "GRUD")
FROM_TESTS = ("chain", "leaky", "lem", "halves_and_sum", "spiking", "rg_lru")
RANDOM = [int(seed) for seed in os.environ.get("RECURRA_RANDOM_SEEDS", "7 11 26 41").split()]
FORMULAS = {
    **{name: getattr(recurra.cells, name).formula for name in FROM_LIBRARY},
    **{name: CELLS[name] for name in FROM_TESTS},
    **{f"random {seed}": random_formula(seed).make() for seed in RANDOM},
}


@dataclass
class Call:
    """Time-major arguments of a call forward and of one back; lists are by state."""

    x: Any
    hx: list[Any]
    dy: Any
    dfinal: list[Any]
    doutputs: dict[int, Any]
    dstates: dict[str, dict[int, Any]]
    inputs: dict[str, Any] = field(default_factory=dict)
    lengths: Any = None
    resets: Any = None


def one_or_tuple(parts):
    return parts[0] if len(parts) == 1 else tuple(parts)


def parts_of(state):
    return list(state) if isinstance(state, tuple) else [state]


def make_layer(formula, rng, *, num_layers=2, bidirectional=True, dtype=np.float32, hidden_size=None, **options):
    """A layer of sizes at random, as far as the formula has a choice; without dropout."""
    heads = formula.declared.heads
    hidden = int(rng.choice((5, 16, 17, 34))) if hidden_size is None else hidden_size
    hidden = max(1, hidden // heads) * heads
    if formula.projects:
        hidden = max(hidden, 2 * heads)
        options["proj_size"] = max(1, hidden // 3 // heads) * heads
    raw = formula.reads_input_itself
    if raw and formula.projects:
        num_layers = 1
    layer = layer_class(formula)(
        hidden if raw else int(rng.integers(1, 12)),
        hidden,
        num_layers=num_layers,
        bidirectional=bidirectional and not (raw and num_layers > 1) and not options.get("reverse"),
        dtype=dtype,
        seed=int(rng.integers(1 << 30)),
        **options,
    )
    state = layer.state_dict()
    layer.load_state_dict({name: np.asarray(v + rng.normal(0, 0.1, v.shape), dtype) for name, v in state.items()})
    return layer


def draw_call(layer, rng, T, B, *, lengths=True, resets=0.0):
    formula, H = layer.formula, layer.hidden_size
    directions = 2 if layer.bidirectional else 1
    stacked = layer.num_layers * directions
    sizes = [layer.proj_size or H, *[H] * (len(formula.states) - 1)]

    def normal(*shape):
        return np.asarray(rng.standard_normal(shape), layer.dtype)

    shapes = {InputShape.PER_UNIT: (T, B, H), InputShape.PER_STEP: (T, B), InputShape.PER_ROW: (B, H)}
    size_of = dict(zip(formula.states, sizes, strict=True))
    output = formula.declared.output
    layers = range(layer.num_layers)
    return Call(
        x=normal(T, B, layer.input_size),
        hx=[normal(stacked, B, size) for size in sizes],
        dy=normal(T, B, directions * size_of[output]),
        dfinal=[normal(stacked, B, size) for size in sizes],
        doutputs={k: normal(T, B, directions * size_of[output]) for k in layers},
        dstates={
            name: {k: normal(T, B, directions * size) for k in layers}
            for name, size in size_of.items()
            if name != output
        },
        inputs={
            name: np.asarray(rng.uniform(0.2, 1, shapes[kind]), layer.dtype)
            for name, kind in formula.declared.inputs.items()
        },
        lengths=rng.integers(0, T + 1, B) if lengths else None,
        resets=rng.random((T, B)) < resets if resets else None,
    )


def arguments(call):
    given = {"lengths": call.lengths, "inputs": call.inputs, "resets": call.resets}
    return (call.x, one_or_tuple(call.hx)), {name: v for name, v in given.items() if v is not None and len(v)}


def forward_results(layer, y, final):
    return {"y": y} | {f"final {n}": s for n, s in zip(layer.formula.states, parts_of(final), strict=True)}


def plain(layer, call, *, out=None, plan=None):
    """The call that keeps nothing."""
    layer._plan = plan
    args, options = arguments(call)
    y, final = layer(*args, out=out, **options)
    assert out is None or y is out
    return forward_results(layer, y, final)


def run(layer, call, *, plan=None, **options):
    """All results, and the plans that ran forward and back. The layer's gradients stay as they are."""
    layer._plan = plan
    args, given = arguments(call)
    y, final, tape = layer.forward(*args, **given, **options)
    ran = [_core.last_plan()]
    results = forward_results(layer, y, final)
    for name, tracks in {"y": tape.outputs, **tape.states}.items():
        results |= {f"track {name} {k}": tracks[k] for k in range(layer.num_layers)}
    grads = {name: np.zeros_like(value) for name, value in layer.params.items()}
    dinputs = {name: np.zeros_like(value) for name, value in call.inputs.items()}
    dx, dhx = layer.backward(
        tape,
        call.dy,
        one_or_tuple(call.dfinal),
        doutputs=call.doutputs,
        dstates=call.dstates,
        dinputs=dinputs or None,
        grads=grads,
    )
    ran.append(_core.last_plan())
    results |= {"dx": dx} | {f"dhx {n}": d for n, d in zip(layer.formula.states, parts_of(dhx), strict=True)}
    results |= {f"dinput {name}": d for name, d in dinputs.items()}
    return results | {f"grad {name}": g for name, g in grads.items()}, ran


def is_of_steps(layer, name):
    """Whether a result has an axis of time first; else that of sequences is the second, or the first of rows."""
    if name.startswith("dinput "):
        return layer.formula.declared.inputs[name.removeprefix("dinput ")] != InputShape.PER_ROW
    return name in {"y", "dx"} or name.startswith("track ")


def is_of_rows(layer, name):
    """Whether a result is an input's gradient (B, H)."""
    return name.startswith("dinput ") and not is_of_steps(layer, name)


def cut(layer, call, rows=slice(None), steps=slice(None), lengths=None):
    """Some sequences and steps of a call, as one of its own."""

    def of_input(name, array):
        per_row = layer.formula.declared.inputs[name] == InputShape.PER_ROW
        return np.ascontiguousarray(array[rows] if per_row else array[steps, rows])

    def track(array):
        return np.ascontiguousarray(array[steps, rows])

    return replace(
        call,
        x=track(call.x),
        hx=[np.ascontiguousarray(s[:, rows]) for s in call.hx],
        dy=track(call.dy),
        dfinal=[np.ascontiguousarray(s[:, rows]) for s in call.dfinal],
        doutputs={k: track(d) for k, d in call.doutputs.items()},
        dstates={name: {k: track(d) for k, d in ds.items()} for name, ds in call.dstates.items()},
        inputs={name: of_input(name, array) for name, array in call.inputs.items()},
        lengths=lengths,
        resets=None if call.resets is None else track(call.resets),
    )

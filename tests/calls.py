"""One call forward and one back, every result by name: of a layer, and of the reference on the same values.

Names: y, h_n, c_n, outputs_0 …, c_0 …, then dx, dh0, dc0 and the parameters' own for their gradients; c_n, c_0 … and
dc0 are the LSTM's alone. Everything is time-major and contiguous, whatever the layer's layout.
"""

from __future__ import annotations

import numpy as np

from recurra import _core, reference

FORWARD = ("y", "h_n", "c_", "outputs")


def is_forward(name):
    """Whether a result is an output or a state, not a gradient."""
    return name.startswith(FORWARD)


def named(history, **first):
    """Results of a forward or backward call without those that are None, then lists by name and index."""
    results = {name: value for name, value in first.items() if value is not None}
    return results | {f"{name}_{i}": value for name, values in history.items() for i, value in enumerate(values)}


def unchanged(array):
    return array


def as_state(config, h, c):
    """A state as the layer takes it: h, or (h, c); None is zeros."""
    return (h, c) if config.has_cell_state and h is not None else h


def as_parts(config, state):
    """h and c of a state, c None where there is none."""
    return state if config.has_cell_state else (state, None)


def as_results(config, y, state):
    h_n, c_n = as_parts(config, state)
    return named({}, y=config.layout(y), h_n=h_n, c_n=c_n)


def plain(layer, config, data, *, out=None):
    """The call that keeps no tape -> y and the final states."""
    layer._plan = None
    y, state = layer(config.layout(data.x), as_state(config, data.h0, data.c0), lengths=data.lengths, out=out)
    assert out is None or y is out
    return as_results(config, y, state)


def forward(layer, config, data, *, plan=None, rng=None, memory=unchanged):
    """layer.forward under a plan -> results, tape, the plan that really ran. `memory` may lay arguments out anew."""
    layer._plan = plan
    h0, c0 = (None if s is None else memory(s) for s in (data.h0, data.c0))
    options = {} if rng is None else {"rng": rng}
    x = memory(config.layout(data.x))
    y, state, tape = layer.forward(x, as_state(config, h0, c0), lengths=data.lengths, **options)
    ran = _core.last_plan()
    layers = range(config.num_layers)
    history = {"outputs": [config.layout(tape.outputs[k]) for k in layers]}
    history |= {name: [config.layout(tracks[k]) for k in layers] for name, tracks in tape.states.items()}
    return as_results(config, y, state) | named(history), tape, ran


def backward(layer, config, data, tape, *, plan=None, retain=False, memory=unchanged):
    """layer.backward under a plan -> results, the plan that really ran. layer.grads stay as they are."""
    layer._plan = plan
    grads = {name: np.zeros_like(value) for name, value in layer.params.items()}
    dx, dstate = layer.backward(
        tape,
        memory(config.layout(data.dy)),
        as_state(config, *(None if d is None else memory(d) for d in (data.dh_n, data.dc_n))),
        doutputs={k: memory(config.layout(d)) for k, d in data.doutputs.items()},
        dstates={
            name: {k: memory(config.layout(d)) for k, d in gradients.items()}
            for name, gradients in data.dstates.items()
        },
        grads=grads,
        retain=retain,
    )
    ran = _core.last_plan()
    dh0, dc0 = as_parts(config, dstate)
    return named({}, dx=config.layout(dx), dh0=dh0, dc0=dc0) | grads, ran


def both(layer, config, data, *, plan=None, rng=None, memory=unchanged):
    """Forward and backward -> all results, and what ran each way."""
    results, tape, ran_forward = forward(layer, config, data, plan=plan, rng=rng, memory=memory)
    gradients, ran_backward = backward(layer, config, data, tape, plan=plan, memory=memory)
    return results | gradients, (ran_forward, ran_backward)


def of_reference(config, data):
    """The same results of recurra.reference in float64, and its tape."""
    data = data.astype(np.float64)
    y, state, tape = reference.forward(
        config.cell,
        data.x,
        data.params,
        as_state(config, data.h0, data.c0),
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        lengths=data.lengths,
    )
    dx, dstate, grads = reference.backward(
        tape,
        data.dy,
        as_state(config, data.dh_n, data.dc_n),
        doutputs=data.doutputs,
        dstates=data.dstates,
    )
    h_n, c_n = as_parts(config, state)
    dh0, dc0 = as_parts(config, dstate)
    results = named({"outputs": tape.outputs, **tape.states}, y=y, h_n=h_n, c_n=c_n)
    return results | named({}, dx=dx, dh0=dh0, dc0=dc0) | grads, tape

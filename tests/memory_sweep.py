"""Run by test_memory.py with failing_malloc.so preloaded: makes allocations of each call fail, one at a time.

The first, the last and so many others, drawn by chance, as the argument says; without one all of them, until none
fails. Prints a line for each call, its name and how many allocations it makes; raises if one that fails leads to
anything but a MemoryError, if it has changed anything, or if the same call isn't right afterwards.
"""

from __future__ import annotations

import ctypes
import itertools
import pickle
import re
import sys

import numpy as np

import recurra
from recurra import _core
from recurra.formula import Formula, sigmoid, tanh


def leaky(a, s, x):
    """A cell with inputs of all shapes."""
    rate = sigmoid(a.r + x.dt)
    return s.h + rate * (x.gain * tanh(a.g) - s.h) + x.noise


def tracked(a, s, u, x):
    """Several states, one of which products read in a further stage, and parameters of every kind."""
    c = s.c + sigmoid(a.r + u.p * s.c) * (tanh(a.g) - x.leak * s.c)
    return u.b * tanh(a.o(c)), c


driven = Formula(leaky, gates="r g", inputs="noise gain:row dt:step")

this = ctypes.PyDLL(None)
arm, disarm, left = this.failing_malloc_arm, this.failing_malloc_disarm, this.failing_malloc_left
arm.argtypes, arm.restype, left.restype = [ctypes.c_long], None, ctypes.c_long
MOST = 10**9

# What isn't ours to mend. NumPy's ufuncs return without an exception where they have no memory for buffers or for the
# loop of a reduction, and a generator's lock is made by CPython, which calls the lack of memory so.
OTHERS = re.compile(r"error return without exception set|returned NULL without setting|can't allocate lock")
F32 = np.float32
rng = np.random.default_rng(0)


def arrays(*shape):
    return rng.standard_normal(shape, F32)


# Large enough that arrays come from malloc, and not from NumPy's cache of small ones.
x, tokens, lengths = arrays(40, 8, 16), rng.integers(0, 50, (40, 8)), np.arange(8) + 30
lstm = recurra.LSTM(16, 24, num_layers=2, bidirectional=True, dropout=0.5, seed=0)
gru = recurra.GRU(50, 24, reset_after=False, seed=0)
fed = _core.Network32(driven.core, 16, 24, 2, 2, True, False, None, 0, False, True)
Tracked = recurra.formula(gates="r g o", states="h c", units={"p": 0.0}, scalars={"b": 1.0}, inputs="leak:row")(tracked)
masked = {"dropout": 0.5, "recurrent_dropout": 0.2, "zoneout": 0.1}
own = Tracked(16, 24, num_layers=2, bidirectional=True, seed=0, learned_state=True, **masked)
cell = recurra.GRUCell(16, 24, seed=0)
linear, embedding = recurra.Linear(16, 24, seed=0), recurra.Embedding(50, 30, seed=0)
model = recurra.Sequential(
    recurra.Embedding(50, 30, seed=0),
    recurra.LSTM(30, 40, dropout=0.5, num_layers=2, seed=0),
    recurra.Dropout(0.5),
    recurra.Tanh(),
    recurra.Linear(40, 50, seed=0),
)
y, _, tape = lstm.forward(x, rng=1)
tokens_y, _, tokens_tape = gru.forward(tokens)
h, cell_tape = cell.forward(x[0])
linear_y, linear_tape = linear.forward(x)
embedding_y, embedding_tape = embedding.forward(tokens)
model_y, model_tape = model.forward(tokens, rng=1)
inputs = {"noise": arrays(40, 8, 24), "gain": arrays(8, 24), "dt": np.asfortranarray(arrays(40, 8))}
dinputs = {name: np.zeros(array.shape, F32) for name, array in inputs.items()}
grads = {name: np.zeros_like(value) for name, value in fed.parameters.views().items()}
resets = rng.random((40, 8)) < 0.1
fed_y, _, fed_tape = fed.forward(x, None, lengths, False, None, None, inputs, resets, None)
leaks, dleaks = {"leak": arrays(8, 24)}, {"leak": np.zeros((8, 24), F32)}
own_y, own_state, own_tape = own.forward(x, rng=1, inputs=leaks, resets=resets)
own_dstates = {"c": {0: arrays(40, 8, 48)}}
state, out = lstm.state_dict(), np.zeros((40, 8, 48), F32)
many_steps = np.asfortranarray(x)
logits, classes = arrays(60, 50), rng.integers(0, 50, 60)
forward = recurra.Sequential(recurra.LSTM(16, 24, num_layers=2, seed=0), recurra.Linear(24, 40, seed=0))
stream, reader, few, rows = recurra.Stream(forward, 8), recurra.Stream(model, 8), x[0], np.arange(8)


def streamed():
    stream.reset()
    return [stream(few), stream.many(x), stream.fork().state]


def read_anew():
    reader.reset(rows)
    return [reader.many(tokens), stream.state]


CALLS = {
    "RNN(…)": lambda: recurra.RNN(16, 24, bidirectional=True, seed=0).params,
    "LSTM(…)": lambda: recurra.LSTM(16, 24, num_layers=2, seed=0).params,
    "GRUCell(…)": lambda: recurra.GRUCell(16, 24, seed=0).params,
    "Linear(…)": lambda: recurra.Linear(16, 24, seed=0).params,
    "Embedding(…)": lambda: recurra.Embedding(50, 30, seed=0).params,
    "Adam(…)": lambda: len(recurra.Adam(lstm).layers),
    "lstm": lambda: lstm(x, lengths=lengths),
    "lstm, copied": lambda: lstm(many_steps, out=out[::-1]),
    "lstm.forward": lambda: lstm.forward(x, rng=1, lengths=lengths)[:2],
    "lstm.backward": lambda: lstm.backward(tape, y, doutputs={0: y}, retain=True),
    "gru.forward": lambda: gru.forward(tokens)[:2],
    "gru.backward": lambda: gru.backward(tokens_tape, tokens_y, retain=True),
    "cell.forward": lambda: cell.forward(x[0])[0],
    "cell.backward": lambda: cell.backward(cell_tape, h, retain=True),
    "linear": lambda: linear(many_steps),
    "linear.forward": lambda: linear.forward(x)[0],
    "linear.backward": lambda: linear.backward(linear_tape, linear_y, retain=True),
    "embedding": lambda: embedding(tokens),
    "embedding.forward": lambda: embedding.forward(tokens)[0],
    "embedding.backward": lambda: embedding.backward(embedding_tape, embedding_y, retain=True),
    "tape.outputs": lambda: tape.outputs[0],
    "tape.states": lambda: tape.states["c"][1],
    "resets and inputs": lambda: fed.call(x, None, lengths, None, False, None, inputs, resets, None),
    "the same, forward": lambda: fed.forward(x, None, lengths, False, None, None, inputs, resets, None)[:2],
    "the same, backward": lambda: fed.backward(fed_tape, fed_y, None, None, None, dinputs, True, grads, True, None),
    "Tracked(…)": lambda: Tracked(16, 24, num_layers=2, seed=0, **masked).params,
    "tracked": lambda: own(x, own_state, lengths=lengths, inputs=leaks, resets=resets),
    "tracked.forward": lambda: own.forward(x, rng=1, lengths=lengths, inputs=leaks, resets=resets)[:2],
    "tracked.backward": lambda: own.backward(
        own_tape, own_y, own_state, doutputs={0: own_y}, dstates=own_dstates, dinputs=dleaks, retain=True
    ),
    "tracked tape": lambda: own_tape.states["c"][1],
    "Network(…)": fed.with_cell(driven.core).parameters.views,
    "holding": lambda: dict(lstm._core.holding(tuple(state.values())).parameters.snapshot()),
    "holds": lambda: lstm._core.holds(tuple(state.values())),
    "gradients": lambda: lstm._core.gradients(tape, y, None, None, True, [True] * len(state), True),
    "model": lambda: model(tokens),
    "model.forward": lambda: model.forward(tokens, rng=1)[0],
    "state_dict": lstm.state_dict,
    "load_state_dict": lambda: lstm.load_state_dict(state),
    "load_state_dict of views": lambda: lstm.load_state_dict(lstm.params),
    "zero_grad": lstm.zero_grad,
    "mse": lambda: recurra.mse(logits, logits + 1),
    "cross_entropy": lambda: recurra.cross_entropy(logits, classes),
    "binary_cross_entropy": lambda: recurra.binary_cross_entropy(logits, np.abs(logits) / 19),
    "softmax": lambda: recurra.softmax(logits),
    "tanh": lambda: recurra.functional.tanh(logits),
    "Stream(…)": lambda: recurra.Stream(forward, 8).state,
    "stream": streamed,
    "stream of tokens": read_anew,
}
# What works on several layers in turn: after a failure some may have been done, but the layers are whole.
IN_PARTS = {
    "model.backward": lambda: model.backward(model_tape, model_y, retain=True),
    "model.zero_grad": model.zero_grad,
    "Adam.step": recurra.Adam(model).step,
    "SGD.step": recurra.SGD(lstm, 0.1, momentum=0.9).step,
    "clip_grad_norm": lambda: recurra.clip_grad_norm(model, 1e-3),
}


def bits(value):
    """Arrays within tuples and mappings, as bytes."""
    if hasattr(value, "keys"):
        return {name: bits(value[name]) for name in value}
    if isinstance(value, (tuple, list)):
        return [bits(one) for one in value]
    return value.tobytes() if isinstance(value, np.ndarray) else value


def watched():
    layers = lstm, gru, cell, linear, embedding, model, own
    return pickle.dumps(
        [bits((grads, dinputs, dleaks)), *((bits(layer.params), bits(layer.grads)) for layer in layers)]
    )


def clear():
    for layer in (lstm, gru, cell, linear, embedding, model, own):
        layer.zero_grad()
    for array in (*grads.values(), *dinputs.values(), *dleaks.values()):
        array[...] = 0


def fails(n, name, call, whole, expected):
    """Whether the call has an n-th allocation, which then has failed."""
    clear()
    before = watched() if whole else None
    error = None
    arm(n)
    try:
        call()
    except Exception as caught:  # noqa: BLE001 (which one it is, is the question)
        failed = disarm()
        error = caught
    else:
        failed = disarm()
    if error is not None and not isinstance(error, MemoryError) and not OTHERS.search(str(error)):
        raise AssertionError(f"{name}, allocation {n}: {error!r}")
    if error is not None and whole and watched() != before:
        raise AssertionError(f"{name}, allocation {n}: something has changed")
    if bits(call()) != expected and name != "clip_grad_norm":
        raise AssertionError(f"{name}, allocation {n}: another result afterwards")
    return failed


def count(call):
    arm(MOST)
    call()
    made = MOST - left()
    disarm()
    return made


def sweep(name, call, whole):
    for _ in range(2):  # what is made once only, such as packed weights and a workspace
        expected = bits(call())
    made = count(call)
    if not SOME:
        return next(n for n in itertools.count(1) if not fails(n, name, call, whole, expected)) - 1
    chosen = {1, made, *chance.integers(1, made + 1, SOME).tolist()} if made else set()
    failed = [n for n in sorted(chosen) if fails(n, name, call, whole, expected)]
    assert 2 * len(failed) >= len(chosen), name
    return made


SOME = int(sys.argv[1]) if len(sys.argv) > 1 else 0
chance = np.random.default_rng(1)
for title, one in (CALLS | IN_PARTS).items():
    print(title, end=": ", flush=True)
    print(sweep(title, one, title in CALLS), flush=True)
sys.exit(0)

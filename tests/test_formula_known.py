"""RNN, LSTM and GRU as a user writes them are the built-in ones to the bit, whether they are recognized or not."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from configs import CLASSES, assert_same_bits
from formula_runs import draw_call as draw_layer_call
from formula_runs import run as run_layer
from networks import NETWORKS, Spec, draw_call, draw_params, plain, run
from recurra import _core
from recurra.definitions import FORMULAS
from recurra.formula import relu, sigmoid, tanh
from recurra.formula.operations import Operation


def new_and_old(keep, new, old):
    return (1 - keep) * new + keep * old


@recurra.formula(gates="update")
def MyRNN(a):
    return tanh(a.update)


@recurra.formula(gates="update")
def MyReluRNN(a):
    return relu(a.update)


@recurra.formula(gates="i f g o", states="h c")
def MyLSTM(a, s):
    o = sigmoid(a.o)
    remembered = s.c * sigmoid(a.f)
    c = remembered + tanh(a.g) * sigmoid(a.i)
    return tanh(c) * o, c


@recurra.formula(gates="reset update new")
def MyGRU(a, s):
    keep = sigmoid(a.update)
    new = tanh(a.new.x + a.new.h * sigmoid(a.reset))
    return (1 - keep) * new + keep * s.h


@recurra.formula(gates="reset update new")
def GRUOfThePaper(a, s):
    keep, reset = sigmoid(a.update), sigmoid(a.reset)
    return new_and_old(keep, tanh(a.new(s.h * reset)), s.h)


OURS = {"rnn_tanh": MyRNN, "rnn_relu": MyReluRNN, "lstm": MyLSTM, "gru": MyGRU, "gru_reset_before": GRUOfThePaper}
every_cell = pytest.mark.parametrize("cell", OURS)
every_dtype = pytest.mark.parametrize("dtype", NETWORKS, ids=lambda dtype: dtype.__name__)
CONSTANT_COUNT = 24  # its place in the header
SIZES = [(1, 1), (3, 2), (7, 9), (8, 1), (16, 33), (17, 5), (32, 3), (33, 1), (64, 7), (69, 4), (133, 20)]  # H and B


@every_cell
def test_is_recognized(cell):
    assert OURS[cell].formula.core.compiled == FORMULAS[cell].core.compiled == cell


@every_dtype
@every_cell
def test_layers(cell, dtype):
    kind, _, own = CLASSES[cell]
    for k, options in enumerate(({}, {"bidirectional": True, "num_layers": 2}, {"reverse": True}, {"bias": False})):
        rng = np.random.default_rng([k, 1])
        built_in = kind(5, 9, dtype=dtype, seed=0, **own, **options)
        ours = OURS[cell](5, 9, dtype=dtype, seed=0, **options)
        assert_same_bits(ours.state_dict(), built_in.state_dict())
        call = draw_layer_call(built_in, rng, T=8, B=5, resets=0.1)
        assert_same_bits(run_layer(ours, call)[0], run_layer(built_in, call)[0])


def reordered(steps, rng):
    """Instructions (operation, to, three operands) in another order that computes the same, with factors exchanged."""
    waiting, result = list(steps), []
    while waiting:
        ready = [
            i
            for i, step in enumerate(waiting)
            if not any(
                before[1] in step[1:] or step[1] in before[2:] for before in waiting[:i]
            )  # who writes what it reads or writes, and who reads what it writes, comes first
        ]
        operation, to, *args = waiting.pop(int(rng.choice(ready)))
        if operation in {Operation.MULTIPLY, Operation.FMA, Operation.FMS, Operation.FNMA} and rng.random() < 0.7:
            args[:2] = args[1::-1]
        result.append((operation, to, *args))
    return result


def interpreted(formula, rng):
    """The same program as one that isn't recognized."""
    program = formula.program
    code, constants = program.encode()
    steps = code[len(code) - 5 * len(program.instructions) :].reshape(-1, 5)  # the last of the arrays
    for stage in (*program.stages, *program.back_stages):
        part = slice(stage.instructions.start, stage.instructions.stop)
        known = [tuple(step) for step in steps[part].tolist()]
        # Operands that an instruction doesn't read are 0.
        arity = [len(program.instructions[i].args) for i in stage.instructions]
        bare = [step[: 2 + n] for step, n in zip(known, arity, strict=True)]
        steps[part] = [(*step, *(0,) * (5 - len(step))) for step in reordered(bare, rng)]
    code[CONSTANT_COUNT] += 1  # and one that nothing reads, as there is nothing to exchange in the smallest program
    return _core.Cell(code, np.append(constants, 7.0), formula.core.names)


def network_of(spec, cell):
    return NETWORKS[spec.dtype](
        cell, spec.input_size, spec.hidden_size, spec.num_layers, spec.directions, spec.bias, False, None
    )


@every_dtype
@every_cell
def test_interpreted(cell, dtype):
    """From one unit to more than four vectors, few rows and many."""
    rng = np.random.default_rng([list(OURS).index(cell), np.dtype(dtype).itemsize])
    for hidden, batch in SIZES:
        program = interpreted(OURS[cell].formula, rng)
        assert program.compiled is None
        spec = Spec(
            cell,
            input_size=int(rng.integers(1, 9)),
            hidden_size=hidden,
            num_layers=int(rng.integers(1, 3)),
            directions=int(rng.integers(1, 3)),
            bias=rng.random() < 0.7,
            dtype=dtype,
            T=int(rng.integers(1, 9)),
            B=batch,
        )
        compiled, other = network_of(spec, FORMULAS[cell].core), network_of(spec, program)
        params = draw_params(spec, compiled, rng)
        other.parameters.load(params, "params")
        call = draw_call(spec, rng, resets=0.1, lengths=rng.random() < 0.6)
        assert_same_bits(run(spec, other, call), run(spec, compiled, call), str(spec))
        call.masks = None
        assert_same_bits(plain(other, call), plain(compiled, call), str(spec))

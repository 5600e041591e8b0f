"""Whatever Python hands to `recurra._core.Cell`: a ValueError, a TypeError, or a cell that runs, forward and back."""

import numpy as np
import pytest

import recurra.cells
from recurra._core import Cell, Network32, Network64
from recurra.definitions import FORMULAS
from recurra.formula import Formula

HEADER = 27
PER_UNIT, PER_STEP, PER_ROW = range(3)


def _description(formula):
    declared = formula.declared
    names = {
        "name": formula.function.__name__,
        "gates": tuple(declared.gates),
        "states": tuple(declared.states),
        "parameters": tuple(parameter.name for parameter in formula.layout.parameters),
        "inputs": tuple(declared.inputs),
    }
    return *formula.program.encode(), names


GOOD = [
    _description(formula)
    for formula in (
        *FORMULAS.values(),
        *(getattr(getattr(recurra.cells, name), "formula", None) for name in dir(recurra.cells)),
    )
    if isinstance(formula, Formula)
]


def _damaged_program(rng, code):
    """Instructions exchanged, and with other operations and operands; the instructions are the end of a code."""
    instructions = code[len(code) - 5 * code[23] :].reshape(-1, 5)
    for _ in range(rng.integers(1, 4)):
        which = rng.integers(0, len(instructions), 2)
        kind = rng.integers(0, 4)
        if kind == 0:
            instructions[which] = instructions[which[::-1]]
        elif kind == 1:
            instructions[which[0], 0] = rng.integers(0, 27)
        else:
            instructions[which[0], rng.integers(1, 5)] = rng.integers(0, code[22])
    return code


def _damaged_numbers(rng, code):
    for _ in range(rng.integers(1, 4)):
        values = int(rng.integers(-2, 13)), int(rng.choice(code)), int(rng.integers(-(2**31), 2**31))
        code[rng.integers(len(code))] = values[rng.integers(3)]
    return code[: rng.integers(len(code))] if rng.integers(10) == 0 else code


def _other_layout(rng, code):
    """The same numbers in an array that is laid out otherwise, which is fine, or has another type or shape."""
    return [
        lambda: np.repeat(code, 2)[::2],
        lambda: code.astype(rng.choice(["i8", "u4", "f4", "f8", ">i4", "i1", "O", "c8", "S4", "M8[s]"])),
        lambda: code[None],
        lambda: np.lib.stride_tricks.as_strided(code, (1 << 40,), (0,)) if rng.integers(20) == 0 else code[:0],
        code.tolist,
        lambda: code[0],
        lambda: None,
    ][rng.integers(7)]()


def _damaged_names(rng, names):
    """Names that aren't the description's, or no names at all."""
    names = dict(names)
    key = str(rng.choice(list(names)))
    strange = None, 1, (), [], ("",), ("a", "a"), (1,), b"h", "h", "\ud800", ("\ud800",), ("h\0", "c"), ("x" * 100_000,)
    kind = rng.integers(4)
    if kind == 0:
        del names[key]
    elif kind == 1:
        names[key] = strange[rng.integers(len(strange))]
    elif kind == 2 and names[key]:
        names[key] = names[key][:-1]
    else:
        return [None, (), "names", {1: 2}][rng.integers(4)]
    return names


def _damaged(rng):
    """The arguments of a Cell."""
    code, constants, names = GOOD[rng.integers(len(GOOD))]
    code, constants = code.copy(), constants.copy()
    kind = rng.integers(16)
    if kind < 9:
        code = _damaged_program(rng, code)
    elif kind < 12:
        code = _damaged_numbers(rng, code)
    elif kind == 12:
        code = rng.integers(-1, 9, rng.integers(400), np.int32)
        code[:HEADER] = GOOD[rng.integers(len(GOOD))][0][: min(HEADER, len(code))]
    elif kind == 13:
        code = rng.integers(-(2**31), 2**31, rng.integers(400), np.int32)
    elif kind == 14:
        code = _other_layout(rng, code)
    else:
        names = _damaged_names(rng, names)
    if rng.integers(8) == 0:
        others = constants.view(np.uint64) ^ np.uint64(1 << int(rng.integers(64))), np.resize(constants, 3), [1.0], None
        constants = [others[0].view(np.float64), *others[1:]][rng.integers(4)]
    return code, constants, names


def _input_shapes(code):
    """Of a code that was accepted."""
    begin = HEADER + 3 * code[4] + 4 * code[5] + 5 * code[7] + code[8] + code[9]
    return code[begin : begin + code[10]].tolist()


def _run(rng, cell, code):
    """A forward and a backward pass of a tiny network, whose results have the bits of a call without a tape."""
    heads = code[HEADER : HEADER + 3 * code[4]].reshape(-1, 3)[:, 2]
    if heads.size and heads.max() > 4:
        with pytest.raises(ValueError, match="heads"):
            Network32(cell, 4, 1, 1, 1, True, False, None, 1 if code[2] else 0)
        return
    H = 12 * int(rng.integers(1, 4)) if heads.max(initial=1) > 1 else int(rng.integers(1, 40))
    P = 12 * int(rng.integers(1, 3)) if code[2] else 0
    raw, directions = bool(code[3]), int(rng.integers(1, 3))
    I = H if raw else int(rng.integers(1, 9))  # noqa: E741
    layers = int(rng.integers(1, 3)) if not raw or (directions * (P or H)) == H else 1
    T, B = int(rng.integers(0, 4)), int(rng.integers(1, 6))
    make, dtype = ((Network32, np.float32), (Network64, np.float64))[rng.integers(2)]
    network = make(cell, I, H, layers, directions, bool(rng.integers(2)), False, None, P, False, bool(rng.integers(2)))

    def array(*shape):
        return rng.standard_normal(shape).astype(dtype)

    shapes = {PER_UNIT: (T, B, H), PER_STEP: (T, B), PER_ROW: (B, H)}
    inputs = {name: array(*shapes[kind]) for name, kind in zip(cell.names["inputs"], _input_shapes(code), strict=True)}
    x, lengths = array(T, B, I), rng.integers(0, T + 1, B)
    resets = rng.random((T, B)) < 0.2 if rng.integers(2) else None
    params = network.parameters.views()
    network.parameters.load({name: array(*value.shape) for name, value in params.items()}, "params")
    y, state = network.call(x, None, lengths, None, False, None, inputs, resets, None)
    taped, other, tape = network.forward(x, None, lengths, False, None, None, inputs, resets, None)
    np.testing.assert_array_equal(taped, y)
    for a, b in zip(other, state, strict=True):
        np.testing.assert_array_equal(a, b)
    dinputs = {name: np.zeros_like(value) for name, value in inputs.items()}
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dx, _ = network.backward(tape, array(*y.shape), None, None, None, dinputs, True, grads, False, None)
    assert dx.shape == x.shape


def _fuzz(seed, count):
    rng = np.random.default_rng([seed, 77])
    accepted = refused = 0
    for _ in range(count):
        code, constants, names = _damaged(rng)
        try:
            cell = Cell(code, constants, names)
        except (ValueError, TypeError):
            refused += 1
        else:
            accepted += 1
            _run(rng, cell, np.array(code))
    return accepted, refused


def test_good_descriptions_run():
    rng = np.random.default_rng(3)
    for code, constants, names in GOOD:
        cell = Cell(code, constants, names)
        for _ in range(3):
            _run(rng, cell, code)


def test_damaged_descriptions():
    accepted, refused = _fuzz(0, 3000)
    assert min(accepted, refused) > 200


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_damaged_descriptions(seed):
    accepted, refused = _fuzz(seed, 10_000)
    assert min(accepted, refused) > 700

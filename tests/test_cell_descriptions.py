"""`recurra._core.Cell`: descriptions of cells from Python are refused unless all of them is right."""

import numpy as np
import pytest

import recurra
from refused import of_wrong_type, refused

# h' = tanh(W_ih x + b_ih + W_hh h + b_hh): the header, then parameters, columns, products, blocks, stages, deltas, back
# stages, sources, operands, instructions.
CODE = np.array(
    [
        *(1, 1, 0, 0, 4, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 6, 3, 1, 0, 0),
        *(0, 1, 1, 1, 1, 1, 2, 1, 1, 3, 1, 1),
        *(0, 0, 0, 0),
        *(0, 1, 0, 1, 0),
        0,
        *(0, 0, 1, 0, 0, 0, 1),
        *(0, 0),
        *(0, 0, 1, 0, 0, 1, 2),
        0,
        *(4, 0, 1, 0, 0, 0, 10, 0, 15, 0, 13, 0),
        *(23, 0, 1, 0, 0, 9, 2, 0, 0, 3, 5, 4, 5, 2, 0),
    ],
    np.int32,
)
CONSTANTS = np.ones(1)
NAMES = {
    "gates": ("a",),
    "states": ("h",),
    "parameters": ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
    "inputs": (),
}


def make(code=CODE, constants=CONSTANTS, **names):
    return recurra._core.Cell(code, constants, {**NAMES, **names})


def test_what_a_cell_says():
    cell = make()
    assert cell.names == {**NAMES, "name": "cell", "order": ("h",)}
    assert make(name="elman").names["name"] == "elman"
    counts = cell.counts
    assert (counts["states"], counts["parameters"], counts["columns"], counts["kept"]) == (1, 4, 1, 0)
    assert (counts["instructions"], counts["untaped_instructions"], counts["back_instructions"]) == (1, 1, 2)
    with pytest.raises(AttributeError):
        cell.counts = {}
    assert cell.counts is not counts  # a copy


def test_memory_layouts():
    assert make(np.repeat(CODE, 2)[::2], CONSTANTS[::-1]).counts == make().counts
    code = CODE.copy()
    cell = make(code)
    code[:] = -1
    assert cell.counts == make().counts


@pytest.mark.parametrize("place", range(len(CODE)))
def test_numbers_out_of_range(place):
    for value in (-2, 1 << 20, -(1 << 31), (1 << 31) - 1):
        code = CODE.copy()
        code[place] = value
        if place == 32 and value > 0:  # heads, which sizes limit
            make(code)
            continue
        with refused(ValueError, ".*"):
            make(code)


def test_wrong_arrays():
    for other in of_wrong_type(np.zeros(3, np.float64)):
        with refused(TypeError, "constants"):
            make(CODE, other)
    for dtype in (np.int64, np.uint32, np.float32, ">i4"):
        with refused(TypeError, "code"):
            make(CODE.astype(dtype))
    with refused(TypeError, "code"):
        make(CODE.tolist())
    with refused(ValueError, "code"):
        make(CODE[None])
    with refused(ValueError, "code"):
        make(CODE[:5])
    with refused(ValueError, "code's size"):
        make(np.append(CODE, np.int32(0)))
    with refused(ValueError, "code"):
        make(np.lib.stride_tricks.as_strided(CODE, (1 << 40,), (0,)))
    with refused(ValueError, "constants"):
        make(CODE, np.ones((1, 1)))
    with refused(ValueError, "constants' size"):
        make(CODE, np.ones(2))


def test_wrong_names():
    for key, value in NAMES.items():
        if key != "gates":
            with refused(ValueError, f"number of names of {key}"):
                make(**{key: (*value, "another")})
        with refused(TypeError, rf"names\['{key}'\]"):
            make(**{key: list(value)})
        with refused(TypeError, rf"names\['{key}'\]\[0\]"):
            make(**{key: (1, *value)})
        with refused(ValueError, "names"):
            recurra._core.Cell(CODE, CONSTANTS, {k: v for k, v in NAMES.items() if k != key})
    with refused(ValueError, "number of names of gates"):
        make(gates=("a", "b"))
    with refused(ValueError, r"parameters\[1\]"):
        make(parameters=("weight_ih", "weight_ih", "bias_ih", "bias_hh"))
    with refused(TypeError, "names"):
        recurra._core.Cell(CODE, CONSTANTS, [])
    with refused(TypeError, r"names\['name'\]"):
        make(name=1)

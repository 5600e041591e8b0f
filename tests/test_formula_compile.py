"""The compiler of formulas: programs do what the functions say, and look as they should."""

import time

import numpy as np
import pytest

import formula_cells
from formula_cells import CELLS
from formula_checks import Problem, check
from formulas_random import random_formula
from program_numpy import Code
from recurra.formula import (
    Formula,
    elu,
    gelu,
    given_slope,
    log_sigmoid,
    mean,
    project,
    sigmoid,
    silu,
    softplus,
    tanh,
    where,
)
from recurra.formula.operations import DeltaOf, Kind, Operation, Size


def declared(**declarations):
    return lambda function: Formula(function, **declarations)


@pytest.mark.parametrize("name", CELLS)
def test_published_cells_as_torch(name):
    pytest.importorskip("torch")
    check(CELLS[name])


@pytest.mark.parametrize("name", [name for name in CELLS if name != "spiking"])  # its gradient isn't that of its value
def test_published_cells_by_differences(name):
    check(CELLS[name], gradients="differences")


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_random_formulas_as_torch(first):
    pytest.importorskip("torch")
    for seed in range(first, first + 10):
        random = random_formula(seed)
        try:
            check(random.make(), seed, input_size=6)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {random}") from error


def test_random_formulas_by_differences():
    for seed in range(1000, 1015):
        random = random_formula(seed, smooth=True)
        try:
            check(random.make(), seed, input_size=6, gradients="differences")
        except Exception as error:
            raise AssertionError(f"seed {seed}: {random}") from error


@pytest.mark.exhaustive
def test_many_random_formulas_as_torch():
    pytest.importorskip("torch")
    for seed in range(2000, 4000):
        random = random_formula(seed)
        try:
            check(random.make(), seed, input_size=6)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {random}") from error


def body(formula, heading):
    described = formula.describe_lines()
    start = next(n for n, line in enumerate(described) if line.startswith(heading)) + 1
    stop = next(n for n in range(start, len(described)) if not described[n].startswith("  "))
    return [line.strip() for line in described[start:stop]]


def expanded(program):
    """What is written where, with temporaries replaced by what they are."""
    known, result = {}, {}
    for line in program:
        to, separator, value = line.partition(" = ")
        if not separator:
            continue
        words = []
        word = ""
        for letter in value + " ":
            if letter.isalnum() or letter in "_'.":
                word += letter
                continue
            words.append(known.get(word, word) + letter)
            word = ""
        text = "".join(words).strip()
        known[to] = text if value.endswith(")") or " " not in text else f"({text})"
        result[to] = text
    return result


def test_lstm_forward_is_as_written_down():
    program = expanded(body(formula_cells.lstm, "stage 1"))
    assert program["c'"] == "fma(c, sigmoid(a.f), (sigmoid(a.i) * tanh(a.g)))"
    assert [program[f"kept{n}"] for n in range(4)] == ["sigmoid(a.i)", "sigmoid(a.f)", "tanh(a.g)", "sigmoid(a.o)"]


def test_lstm_reverse_is_as_written_down():
    program = expanded(body(formula_cells.lstm, "reverse, stage 1"))
    tanh_c = "tanh(c')"
    dc = f"fma((kept3 * dh'), fnma({tanh_c}, {tanh_c}, 1), dc')"
    assert program["dc"] == f"kept1 * {dc}"
    assert program["δ a.i"] == f"fnma(kept0, kept0, kept0) * (kept2 * {dc})"
    assert program["δ a.f"] == f"fnma(kept1, kept1, kept1) * (c * {dc})"
    assert program["δ a.g"] == f"fnma(kept2, kept2, 1) * (kept0 * {dc})"
    assert program["δ a.o"] == f"fnma(kept3, kept3, kept3) * (dh' * {tanh_c})"


def test_products_are_runs_of_at_most_four_columns():
    @declared(gates="p q r s t")
    def five(a):
        return a.p + a.q + a.r + a.s + a.t

    assert [(p.column, len(p.blocks)) for p in five.program.products] == [(0, 3), (3, 2)]


def test_columns_with_inputs_come_first():
    program = formula_cells.gru.program
    assert [column.input_block for column in program.columns] == [2, 0, 1, -1]
    assert [column.recurrent_bias for column in program.columns] == [-1, 0, 1, 2]
    assert [(p.column, p.blocks) for p in program.products] == [(1, (0, 1, 2))]


def test_unused_halves_have_no_weights():
    layout = formula_cells.min_gru.layout
    assert [p.name for p in layout.parameters] == ["weight_ih", "bias_ih"]
    assert formula_cells.min_gru.program.products == []


def test_a_function_of_old_states_is_a_stage_without_products():
    first, second = formula_cells.leaky.program.stages
    assert len(first.products) == 0
    assert len(second.products) == 1


def test_a_state_of_its_own_is_no_further_stage():
    @declared(gates="g", states="h c")
    def of_c(a, s):
        return tanh(a.g(s.c)), 0.5 * s.h

    @declared(gates="g")
    def of_h(a, s):
        return tanh(a.g(s.h))

    assert len(of_c.program.stages) == 1
    assert of_c.program.products[0].source == 1
    check(of_c, gradients="differences")
    code, constants = of_h.program.encode()
    plain, _ = formula_cells.rnn_tanh.program.encode()
    np.testing.assert_array_equal(code, plain)
    assert list(constants) == [1]


def test_projection_is_the_last_stage_alone():
    program = formula_cells.projected_lstm.program
    assert [stage.size for stage in program.stages] == [Size.HIDDEN, Size.PROJECTED]
    assert [stage.size for stage in program.back_stages] == [Size.PROJECTED, Size.HIDDEN]
    assert program.columns[-1].size == Size.PROJECTED
    assert (Kind.OUTGOING, 0) not in program.operands


def test_h_is_the_last_source_of_the_reverse():
    assert formula_cells.cornn.program.sources == [1, 0]


def test_programs_do_not_depend_on_the_order_of_lines():
    @declared(gates="i f g o", states="h c")
    def backwards(a, s):
        o = sigmoid(a.o)
        g = tanh(a.g)
        right = g * sigmoid(a.i)
        c = s.c * sigmoid(a.f) + right
        return tanh(c) * o, c

    code, constants = backwards.program.encode()
    expected, numbers = formula_cells.lstm.program.encode()
    np.testing.assert_array_equal(code, expected)
    np.testing.assert_array_equal(constants, numbers)


def test_random_programs_do_not_depend_on_the_order_of_lines():
    rng = np.random.default_rng(0)
    for seed in range(3000, 3060):
        random = random_formula(seed)
        code, constants = random.make().program.encode()
        other, numbers = random.shuffled(rng).make().program.encode()
        assert np.array_equal(code, other), f"seed {seed}: {random}"
        assert np.array_equal(constants, numbers)


def operations(formula):
    stage = formula.program.stages[0]
    return [formula.program.instructions[n].operation for n in stage.instructions]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda s: s.h * s.c + s.d * s.e, [Operation.MULTIPLY, Operation.FMA]),
        (lambda s: s.h * s.c - s.d * s.e, [Operation.MULTIPLY, Operation.FMS]),
        (lambda s: s.h - s.h * s.h, [Operation.FNMA]),
        (lambda s: s.h * s.c - s.d, [Operation.FMS]),
        (lambda s: s.d + s.h * s.c, [Operation.FMA]),
        (lambda s: s.h * s.c + s.h * s.c, [Operation.MULTIPLY, Operation.ADD]),
        (lambda s: (s.h * s.c) * s.d + s.h * s.c, [Operation.MULTIPLY, Operation.FMA]),
    ],
)
def test_contraction(function, expected):
    def step(s):
        return function(s), s.c, s.d, s.e

    formula = Formula(step, states="h c d e")
    assert [o for o in operations(formula) if o != Operation.MOVE] == expected


def test_the_left_product_is_contracted():
    def step(s):
        return s.h * s.c + s.d * s.e, s.c, s.d, s.e

    assert expanded(body(Formula(step, states="h c d e"), "stage 1"))["h'"] == "fma(h, c, (d * e))"

    def turned(s):
        return s.d * s.e + s.h * s.c, s.c, s.d, s.e

    assert expanded(body(Formula(turned, states="h c d e"), "stage 1"))["h'"] == "fma(d, e, (h * c))"


def test_every_delta_is_written_once():
    for formula in CELLS.values():
        program = formula.program
        written = [program.operands[i.to] for i in program.instructions]
        deltas = [index for kind, index in written if kind == Kind.DELTA]
        assert sorted(deltas) == list(range(len(program.deltas)))


def test_what_has_no_gradient_has_a_delta_of_zero():
    @declared(gates="g", inputs="e", scalars={"q": 1.0})
    def compared(a, s, u, x):
        return where(a.g > x.e * u.q, s.h, 0.5 * s.h)

    problem = check(compared, gradients="differences")
    _, gradients = problem.of_program()
    assert not np.any(gradients[0])


def test_deltas_are_in_order():
    program = formula_cells.chain.program
    assert [of for of, _ in program.deltas] == [DeltaOf.COLUMN] * 3 + [DeltaOf.INPUT] * 2


def test_the_encoding_is_what_its_reader_expects():
    for formula in CELLS.values():
        code = Code(*formula.program.encode())
        assert code.count["states"] == len(formula.declared.states)
        assert code.count["kept"] == len(formula.program.forward.kept)


def test_a_relu_keeps_nothing():
    assert formula_cells.rnn_relu.program.forward.kept == {}


def test_a_value_is_held_only_if_it_cannot_be_computed_later():
    assert formula_cells.lem.program.forward.held == 1  # step_y, of which 1 - step_y is computed in the second stage


def test_temporaries_are_reused():
    @declared(gates="g")
    def long(a):
        v = a.g
        for n in range(20):
            v = tanh(v) * (n + 0.5)
        return v

    assert long.program.forward.temporaries == 1


def test_a_state_of_one_number_a_row_or_none():
    @declared(gates="g", states="h c d")
    def constants(a, s):
        return tanh(a.g + s.c), mean(s.h), 0.25

    problem = check(constants, gradients="differences")
    outs, _ = problem.of_program()
    assert np.all(outs[0][2] == 0.25)


def test_large_arguments_have_finite_gradients():
    for function in (elu, gelu, log_sigmoid, silu, softplus, sigmoid, tanh):
        formula = _of_one(function)
        for value in (-1e4, 1e4):
            problem = Problem(formula, T=1)
            problem.states = [np.full((2, 6), value)]
            _, gradients = problem.of_program()
            assert all(np.all(np.isfinite(g)) for g in gradients), function


def _of_one(function):
    def step(s):
        return function(s.h)

    return Formula(step)


def test_two_gates_read_a_value_and_another_slope_of_it():
    """They have the same numbers for a source, but its gradients go different ways."""

    @declared(gates="g k")
    def both(a, s):
        v = tanh(s.h) * 0.5
        return a.g(v) * a.k(given_slope(v, s.h * s.h))

    pytest.importorskip("torch")
    check(both)
    assert len(both.program.staged_kept) == 2


def test_a_slope_is_given_by_a_later_stage():
    @declared(gates="g k", states="h c")
    def late(a, s):
        v = given_slope(s.c * 2.0, a.g(tanh(s.h)))
        return tanh(a.k(v)), 0.5 * s.c

    pytest.importorskip("torch")
    check(late)


def test_a_mean_of_a_mean_and_of_states():
    @declared(gates="g", states="h c", units={"p": 0.0}, inputs="e:step")
    def means(a, s, u, x):
        m = mean(a.g * u.p)
        return tanh(s.h - mean(s.c) * m), mean(m * x.e) + 0.5 * a.g.x * mean(u.p)

    check(means, gradients="differences")


def test_projection_with_gates_that_read_what_it_projects():
    @declared(gates={"g": "h", "k": "c"}, states="h c", heads=2)
    def of_both(a, s):
        c = sigmoid(a.k) * s.c + tanh(a.g)
        return project(c * c), c

    check(of_both, gradients="differences")

    @declared(gates={"g": "c"}, states="h c")
    def h_for_c(a, s):
        return project(tanh(a.g(s.h))), 0.5 * s.c

    assert h_for_c.layout.reads_projected("weight_hh")
    check(h_for_c, gradients="differences")


def test_float32_stays_float32():
    for name in ("lstm", "rg_lru", "chain", "spiking"):
        formula = CELLS[name]
        problem = Problem(formula)
        arrays = [a.astype(np.float32) for a in problem.arrays()]
        assert all(state.dtype == np.float32 for state in problem.steps(arrays)[0])


def test_compiling_takes_little():
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        Formula(formula_cells.lstm.function, gates="i f g o", states="h c").program.encode()
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.02  # 2 ms where nothing else runs


def test_description_of_a_projection():
    text = "\n".join(formula_cells.projected_lstm.describe_lines())
    assert "weight_hh (4 H, P)" in text
    assert "8 I + 10 P + 9" in text
    assert "5 H numbers" in text


def test_descriptions_of_all():
    for formula in CELLS.values():
        described = formula.describe_lines()
        assert sum(line.startswith("stage") for line in described) == len(formula.program.stages)

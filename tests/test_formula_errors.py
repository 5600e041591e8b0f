"""What formulas refuse, and that they say where and what to write instead."""

import math

import numpy as np
import pytest

from recurra import FormulaCell, FormulaLayer, Linear, Sequential, formula
from recurra.formula import Formula, clip, project, tanh, where


def branching(a, s):
    if s.h > 0:
        return s.h
    return a.g


TRACING = {
    "if": (branching, "write recurra.formula.where"),
    "and": (lambda a, s: (a.g > 0) and s.h, "&, |, ~"),
    "float": (lambda a: float(a.g), r"recurra\.formula\.exp"),
    "math": (lambda a: math.exp(a.g), r"recurra\.formula\.exp"),
    "numpy": (lambda a: np.exp(a.g), r"numpy\.exp: .* write recurra\.formula\.exp"),
    "array": (lambda s: np.asarray(s.h), "the functions of recurra.formula instead of NumPy's"),
    "max": (lambda a: max(a.g, 0.0), "maximum or minimum"),
    "numpy's where": (lambda a: np.where(a.g > 0, 1.0, 0.0), r"numpy\.where: .* write recurra\.formula\.where"),
    "numpy's absolute": (lambda a: np.abs(a.g), r"numpy\.absolute: .* write abs\(v\)"),
    "numpy's own": (lambda a: np.arctan(a.g), r"numpy\.arctan: .* it has no arctan"),
    "product": (lambda s: np.ones((3, 3)) @ s.h, r"numpy\.matmul: .* write a\.g\(v\) of a gate"),
    "dot": (lambda s: np.dot(s.h, 3.0), r"numpy\.dot: .* write a\.g\(v\) of a gate"),
    "assignment": (lambda s: setattr(s, "h", 0.0), r"s\.h: expected to be read only"),
    "sum": (lambda a: sum(a.g), "iteration"),
    "len": (lambda a: len(a.g), "len"),
    "index": (lambda a: a.g[0], "for one unit"),
    "range": (lambda s: range(s.h), "index"),
    "int": (lambda s: int(s.h), "int"),
    "equal": (lambda s: where(s.h == 1.0, s.h, 0.0), r"recurra\.formula\.equal"),
    "unequal": (lambda s: where(s.h != 1.0, s.h, 0.0), r"recurra\.formula\.not_equal"),
    "constant array": (lambda a: a.g * np.ones(3), r"an array of shape \(3,\); declare it in units="),
    "array of constants": (lambda a: np.ones(3) * a.g, r"an array of shape \(3,\); declare it in units="),
    "text": (lambda a: a.g + "x", "got str"),
    "none": (lambda a: a.g + None, "got NoneType"),
    "condition": (lambda a: a.g > 0, r"h: expected a value, got a condition; write where\(condition, 1.0, 0.0\)"),
    "sum of conditions": (lambda a: (a.g > 0) + 1, "a condition: expected"),
    "and of values": (lambda a, s: where(a.g & s.h, 1.0, a.g), "&: expected conditions"),
    "product of a condition": (lambda a, s: a.g(s.h > 0), r"a.g\(v\): expected a value, got a condition"),
    "power": (lambda s: s.h**1.5, r"expected a whole exponent from -16 to 16 or 0.5, got 1.5"),
    "exponent": (lambda s: 2**s.h, "exponent"),
    "power of a value": (lambda s: s.h**s.h, "got a value of a formula"),
    "function of text": (lambda a: a.g + tanh("x"), "tanh: expected values of a formula, .* got str"),
    "function of all gates": (lambda a: 2 * tanh(a), "tanh: expected values of a formula, .* got Names"),
    "clip": (lambda s: clip(s.h, s.h, 1), "clip: expected bounds that are numbers or None"),
}


@pytest.mark.parametrize("case", TRACING)
def test_what_needs_a_value_is_a_type_error_with_the_line(case):
    function, message = TRACING[case]
    line = function.__code__.co_firstlineno + (1 if case == "if" else 0)
    gates = "g" if "a" in function.__code__.co_varnames else ""
    with pytest.raises(TypeError, match=message) as caught:
        Formula(function, gates=gates)
    assert str(caught.value).endswith(f'(file "{__file__}", line {line})')


def test_the_functions_of_torch():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"torch\.tanh: .* write recurra\.formula\.tanh"):
        Formula(lambda s: torch.tanh(s.h))
    with pytest.raises(TypeError, match="got Tensor"):
        Formula(lambda s: torch.ones(3) * s.h)


UNDECLARED = {
    "gate": (lambda a: a.q, r"a\.q: expected one of the declared gates \(g\)"),
    "state": (lambda a, s: a.g + s.q, r"s\.q: expected one of the declared states \(h\)"),
    "unit": (lambda a, u: a.g + u.q, r"u\.q: expected one of the declared units and scalars \(none\)"),
    "input": (lambda a, x: a.g + x.q, r"x\.q: expected one of the declared inputs"),
    "part": (lambda a: a.g.c, r"a\.g: expected one of the parts x, h, got c"),
    "function": (lambda s: s.h.mean(), r"\.mean: .* write recurra\.formula\.mean\(v\)"),
    "attribute": (lambda s: s.h.shape, r"\.shape: a value of a formula has operators, but no attributes"),
}


@pytest.mark.parametrize("case", UNDECLARED)
def test_names_that_are_not_declared(case):
    function, message = UNDECLARED[case]
    with pytest.raises(AttributeError, match=message):
        Formula(function, gates="g")


UNUSED = {
    "gates": {"gates": "g k"},
    "units": {"units": {"p": 0.0}},
    "scalars": {"scalars": {"p": 0.0}},
    "inputs": {"inputs": "p:row"},
}


@pytest.mark.parametrize("what", UNUSED)
def test_what_is_declared_is_used(what):
    with pytest.raises(
        ValueError,
        match=f"{what}: expected .* that the returned values depend on, got [kp]; use it or leave it out \\(file ",
    ):
        Formula(lambda a: tanh(a.g), **({"gates": "g"} | UNUSED[what]))


def one_gate(a):
    return a.g


REFUSED = {
    "an input's kind": ({"inputs": "n:col"}, "name, name:row or name:step, got 'n:col'"),
    "an input called x": ({"inputs": "x"}, "another name than x"),
    "an input twice": ({"inputs": "n n:row"}, "got n twice"),
    "no identifier": ({"gates": "g 2"}, "gates: expected names .*, got '2'"),
    "a keyword": ({"gates": "g class"}, "got 'class'"),
    "an underscore": ({"gates": "g _k"}, "got '_k'"),
    "a gate twice": ({"gates": "g g"}, "got g twice"),
    "a weight's name": ({"units": {"weight_ih": 0.0}}, "than those of weights, got weight_ih"),
    "a unit and a scalar": ({"units": {"p": 0.0}, "scalars": {"p": 1.0}}, "got p twice"),
    "a state called x": ({"states": "x"}, "other names than x and i"),
    "h as the second state": ({"states": "c h"}, "h only as the first"),
    "no state": ({"states": ""}, "at least one name"),
    "a state that isn't": ({"gates": {"g": "z"}}, r"expected states \(h\), got z"),
    "an output that isn't": ({"output": "c"}, r"output: expected one of the states \(h\), got c"),
    "no heads": ({"heads": 0}, "heads: expected a positive integer, got 0"),
    "too few results": ({"states": "h c"}, r"expected 2 returned values \(h, c\), .*, got 1; write return h, c \(file"),
    "a comma": ({"gates": "g, k"}, "with blanks between, got 'g,'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_declarations_that_clash(case):
    declarations, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        Formula(one_gate, **({"gates": "g"} | declarations))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a, y: a.g + y, "expected arguments of a, s, u, x, got y"),
        (lambda a, *, y=1: a.g + y, r"expected arguments of a, s, u, x, got \*"),
        (lambda *a: a, r"expected arguments of a, s, u, x, got \*"),
        (3, "expected a function of a, s, u, x, got int"),
    ],
)
def test_functions_of_something_else(function, message):
    with pytest.raises(TypeError, match=message):
        Formula(function, gates="g")


def test_nothing_is_returned():
    def step(a):
        tanh(a.g)

    with pytest.raises(ValueError, match=r"step: expected 1 returned values \(h\), .* got 0; write return h \(file"):
        Formula(step, gates="g")


def test_the_decorator_wants_names():
    with pytest.raises(TypeError, match=r"expected declarations by name; write @recurra\.formula\(gates="):
        formula(one_gate)
    with pytest.raises(TypeError, match="by name"):
        formula("g")


INITIAL = {
    "text": "a",
    "array": np.ones(3),
    "function": lambda _rng, _size: [1, 2],
    "masked": np.ma.array(np.ones(4), mask=True),
    "complex": np.full(4, 1j),
    "none": lambda _rng, _size: None,
    "huge": 10**400,
}


@pytest.mark.parametrize("initial", INITIAL.values(), ids=INITIAL)
def test_initial_values_of_another_shape(initial):
    layer = formula(gates="g", units={"p": initial})(lambda a, u: a.g * u.p)
    with pytest.raises(ValueError, match=r"p_l0: expected an initial value that is a number or an array \(4,\), got "):
        layer(3, 4)


WRONG_DECLARATIONS = {
    "no inputs": ({"inputs": None}, TypeError, "inputs: expected names, got NoneType"),
    "bytes of inputs": ({"inputs": b"dt"}, ValueError, "inputs: expected name, name:row or name:step, got 100"),
    "a kind alone": ({"inputs": "dt :step"}, ValueError, "inputs: expected name, name:row or name:step, got ':step'"),
    "half a head": ({"heads": 1.5}, TypeError, "heads: expected a positive integer, got 1.5"),
    "many heads": ({"heads": 2**31}, ValueError, "heads: expected a positive integer up to 2147483647"),
    "a wide letter": ({"gates": "\uff47"}, ValueError, "gates: expected names in Unicode's form NFKC, .* write 'g'"),
}


@pytest.mark.parametrize("case", WRONG_DECLARATIONS)
def test_wrong_declarations(case):
    declared, error, message = WRONG_DECLARATIONS[case]
    with pytest.raises(error, match=message):
        formula(**({"gates": "g"} | declared))(one_gate)


def test_names_may_come_from_generators():
    named = Formula(
        lambda a, s: (a.g, s.c + a.k),
        gates={"g": (n for n in "hc"), "k": iter("c")},
        states=(n for n in "hc"),
    )
    assert named.declared.reads == ((0, 1), (1,))
    assert Formula(lambda a: a.g + a.k, gates=(n for n in "gk")).declared.gates == ("g", "k")


def test_steps_of_wrong_states_and_names():
    step = Formula(lambda a, s, x: (a.g + x.noise, s.c + a.g), gates="g", states="h c", inputs="noise")
    x, h = np.ones((2, 3)), np.ones((2, 4))
    params = {"weight_ih": np.ones((4, 3)), "weight_hh": np.ones((4, 4)), "bias_ih": np.ones(4), "bias_hh": np.ones(4)}
    assert len(step.run_step(x, [h, h], params, {"noise": h})) == 2
    for states, error, got in (
        (h, TypeError, "got ndarray"),
        ({"h": h}, TypeError, "got dict"),
        ([h], ValueError, "2 "),
    ):
        with pytest.raises(error, match=rf"states: expected .*{got}"):
            step.run_step(x, states, params, {"noise": h})
    with pytest.raises(ValueError, match=r"params: expected weight_ih, .*, got no bias_hh"):
        step.run_step(x, [h, h], {name: value for name, value in params.items() if name != "bias_hh"}, {"noise": h})
    with pytest.raises(ValueError, match="inputs: expected noise, got no noise"):
        step.run_step(x, [h, h], params)
    with pytest.raises(TypeError, match=r"params: expected a dict of arrays by name, got list"):
        step.run_step(x, [h, h], [], {"noise": h})


def test_the_base_of_formulas_is_no_layer():
    for base in (FormulaLayer, FormulaCell):
        with pytest.raises(NotImplementedError, match=rf"{base.__name__}: expected a class made of a formula"):
            base(3, 4)


def test_inputs_and_models():
    """A model has no inputs to give; one that gives them is the user's own."""
    kind = formula(gates="g", inputs="noise")(lambda a, x: a.g + x.noise)
    with pytest.raises(ValueError, match=r"which needs inputs in each call \(noise\): call it yourself"):
        Sequential(kind(3, 4), Linear(4, 2))

    class Quiet(kind):
        """Its noise is zeros."""

        def __call__(self, x, hx=None, *, lengths=None):
            return super().__call__(x, hx, lengths=lengths, inputs={"noise": np.zeros((*x.shape[:2], 4), x.dtype)})

    assert Sequential(Quiet(3, 4), Linear(4, 2))(np.ones((5, 2, 3), np.float32)).shape == (5, 2, 2)


def test_declarations_of_the_wrong_type():
    with pytest.raises(TypeError, match="units: expected a mapping of names to initial values, got list"):
        Formula(one_gate, gates="g", units=["p"])
    with pytest.raises(TypeError, match="gates: expected names, got int"):
        Formula(one_gate, gates=3)


CONTRADICTIONS = {
    "two vectors": (lambda a, s: a.g(s.h * 2) + a.g(s.h * 3), "g", "expected one vector .*, got 2 different"),
    "a vector and h": (lambda a, s: a.g(s.h * 2) + a.g, "g", "expected one vector .*, got 2 different"),
    "a vector and a half": (lambda a, s: a.g(s.h * 2) + a.g.h, "g", "expected one vector .*, got 2 different"),
    "a projection of one": (lambda a: tanh(project(a.g)), "g", "project: expected to be the first state"),
    "h of another size": (lambda a, s: project(a.g + s.h), "g", r"s\.h: expected to be read by gates only"),
    "rows of two lengths": (lambda a: project(a.g + a.k(tanh(a.g))), "g k", "weight_hh: expected gates that all"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions(case):
    function, gates, message = CONTRADICTIONS[case]
    with pytest.raises(ValueError, match=message):
        Formula(function, gates=gates)


def test_a_gate_of_several_states_cannot_be_called():
    with pytest.raises(TypeError, match="expected a gate that reads one state, got one that reads 2"):
        Formula(lambda a, s: (a.g(s.h * 2), s.c), gates={"g": "h c"}, states="h c")


def test_a_formula_that_is_too_large():
    names = [f"g{n}" for n in range(33)]
    large = Formula(lambda a: sum((getattr(a, name) for name in names), 0.0), gates=names)
    with pytest.raises(ValueError, match="expected at most 32 columns, got 33"):
        _ = large.program


def test_values_of_another_formula():
    values = []

    def step(s):
        values.append(s.h)
        return 2 * s.h

    Formula(step)
    with pytest.raises(TypeError, match="got one that another formula's trace made"):
        Formula(lambda s: s.h + values[0])


def test_a_projection_of_plain_arrays():
    with pytest.raises(TypeError, match="which has weight_hr"):
        project(np.ones(3))


def test_numbers_of_numpy_are_constants():
    for function in (
        lambda a: np.float64(2) * a.g,
        lambda a: a.g * np.float32(2),
        lambda a: a.g * np.array(2.0),
        lambda a: a.g * 2,
    ):
        assert Formula(function, gates="g").program.constants == [2.0]


def test_the_package_is_the_decorator():
    @formula(gates="g")
    def step(a):
        """What it is."""
        return a.g

    assert isinstance(step.formula, Formula)
    assert step.function.__doc__ == "What it is."
    assert formula.formula(gates="g")(step.function).formula.declared.gates == ("g",)

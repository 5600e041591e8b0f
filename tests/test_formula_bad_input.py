"""What a user can get wrong with a formula's layer: an error that names the argument, and nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from formula_runs import draw_call, one_or_tuple, parts_of
from recurra.cells import SLSTM, IntersectionRNN, ProjectedLSTM
from recurra.formula import project, sigmoid, tanh
from refused import of_wrong_shape, of_wrong_type, refused

T, B, I, H = 5, 3, 4, 6  # noqa: E741


@recurra.formula(gates="g f", states="h c m", inputs="noise mask:row dt:step", units={"p": 1.0}, scalars={"k": 0.5})
def Driven(a, s, u, x):
    c = sigmoid(a.f) * s.c + x.noise * u.p
    return tanh(a.g + c * x.mask), c, u.k * s.m + x.dt


@recurra.formula(gates="g", states="h c", output="c")
def Second(a, s):
    return tanh(a.g), 0.5 * s.c + tanh(a.g.x)


class Case:
    """A right call of both kinds; what must not change is the layer's parameters and gradients, and the arguments."""

    def __init__(self, kind=Driven, **options):
        self.layer = kind(I, H, num_layers=2, seed=0, **options)
        self.call = draw_call(self.layer, np.random.default_rng(0), T, B, resets=0.2)
        call = self.call
        self.right = {
            "x": call.x,
            "hx": one_or_tuple(call.hx),
            "lengths": call.lengths,
            "resets": call.resets,
            "inputs": call.inputs or None,
        }
        *_, self.tape = self.layer.forward(**self.right)
        self.back = {
            "dy": call.dy,
            "dstate": one_or_tuple(call.dfinal),
            "doutputs": call.doutputs,
            "dstates": call.dstates,
            "dinputs": {name: np.zeros_like(value) for name, value in call.inputs.items()} or None,
        }

    def refuses(self, error, name, **wrong):
        given = {**self.right, **wrong}
        watched = dict(self.layer.params), dict(self.layer.grads), self.call.x, self.call.hx, self.call.inputs
        out = np.full((T, B, H), 7, np.float32)
        with refused(error, name, *watched, out):
            self.layer(**given, out=out)
        with refused(error, name, *watched):
            self.layer.forward(**given)

    def refuses_back(self, error, name, **wrong):
        given = {**self.back, **wrong}
        dinputs = self.back["dinputs"] or {}
        with refused(error, name, dict(self.layer.params), dict(self.layer.grads), dinputs):
            self.layer.backward(self.tape, **given, retain=True)


def test_right_ones():
    case = Case()
    case.layer(**case.right)
    case.layer.backward(case.tape, **case.back, retain=True)


def test_inputs():
    case = Case()
    inputs = case.call.inputs
    for name, array in inputs.items():
        at = rf"inputs\['{name}'\]"
        case.refuses(ValueError, at, inputs={key: value for key, value in inputs.items() if key != name})
        case.refuses(ValueError, at, inputs={**inputs, name: None})
        for wrong in of_wrong_type(array):
            case.refuses(TypeError, at, inputs={**inputs, name: wrong})
        for wrong in of_wrong_shape(array):
            case.refuses(ValueError, at, inputs={**inputs, name: wrong})
    case.refuses(ValueError, r"inputs\['nose'\]", inputs={**inputs, "nose": inputs["noise"]})
    case.refuses(ValueError, r"inputs\['3'\]", inputs={**inputs, 3: inputs["noise"]})
    case.refuses(ValueError, r"inputs\['noise'\]", inputs=None)
    for wrong in (inputs["noise"], "noise", list(inputs.values()), 3):
        case.refuses(TypeError, "inputs", inputs=wrong)
    without = Case(Second)
    without.refuses(ValueError, r"inputs\['noise'\]", inputs=inputs)
    x = case.call.x[:, 0]
    single = {"noise": inputs["noise"][:, 0], "mask": inputs["mask"][0], "dt": inputs["dt"][:, 0]}
    case.layer(x, inputs=single)
    for name in single:
        with refused(ValueError, rf"inputs\['{name}'\]"):
            case.layer(x, inputs={**single, name: inputs[name]})


@pytest.mark.parametrize("kind", [Driven, Second])
def test_states(kind):
    case = Case(kind)
    hx = case.call.hx
    for wrong in (tuple(hx[:-1]), (*hx, hx[0]), hx[0], (), "hx", 3, {"h": hx[0]}):
        case.refuses(TypeError, "hx", hx=wrong)
    names = [f"{state}0" for state in case.layer.formula.states]
    for k, name in enumerate(names):
        for wrong in of_wrong_type(hx[k]):
            case.refuses(TypeError, name, hx=(*hx[:k], wrong, *hx[k + 1 :]))
        for wrong in of_wrong_shape(hx[k]):
            case.refuses(ValueError, name, hx=(*hx[:k], wrong, *hx[k + 1 :]))
    with pytest.raises(TypeError, match=rf"\({', '.join(names)}\)"):
        case.layer(case.call.x, hx[0], inputs=case.call.inputs or None)


def test_resets():
    case = Case()
    resets = case.call.resets
    for wrong in (np.int8, np.float32, object, "S1"):
        case.refuses(TypeError, "resets", resets=resets.astype(wrong))
    for wrong in (resets.astype(float).tolist(), True, "no"):
        case.refuses(TypeError, "resets", resets=wrong)
    for wrong in of_wrong_shape(resets):
        case.refuses(ValueError, "resets", resets=wrong)


@pytest.mark.parametrize("kind", [Driven, Second])
def test_gradients(kind):
    case = Case(kind)
    back, states = case.back, case.layer.formula.states
    dfinal = parts_of(back["dstate"])
    for wrong in (tuple(dfinal[:-1]), dfinal[0], "no"):
        case.refuses_back(TypeError, "dstate", dstate=wrong)
    for k, name in enumerate(states):
        for wrong in of_wrong_shape(dfinal[k]):
            case.refuses_back(ValueError, f"d{name}_n", dstate=(*dfinal[:k], wrong, *dfinal[k + 1 :]))
    output = case.layer.formula.declared.output
    case.refuses_back(ValueError, "dstates", dstates={output: back["doutputs"]})  # which are doutputs
    case.refuses_back(ValueError, "dstates", dstates={"k": back["doutputs"]})
    case.refuses_back(TypeError, "dstates", dstates=[back["doutputs"]])
    for name, tracks in back["dstates"].items():
        at = rf"dstates\['{name}'\]"
        for wrong in ({2: tracks[0]}, {-1: tracks[0]}):
            case.refuses_back(ValueError, at, dstates={name: wrong})
        for wrong in ({"0": tracks[0]}, tracks[0]):
            case.refuses_back(TypeError, at, dstates={name: wrong})
        for wrong in of_wrong_shape(tracks[0]):
            case.refuses_back(ValueError, at + r"\[0\]", dstates={name: {0: wrong}})
    for wrong in of_wrong_shape(back["dy"]):
        case.refuses_back(ValueError, "dy", dy=wrong)


def test_gradients_of_inputs():
    case = Case()
    dinputs = case.back["dinputs"]
    for name, array in dinputs.items():
        at = rf"dinputs\['{name}'\]"
        for wrong in of_wrong_type(array):
            case.refuses_back(TypeError, at, dinputs={**dinputs, name: wrong})
        for wrong in of_wrong_shape(array):
            case.refuses_back(ValueError, at, dinputs={**dinputs, name: wrong})
        fixed = array.copy()
        fixed.flags.writeable = False
        case.refuses_back(ValueError, at, dinputs={**dinputs, name: fixed})
        case.refuses_back(ValueError, at, dinputs={**dinputs, name: np.repeat(array, 2, -1)[..., ::2]})
    case.refuses_back(ValueError, r"dinputs\['nose'\]", dinputs={"nose": dinputs["noise"]})
    case.refuses_back(TypeError, "dinputs", dinputs=dinputs["noise"])


@recurra.formula(gates="g", heads=4)
def Headed(a):
    return tanh(a.g)


@recurra.formula(gates="g")
def Projected(a):
    return project(tanh(a.g))


@recurra.formula(gates="g", heads=2)
def HeadedProjection(a):
    return project(tanh(a.g))


def test_sizes():
    for kind in (Headed, SLSTM):
        kind(5, 8)
        with refused(ValueError, "hidden_size"):
            kind(5, 6)
        with refused(ValueError, "hidden_size"):
            kind.Cell(5, 6)
    HeadedProjection(5, 8, proj_size=4)
    with refused(ValueError, "proj_size"):
        HeadedProjection(5, 8, proj_size=3)
    IntersectionRNN(6, 6, num_layers=2)
    IntersectionRNN(6, 6, bidirectional=True)
    with refused(ValueError, "input_size"):
        IntersectionRNN(5, 6)
    with refused(ValueError, "input_size"):
        IntersectionRNN.Cell(5, 6)
    with refused(ValueError, "num_layers, bidirectional"):
        IntersectionRNN(6, 6, num_layers=2, bidirectional=True)
    for kind in (Projected, Projected.Cell, ProjectedLSTM, ProjectedLSTM.Cell):
        kind(3, 4, proj_size=2)
        with refused(ValueError, "proj_size"):
            kind(3, 4)
        for wrong in (4, 5, -1):
            with refused(ValueError, "proj_size"):
                kind(3, 4, proj_size=wrong)
    for kind in (Second, Second.Cell, recurra.LSTM):
        with refused((TypeError, ValueError), "proj_size"):
            kind(3, 4, proj_size=2.0)
    with refused(ValueError, "proj_size"):
        Second(3, 4, proj_size=2)


def test_cells():
    cell = Driven.Cell(I, H, seed=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((B, I)).astype(np.float32)
    inputs = {"noise": np.ones((B, H), np.float32), "mask": np.ones((B, H), np.float32), "dt": np.ones(B, np.float32)}
    state = cell(x, inputs=inputs)
    for name, array in inputs.items():
        for wrong in of_wrong_type(array):
            with refused(TypeError, rf"inputs\['{name}'\]", dict(cell.params), state):
                cell.forward(x, state, inputs={**inputs, name: wrong})
        for wrong in of_wrong_shape(array):
            with refused(ValueError, rf"inputs\['{name}'\]", dict(cell.params), state):
                cell(x, state, inputs={**inputs, name: wrong})
    for wrong in (state[0], state[:2]):
        with refused(TypeError, "hx"):
            cell(x, wrong, inputs=inputs)


def test_output_of_a_formula():
    with refused(ValueError, "output"):
        recurra.formula(gates="g", states="h c", output="c")(lambda a, s: (project(tanh(a.g)), s.c))
    with refused(ValueError, "output"):
        recurra.formula(gates="g", states="h c", output="d")(lambda a, s: (tanh(a.g), s.c))


def test_a_mask_that_is_drawn_is_not_taken():
    layer = recurra.LSTM(3, 4, recurrent_dropout=0.5, zoneout=0.1, seed=0)
    x = np.zeros((2, 1, 3), np.float32)
    for name, shape in (("recurrent_dropout", (1, 4)), ("zoneout_c", (2, 1, 4))):
        with pytest.raises(ValueError, match=rf"^inputs\['{name}'\]: expected none, as it is drawn, got an array"):
            layer.forward(x, rng=1, inputs={name: np.ones(shape, np.float32)})

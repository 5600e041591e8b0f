"""Layers of formulas are layers like any other: in models, in fit and generate, as functions, copied, pickled."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
import recurra.cells
from configs import assert_same_bits, max_error
from formula_runs import FORMULAS, draw_call, is_of_rows, make_layer, one_or_tuple, parts_of, run
from recurra import functional
from recurra.cells import RHN, SLSTM, IntersectionRNN, LayerNormLSTM, MinGRU, PeepholeLSTM, ProjectedLSTM
from recurra.formula import sigmoid, tanh
from recurra.generate import _without_embedding
from refused import refused

T, B, H = 6, 4, 8
NAMES = tuple(FORMULAS)
every_formula = pytest.mark.parametrize("name", NAMES)


@recurra.formula(gates="f g", states="h c", units={"bias_f": lambda rng, size: rng.uniform(1, 2, size)})
def Leaky(a, s, u):
    """An integrator."""
    f = sigmoid(a.f.x + a.f.h + u.bias_f)
    c = f * s.c + (1 - f) * tanh(a.g)
    return tanh(c), c


@recurra.formula(gates="g", inputs="noise mask:row dt:step")
def Driven(a, s, x):
    return tanh(a.g + x.noise * x.mask) * sigmoid(x.dt) + 0.5 * s.h


@recurra.formula(states="h", units={"decay": 0.5})
def Decay(s, u, x):
    return u.decay * s.h + x.x


KINDS = (
    Leaky,
    PeepholeLSTM,
    LayerNormLSTM,
    MinGRU,
    IntersectionRNN,
    recurra.cells.LEM,
    SLSTM,
    RHN,
    ProjectedLSTM,
    Decay,
)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def options_of(kind):
    return {"proj_size": 3} if kind is ProjectedLSTM else {}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---- In a Sequential


def model_of(kind, **options):
    own = options_of(kind)
    return recurra.Sequential(
        recurra.Embedding(5, H, seed=0),
        kind(H, H, seed=1, **own, **options),
        recurra.Dropout(0.3),
        recurra.GRU(own.get("proj_size", H), H, seed=2),
        recurra.Last(),
        recurra.Linear(H, 3, seed=3),
    )


@pytest.mark.parametrize("lengths", [None, np.array([6, 0, 3, 1])], ids=["all", "lengths"])
@pytest.mark.parametrize("resets", [False, True])
@every_kind
def test_in_a_sequential(kind, resets, lengths):
    """Its members one by one; tokens come more often than the table has rows, so that it is projected."""
    model, twin = model_of(kind), model_of(kind)
    rng = np.random.default_rng(0)
    tokens, dy = rng.integers(0, 5, (T, B)), draw(B, 3)
    options = {} if lengths is None else {"lengths": lengths}
    cut = options | ({"resets": rng.random((T, B)) < 0.3} if resets else {})
    embedding, layer, dropout, gru, last, linear = twin
    generator = np.random.default_rng(5)
    y, embedding_tape = embedding.forward(tokens)
    y, state, tape = layer.forward(y, **cut)
    y, dropout_tape = dropout.forward(y, rng=generator)
    y, gru_state, gru_tape = gru.forward(y, **cut)
    y, last_tape = last.forward(y, **options)
    y, linear_tape = linear.forward(y)
    d = last.backward(last_tape, linear.backward(linear_tape, dy))
    d, dgru = gru.backward(gru_tape, d)
    d, dlayer = layer.backward(tape, dropout.backward(dropout_tape, d))
    embedding.backward(embedding_tape, d)
    result, model_tape = model.forward(tokens, rng=5, **cut)
    assert_same_bits((result, model_tape.state), (y, [state, gru_state]))
    model.backward(model_tape, dy)
    assert_same_bits(model_tape.dstate, [dlayer, dgru])
    for name, gradient in model.grads.items():
        # Through a table's rows, sums over tokens are in another order.
        assert max_error(gradient, twin.grads[name]) <= (1e-5 if name.startswith(("0.", "1.weight_ih")) else 0), name
    model[2].p = 0
    assert_same_bits(model(tokens, **cut), model.forward(tokens, **cut)[0])
    assert_same_bits(model.run(tokens, **cut)[0], model(tokens, **cut))
    states = model_tape.state
    y, model_tape = model.forward(tokens, states, **cut)
    assert_same_bits(model.run(tokens, states, **cut), (y, model_tape.state))
    assert resets == (not np.array_equal(model(tokens, **cut), model(tokens, **options)))
    assert_same_bits(pickle.loads(pickle.dumps(model))(tokens), model(tokens))


def test_resets_of_a_sequential():
    """In x's layout; through models within; checked before any member runs."""
    kind = Leaky
    plain = recurra.Sequential(kind(3, H, seed=0), recurra.Sequential(kind(H, H, seed=1), recurra.Tanh()))
    by_batch = recurra.Sequential(
        kind(3, H, batch_first=True, seed=0), kind(H, H, batch_first=True, seed=1), recurra.Tanh()
    )
    x, resets = draw(T, B, 3), np.random.default_rng(0).random((T, B)) < 0.3
    y = plain(x, resets=resets)
    expected = by_batch(np.ascontiguousarray(x.swapaxes(0, 1)), resets=resets.T)
    assert_same_bits(np.ascontiguousarray(expected.swapaxes(0, 1)), y)
    assert_same_bits(plain(x[:, 0], resets=resets[:, 0]), np.ascontiguousarray(y[:, 0]))

    class Model(recurra.Sequential):
        """Called by `run`, and with what its recurrent members are given."""

    nested = recurra.Sequential(Model(kind(3, H, seed=0), kind(H, H, seed=1)), recurra.Tanh())
    assert_same_bits(nested(x, resets=resets), y)
    assert_same_bits(nested.forward(x, resets=resets)[0], y)
    late = recurra.Sequential(recurra.Dropout(0.5), kind(3, H, seed=0), kind(H, H, seed=1))
    generator = np.random.default_rng(0)
    wrong = [(TypeError, resets.astype(np.int8)), (TypeError, resets.astype(float).tolist()), (TypeError, "no")]
    wrong += [(ValueError, resets.T), (ValueError, resets[:-1]), (ValueError, resets[..., None])]
    for error, value in wrong:
        for call in (late, late.run, lambda x, **given: late.forward(x, rng=generator, **given)):
            with refused(error, "resets", x, dict(late.params)):
                call(x, resets=value)
    assert generator.random() == np.random.default_rng(0).random()


def test_what_a_sequential_refuses():
    with refused(ValueError, "layers"):
        recurra.Sequential(recurra.Linear(3, 4), Driven(4, 5))
    with refused(TypeError, "layers"):
        recurra.Sequential(Leaky.Cell(3, 4))
    with refused(ValueError, "layers"):
        recurra.Sequential(Leaky(3, 4), Leaky(5, 4))
    with refused(ValueError, "layers"):
        recurra.Sequential(ProjectedLSTM(3, 8, proj_size=2), Leaky(8, 4))
    assert recurra.Sequential(Leaky(3, 4, reverse=True), recurra.Last())[1].reverse
    both = recurra.Sequential(Leaky(3, 4, bidirectional=True), recurra.Last())
    assert both[1].bidirectional
    model = recurra.Sequential(Leaky(3, 4), recurra.cells.SLSTM(4, 4))
    x = draw(T, B, 3)
    for wrong in ([None], [None, draw(1, B, 4)], [draw(1, B, 4), None], [(draw(1, B, 5), None), None]):
        with refused((TypeError, ValueError), "(state|hx|h0)"):
            model.run(x, wrong)
    y, tape = model.forward(x)
    for wrong in ([None, (None, None)], [draw(1, B, 4), None]):
        with refused(TypeError, "dstate", dict(model.grads)):
            model.backward(tape, y, wrong)


# ---- fit and generate


@every_kind
def test_fit(kind):
    """Which token came first; with its state carried, too."""
    model = recurra.Sequential(
        recurra.Embedding(4, H, seed=0), kind(H, H, seed=1, **options_of(kind)), recurra.Last(),
        recurra.Linear(options_of(kind).get("proj_size", H), 4, seed=2),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 4, (3, 24))
    before = model.state_dict()
    batches = [(tokens[:, :12], tokens[0, :12]), (tokens[:, 12:], tokens[0, 12:])]
    history = recurra.fit(
        model, batches, loss=recurra.cross_entropy, optimizer=recurra.Adam(model, lr=0.02), epochs=40, carry_state=False
    )
    assert history.losses[-1] < 0.7 * history.losses[0]
    moved = [name for name, value in model.state_dict().items() if not np.array_equal(value, before[name])]
    assert len(moved) >= len(before) - 3  # some have no gradient in the first step, or none at all
    recurra.fit(model, batches, loss=recurra.cross_entropy, optimizer=recurra.Adam(model), epochs=1, carry_state=True)


@pytest.mark.parametrize("bias", [True, False])
@every_kind
def test_generate(kind, bias):
    """Where the Embedding can be multiplied into the layer's weights, no bit changes; else it steps aside."""
    options = options_of(kind) | {"bias": bias, "learned_state": True, "num_layers": 1 if kind is ProjectedLSTM else 2}
    layer = kind(H, H, seed=1, **options)
    rng = np.random.default_rng(0)
    layer.load_state_dict(
        {name: np.asarray(v + rng.normal(0, 0.2, v.shape), v.dtype) for name, v in layer.state_dict().items()}
    )
    out = options_of(kind).get("proj_size", H)
    model = recurra.Sequential(recurra.Embedding(5, H, seed=0), layer, recurra.Linear(out, 5, seed=2))
    shorter = _without_embedding(model, 30)
    assert (shorter is model) == (layer.formula.reads_input_itself or "weight_ih_l0" not in layer.params)
    tokens = rng.integers(0, 5, 30)
    y, state = model.run(tokens[:1])
    for token in tokens[1:]:
        expected = model.run(np.array([token]), state)
        assert_same_bits(shorter.run(np.array([token]), state), expected)
        state = expected[1]
    text = recurra.generate(model, [1, 2], 30, seed=3)
    assert text.shape == (30,)
    assert len(set(text.tolist())) > 1
    assert y.shape == (1, 5)


def test_generate_and_carry_state_read_forward():
    for options in ({"reverse": True}, {"bidirectional": True}):
        model = recurra.Sequential(recurra.Embedding(5, 4), Leaky(4, 4, **options))
        with refused(ValueError, "model"):
            recurra.generate(model, [1], 3)
        with refused(ValueError, "carry_state"):
            recurra.fit(model, [], loss=recurra.mse, optimizer=recurra.SGD(model, lr=0.1), epochs=1, carry_state=True)


# ---- Functions


@every_formula
def test_functional(name):
    rng = np.random.default_rng([NAMES.index(name), 0])
    layer = make_layer(FORMULAS[name], rng, dtype=np.float64)
    call = draw_call(layer, rng, T, B, resets=0.2)
    expected, _ = run(layer, call)
    for cell in (layer.formula, type(layer)):
        y, final, tape = functional.forward(
            cell,
            call.x,
            layer.params,
            one_or_tuple(call.hx),
            num_layers=layer.num_layers,
            bidirectional=layer.bidirectional,
            lengths=call.lengths,
            inputs=call.inputs or None,
            resets=call.resets,
        )
        dinputs = {key: np.zeros_like(value) for key, value in call.inputs.items()}
        dx, dhx, grads = functional.backward(
            tape,
            call.dy,
            one_or_tuple(call.dfinal),
            doutputs=call.doutputs,
            dstates=call.dstates,
            dinputs=dinputs or None,
        )
        results = {"y": y, "dx": dx}
        for key, state, d in zip(layer.formula.states, parts_of(final), parts_of(dhx), strict=True):
            results |= {f"final {key}": state, f"dhx {key}": d}
        results |= {f"dinput {key}": d for key, d in dinputs.items()} | {f"grad {key}": g for key, g in grads.items()}
        assert_same_bits(results, {key: expected[key] for key in results})


def test_functional_infers_sizes():
    """From whatever parameters there are; from the state or x, if those say nothing."""
    x = draw(T, B, 4)
    for kind, options in (
        (MinGRU, {"bias": False}),
        (Decay, {}),
        (ProjectedLSTM, {"proj_size": 2}),
        (Leaky, {"bias": False}),
    ):
        layer = kind(4, 4, seed=0, **options)
        assert_same_bits(functional.forward(kind, x, layer.params)[:2], layer(x))

    @recurra.formula(states="h", scalars={"k": 0.5})
    def counter(s, u):
        return s.h + u.k

    params = dict(counter(1, 3, seed=0).params)
    assert_same_bits(
        functional.forward(counter, x, params, np.zeros((1, B, 3), np.float32))[0], counter(4, 3, seed=0)(x)[0]
    )


def test_functional_by_name():
    """Those of the built-in layers, among them the LSTM that projects."""
    x, layer = draw(T, B, 4), recurra.LSTM(4, 5, proj_size=2, num_layers=2, seed=0)
    assert_same_bits(functional.forward("lstm_projected", x, layer.params, num_layers=2)[:2], layer(x))
    with refused(ValueError, "params"):
        functional.forward("lstm_projected", x, recurra.LSTM(4, 5).params)


def test_functional_refuses():
    x, params = draw(T, B, 4), dict(Leaky(4, 4, seed=0).params)
    for error, cell in (
        (ValueError, "Leaky"),
        (TypeError, Leaky(4, 4)),
        (TypeError, recurra.FormulaLayer),
        (TypeError, 3),
    ):
        with refused(error, "cell"):
            functional.forward(cell, x, params)
    for name in params:
        without = {key: value for key, value in params.items() if key != name}
        with refused(ValueError, "params"):
            functional.forward(Leaky, x, without)
    with refused(ValueError, r"inputs\['noise'\]"):
        functional.forward(Driven, x, dict(Driven(4, 4).params))
    with refused(ValueError, r"inputs\['noise'\]"):
        functional.forward(Leaky, x, params, inputs={"noise": x})
    with refused(TypeError, "resets"):
        functional.forward(Leaky, x, params, resets=np.zeros((T, B)))
    with refused((TypeError, ValueError), "weight_ih_l0"):
        functional.forward(Leaky, x, params | {"weight_ih_l0": x})


# ---- Copies, pickles, names


@every_kind
def test_copies(kind):
    layer = kind(H, H, seed=0, **options_of(kind))
    x = draw(T, B, H)
    y, _, tape = layer.forward(x)
    layer.backward(tape, y)
    same = copy.copy(layer)
    assert same.params is layer.params
    for how in (
        copy.deepcopy,
        lambda one: pickle.loads(pickle.dumps(one)),
        lambda one: pickle.loads(pickle.dumps(one, 2)),
    ):
        twin = how(layer)
        assert type(twin) is kind
        assert repr(twin) == repr(layer)
        assert_same_bits((twin(x), twin.grads), (layer(x), layer.grads))
        assert not any(np.shares_memory(twin.params[name], layer.params[name]) for name in layer.params)
    other = kind(H, H, seed=9, **options_of(kind))
    assert not np.array_equal(other(x)[0], y) or not any("weight" in name for name in layer.params)
    other.load_state_dict(layer.state_dict())
    assert_same_bits(other(x), layer(x))
    first = next(iter(layer.params))
    for wrong in ({}, {**layer.state_dict(), "more": x}, {**layer.state_dict(), first: x[:1]}):
        with refused(ValueError, f"(state_dict|{first})", dict(other.params)):
            other.load_state_dict(wrong)


def test_representations():
    assert repr(Leaky(3, 4)) == "Leaky(3, 4)"
    options = {"num_layers": 2, "zoneout": {"c": 0.5}, "reverse": True, "dtype": np.float64}
    text = repr(Leaky(3, 4, **options))
    assert text == "Leaky(3, 4, num_layers=2, dtype=float64, reverse=True, zoneout={'c': 0.5})"
    assert repr(ProjectedLSTM(3, 8, proj_size=2)) == "ProjectedLSTM(3, 8, proj_size=2)"
    assert repr(Leaky.Cell(3, 4)) == "Cell(3, 4)"
    assert Leaky.__doc__.startswith("An integrator.")
    assert (Leaky.__module__, Leaky.Cell.__qualname__) == (__name__, "Leaky.Cell")


def test_formulas_within_functions():
    """Can be copied, but not pickled, which the error says."""

    @recurra.formula(gates="g")
    def local(a):
        return tanh(a.g)

    for one in (local(3, 4, seed=0), local.Cell(3, 4, seed=0), recurra.Sequential(local(3, 4))):
        with pytest.raises(
            pickle.PicklingError, match=r"^pickle: expected a formula at the top level .*, got \w+\.test_"
        ):
            pickle.dumps(one)
    layer = local(3, 4, seed=0)
    twin = copy.deepcopy(layer)
    x = draw(T, B, 3)
    assert_same_bits(twin(x), layer(x))
    first, second = copy.deepcopy([layer, layer])
    assert first is second
    renamed = type("Other", (local,), {})
    with pytest.raises(pickle.PicklingError, match=r"^pickle: "):
        pickle.dumps(renamed(3, 4))


class Named(Leaky):
    """Somebody's own: any attribute, and pickled as what it is."""


def test_attributes():
    layer = Leaky(3, 4)
    for one in (layer, Leaky.Cell(3, 4)):
        with pytest.raises(AttributeError, match=r"^droput: expected an attribute that \w+ has"):
            one.droput = 0.5
        with pytest.raises(AttributeError, match=r"^hidden_size: expected to stay 4, got 5"):
            one.hidden_size = 5
        with pytest.raises(AttributeError):
            _ = one.dropot
    with pytest.raises(AttributeError, match="did you mean dropout"):
        layer.droput = 0.5
    own = Named(3, 4, seed=0)
    own.note = "mine"
    assert pickle.loads(pickle.dumps(own)).note == "mine"
    assert copy.deepcopy(own).note == "mine"


@recurra.formula(gates="g", states="h slow_lag", units={"tau_left": 0.25}, scalars={"k_l1": 3.0})
def Suffixes(a, s, u):
    lag = u.tau_left * s.slow_lag + tanh(a.g)
    return lag * u.k_l1, lag


def test_names_that_look_like_suffixes():
    """Have their initial values all the same."""
    cell, layer = Suffixes.Cell(3, 4, seed=0), Suffixes(3, 4, num_layers=2, bidirectional=True, learned_state=True)
    for one in (cell, layer):
        units = [value for name, value in one.params.items() if name.startswith("tau_left")]
        scalars = [value for name, value in one.params.items() if name.startswith("k_l1")]
        assert len(units) == len(scalars) == (1 if one is cell else 4)
        assert all((value == 0.25).all() for value in units)
        assert all(value == 3 for value in scalars)
    assert not layer.params["slow_lag0"].any()
    assert list(Suffixes.Cell.from_layer(layer, 1, reverse=True).params) == list(cell.params)


def test_averages_of_weights_can_be_loaded():
    """Where arithmetic has made NumPy's numbers of arrays without axes."""
    first, second = Suffixes(3, 4, seed=0), Suffixes(3, 4, seed=1)
    second.load_state_dict({name: value + 1 for name, value in second.state_dict().items()})
    mean = {name: (value + second.params[name]) / 2 for name, value in first.params.items()}
    assert isinstance(mean["k_l1_l0"], np.float32)
    first.load_state_dict(mean)
    assert first.params["k_l1_l0"] == 3.5
    model, cell = recurra.Sequential(Suffixes(3, 4)), Suffixes.Cell.from_layer(first)
    model.load_state_dict({f"0.{name}": value for name, value in mean.items()})
    assert_same_bits(dict(model[0].params), dict(first.params))
    cell.load_state_dict({name: value * 2 for name, value in cell.params.items()})
    assert first.params["k_l1_l0"] == 7
    for wrong in (np.float64(1), np.int32(1), 1.0, [1.0]):
        with refused(TypeError, "k_l1_l0", dict(first.params)):
            first.load_state_dict(mean | {"k_l1_l0": wrong})


# ---- Single steps


@every_formula
def test_single_steps_are_the_layers(name):
    """Forward with the layer's bits; of a cell with weights of its own, and of one with the layer's."""
    rng = np.random.default_rng([NAMES.index(name), 1])
    layer = make_layer(FORMULAS[name], rng, num_layers=1, bidirectional=False)
    kind = type(layer).Cell
    call = draw_call(layer, rng, T, B, lengths=False)
    expected, _ = run(layer, call)
    options = {"proj_size": layer.proj_size} if layer.proj_size else {}
    own = kind(layer.input_size, layer.hidden_size, **options)
    own.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    rows = [key for key in call.inputs if is_of_rows(layer, f"dinput {key}")]
    for cell in (own, kind.from_layer(layer)):
        state, tapes = one_or_tuple([hx[0] for hx in call.hx]), []
        for t in range(T):
            inputs = {key: value if key in rows else value[t] for key, value in call.inputs.items()}
            plain = cell(call.x[t], state, inputs=inputs or None)
            state, tape = cell.forward(call.x[t], state, inputs=inputs or None)
            assert_same_bits(plain, state)
            tapes.append(tape)
            for key, part in zip(layer.formula.states, parts_of(state), strict=True):
                track = "y" if key == layer.formula.declared.output else key
                assert_same_bits(part, expected[f"track {track} 0"][t].copy(), key)
    dstate = one_or_tuple([d[0] for d in call.dfinal])
    for tape in reversed(tapes):
        _, dstate = cell.backward(tape, dstate)
    layer._plan = None
    _, _, tape = layer.forward(call.x, one_or_tuple(call.hx), inputs=call.inputs or None)
    _, dhx = layer.backward(
        tape, None, one_or_tuple(call.dfinal), grads={k: np.zeros_like(v) for k, v in layer.params.items()}
    )
    for one, other in zip(parts_of(dstate), parts_of(dhx), strict=True):
        assert max_error(one, other[0]) <= 1e-4


@every_kind
def test_cells_of_layers(kind):
    options = options_of(kind) | {"num_layers": 1 if kind is ProjectedLSTM else 2}
    layer = kind(H, H, seed=0, **options)
    cell = kind.Cell.from_layer(layer, options["num_layers"] - 1)
    assert all(
        np.shares_memory(cell.params[name], layer.params[f"{name}_l{options['num_layers'] - 1}"])
        for name in cell.params
    )
    alone = kind.Cell(H, H, seed=0, **options_of(kind))
    x = draw(B, H)
    for one in (cell, alone):
        for how in (copy.copy, copy.deepcopy, lambda cell: pickle.loads(pickle.dumps(cell))):
            twin = how(one)
            assert type(twin) is kind.Cell
            assert_same_bits(twin(x), one(x))
    with refused(TypeError, "recurrent"):
        kind.Cell.from_layer(recurra.GRU(H, H))


# ---- Tokens, tapes, descriptions


@every_kind
def test_tokens_are_one_hot_rows(kind):
    layer = kind(H, H, seed=0, tokens=True, **options_of(kind))
    tokens = np.random.default_rng(0).integers(0, H, (T, B))
    if layer.formula.reads_input_itself:
        with refused(TypeError, "x"):
            layer(tokens)
        return
    rows = np.eye(H, dtype=np.float32)[tokens]
    assert max_error(layer(tokens)[0], layer(rows)[0]) <= 1e-6
    results = []
    for x in (tokens, rows):
        layer.zero_grad()
        y, _, tape = layer.forward(x)
        layer.backward(tape, y)
        results.append(copy.deepcopy(layer.grads))
    for name, gradient in results[0].items():
        assert max_error(gradient, results[1][name]) <= 1e-5, name


@every_kind
def test_tapes_and_descriptions(kind):
    layer = kind(H, H, seed=0, **options_of(kind))
    y, final, tape = layer.forward(draw(T, B, H))
    output, states = layer.formula.declared.output, layer.formula.states
    assert list(tape.states) == [name for name in states if name != output]
    assert_same_bits(tape.outputs[0].copy(), y)
    for name, state in zip(states, parts_of(final), strict=True):
        track = tape.outputs[0] if name == output else tape.states[name][0]
        assert_same_bits(track[-1].copy(), state[0], name)
        assert not track.flags.writeable
    text = kind.describe()
    assert text.splitlines()[0] == f"{kind.__name__}: states {', '.join(states)}; output {output}"
    assert all(f"  {name} (" in text for name in layer.formula.parameters)
    assert text.count("\nstage ") == layer.formula.core.counts["stages"]


def test_states_of_another_output_are_described_by_their_names():
    text = IntersectionRNN.describe()
    assert "a.h_in, a.g_y, a.g_h += weight_hh h" in text or "+= weight_hh h" in text
    assert "weight_hh y" not in text
    assert "\n  y' = " in text

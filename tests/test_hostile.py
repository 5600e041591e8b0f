"""Objects that aren't what they say: their real memory is used, or they are refused; no process ends.

A subclass of numpy.ndarray may answer anything when asked for its shape, a mapping may change while it is read, and a
class of the compiled half may be asked for an object that was never initialised.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import _core
from recurra.definitions import FORMULAS

F32 = np.float32
LSTM = FORMULAS["lstm"].core
CLASSES = {name: kind for name, kind in vars(_core).items() if isinstance(kind, type)}
SIZES = {"input_size": 3, "hidden_size": 5, "num_layers": 2, "bidirectional": True, "seed": 0}


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, F32)


class Liar(np.ndarray):
    """Answers every question wrongly, or not at all."""

    def _lie(self, *_, **__):
        raise AssertionError("asked")

    def copy(self, *_, **__):
        return np.zeros((1, 1), np.float32)

    def _number(self):
        return 10**9

    def _numbers(self):
        return (1,)

    def _type(self):
        return np.dtype(np.int8)

    shape = strides = property(_numbers, _lie)
    ndim = size = nbytes = itemsize = property(_number)
    dtype = property(_type)
    flags = data = base = T = property(_lie)
    astype = ravel = reshape = view = tobytes = item = fill = __setitem__ = __getitem__ = __len__ = __iter__ = _lie
    __array__ = __array_ufunc__ = __array_function__ = _lie


def lying(array):
    """A view of it as a Liar, made without asking it anything."""
    return np.ndarray.view(array, Liar) if array is not None else None


def as_is(array):
    return array


LAYERS = {
    "RNN": lambda: recurra.RNN(**SIZES),
    "LSTM": lambda: recurra.LSTM(**SIZES),
    "GRU": lambda: recurra.GRU(**SIZES, reset_after=False),
}


@pytest.mark.parametrize("memory", [as_is, np.asfortranarray], ids=["in place", "copied"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_arrays_that_lie_count_by_their_memory_in_recurrent_layers(make, memory):
    x, h, lengths = (memory(a) for a in (floats(7, 4, 3), floats(4, 4, 5, seed=1), np.array([7, 0, 3, 5])))
    dy, dh = memory(floats(7, 4, 10, seed=2)), memory(floats(4, 4, 5, seed=3))

    def all_results(of):
        layer = make()
        lstm = isinstance(layer, recurra.LSTM)
        pair = (lambda one: [of(one), of(one)]) if lstm else of
        layer.load_state_dict({name: of(2 * value) for name, value in layer.state_dict().items()})
        out = np.zeros((7, 4, 10), F32)
        plain = layer(of(x), pair(h), lengths=of(lengths), out=of(out))
        y, state, tape = layer.forward(of(x), pair(h), lengths=of(lengths))
        grads = {name: np.zeros_like(value) for name, value in layer.params.items()}
        dx, dprevious = layer.backward(
            tape, of(dy), pair(dh), doutputs={0: of(dy)}, grads={name: of(value) for name, value in grads.items()}
        )
        tokens = layer(of(np.asfortranarray(np.arange(28).reshape(7, 4) % 3)))[0]
        results = [out, plain[1], y, state, dx, dprevious, tokens, *grads.values()]
        return [np.asarray(array) for one in results for array in (one if isinstance(one, tuple) else (one,))]

    for found, expected in zip(all_results(lying), all_results(as_is), strict=True):
        assert_same_bits(found, expected)


def test_arrays_that_lie_count_by_their_memory_in_other_layers():
    x, tokens = np.asfortranarray(floats(6, 3)), np.asfortranarray(np.arange(6).reshape(3, 2))
    for layer, given in [
        (recurra.Linear(3, 4, seed=0), x),
        (recurra.LSTMCell(3, 4, seed=0), x),
        (recurra.Embedding(6, 4, seed=0), tokens),
    ]:
        y, tape = layer.forward(given)
        found, other_tape = layer.forward(lying(given))
        assert_same_bits(found, y)
        assert_same_bits(layer(lying(given)), layer(given))
        gradients = [{name: np.zeros_like(value) for name, value in layer.params.items()} for _ in range(2)]
        dx = layer.backward(tape, y, grads=gradients[0])
        state = isinstance(y, tuple)
        lying_y = tuple(map(lying, y)) if state else lying(np.asfortranarray(y))
        lying_dx = layer.backward(other_tape, lying_y, grads={n: lying(g) for n, g in gradients[1].items()})
        assert_same_bits(gradients[1], gradients[0])
        assert (dx is None) == (lying_dx is None)
        recurra.Adam(layer).step()
    assert_same_bits(recurra.functional.tanh(lying(x)), recurra.functional.tanh(x))
    assert_same_bits(recurra.functional.sigmoid(lying(x.astype(np.float64))), recurra.sigmoid(x.astype(np.float64)))


def test_optimizers_and_gradients_that_lie():
    layer, twin = recurra.Linear(3, 4, seed=0), recurra.Linear(3, 4, seed=0)
    for one in (layer, twin):
        for gradient in one.grads.values():
            gradient[...] = 0.5
    layer.grads = {name: lying(gradient) for name, gradient in layer.grads.items()}
    recurra.Adam(layer).step()
    recurra.Adam(twin).step()
    assert_same_bits(layer.state_dict(), twin.state_dict())


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices_are_arrays():
    x = np.matrix(floats(4, 3))
    linear, embedding, gru = recurra.Linear(3, 5, seed=0), recurra.Embedding(6, 5, seed=0), recurra.GRU(3, 5, seed=0)
    assert_same_bits(linear(x), linear(np.asarray(x)))
    assert_same_bits(recurra.sigmoid(x), recurra.sigmoid(np.asarray(x)))
    tokens = np.matrix([[0, 1, 5], [2, 3, 1]])
    assert_same_bits(embedding(tokens), embedding(np.asarray(tokens)))
    with pytest.raises(
        ValueError, match=r"^x: expected tokens in 0\.\.num_embeddings-1 = 0\.\.5, got 6 at index \(0, 1\)"
    ):
        embedding(np.matrix([[0, 6]]))
    assert_same_bits(gru(np.matrix([[0, 1], [2, 2]]))[0], gru(np.array([[0, 1], [2, 2]]))[0])


def test_masked_arrays_are_refused_by_name():
    class Masked(np.ndarray):
        @property
        def mask(self):
            raise AssertionError("asked")

    def masks(array):
        return [np.ma.masked_array(array), array.view(Masked)]

    lstm, linear, embedding = recurra.LSTM(3, 5, seed=0), recurra.Linear(3, 5, seed=0), recurra.Embedding(3, 5, seed=0)
    x, h, tokens = floats(2, 4, 3), floats(1, 4, 5), np.zeros((2, 4), int)
    y, _, tape = lstm.forward(x)
    _, tape_of_linear = linear.forward(x)
    _, tape_of_embedding = embedding.forward(tokens)
    dz, bias = floats(2, 4, 5), floats(5)
    before = lstm.state_dict() | {"grads": lstm.grads["weight_ih_l0"].copy()}
    cases = [
        ("x", lstm, x),
        ("x", lstm, tokens),
        ("x", linear, x),
        ("x", embedding, tokens),
        ("x", recurra.sigmoid, x),
        ("h0", lambda wrong: lstm(x, (wrong, None)), h),
        ("c0", lambda wrong: lstm(x, (None, wrong)), h),
        ("lengths", lambda wrong: lstm(x, lengths=wrong), np.full(4, 2)),
        ("out", lambda wrong: lstm(x, out=wrong), y.copy()),
        ("dy", lambda wrong: lstm.backward(tape, wrong), y),
        ("dy", lambda wrong: linear.backward(tape_of_linear, wrong), dz),
        ("dy", lambda wrong: embedding.backward(tape_of_embedding, wrong), dz),
        ("dh_n", lambda wrong: lstm.backward(tape, y, (wrong, None)), h),
        (r"doutputs\[0\]", lambda wrong: lstm.backward(tape, y, doutputs={0: wrong}), y),
        ("bias", lambda wrong: linear.load_state_dict(linear.state_dict() | {"bias": wrong}), bias),
        ("bias", lambda wrong: linear.backward(tape_of_linear, dz, grads=linear.grads | {"bias": wrong}), bias),
    ]
    for name, call, array in cases:
        for wrong in masks(array):
            with pytest.raises(TypeError, match=rf"^{name}: expected a plain numpy.ndarray, got a masked one"):
                call(wrong)
    assert_same_bits(lstm.state_dict() | {"grads": lstm.grads["weight_ih_l0"]}, before)
    lstm.backward(tape, y)  # still good


def test_a_property_that_frees_the_memory_is_not_asked():
    class Shrinks(np.ndarray):
        @property
        def mask(self):
            self.resize(1, refcheck=False)
            raise AttributeError

        def __array_finalize__(self, of):
            if of is not None and self.size > 3:
                of.resize(1, refcheck=False)

    lengths = np.full(1000, 1)
    lengths = np.ndarray.__new__(Shrinks, 1000, lengths.dtype, buffer=lengths)
    with pytest.raises(TypeError, match=r"^lengths: expected a plain"):
        recurra.RNN(1, 1, seed=0)(floats(1, 1000, 1), lengths=lengths)


@pytest.mark.parametrize("name", CLASSES)
def test_no_object_is_made_without_something_behind_it(name):
    kind = CLASSES[name]
    makes = [kind.__new__, object.__new__, lambda it: type(it).__call__(it)]
    if name != "Stream":  # whose class is there to be derived from; it is made with what it holds all the same
        makes.append(lambda it: type("Derived", (it,), {}))
    for make in makes:
        with pytest.raises(TypeError):
            make(kind)
    with pytest.raises(TypeError):
        kind.parameters = None


def test_there_are_classes_to_test():
    kinds = ["Network", "Tape", "LayerArrays", "Linear", "LinearTape", "Embedding", "EmbeddingTape", "Parameters"]
    named = {kind + dtype for kind in [*kinds, "StreamPart"] for dtype in ("32", "64")}
    assert named | {"NarrowNetwork32", "NarrowLinear32", "NarrowEmbedding32", "Cell", "Stream"} == {*CLASSES}


def test_no_object_is_taken_for_one_of_another_class():
    class Claims:
        """Says what it is, and where: at an address that pybind11's own conversion would take without a look."""

        def __init__(self, kind):
            self.kind = kind

        @property
        def __class__(self):
            return self.kind

        def _pybind11_conduit_v1_(self, *_):
            return dt.datetime_CAPI

    lstm, linear, embedding = recurra.LSTM(3, 5, seed=0), recurra.Linear(3, 5, seed=0), recurra.Embedding(3, 5, seed=0)
    y, _, tape = lstm.forward(floats(2, 4, 3))
    z, tape_of_linear = linear.forward(floats(2, 4, 3))
    _, tape_of_embedding = embedding.forward(np.zeros((2, 4), int))
    for layer, own, dy in [(lstm, tape, y), (linear, tape_of_linear, z), (embedding, tape_of_embedding, z)]:
        for kind in CLASSES.values():
            with pytest.raises(TypeError, match=r"^tape: expected"):
                layer.backward(Claims(kind), dy)
            with pytest.raises(TypeError, match=r"^self: expected"):
                type(layer._core).call(Claims(kind), *[None] * (9 if layer is lstm else 1))
        for other in (tape.outputs, layer._core, layer._parameters, None, 3):
            with pytest.raises(TypeError):
                layer.backward(other, dy)
        with pytest.raises(TypeError, match=r"__class__"):
            own.__class__ = _core.Parameters32
    with pytest.raises(TypeError, match=r"^self: expected"):
        _core.Parameters32.views(Claims(_core.Parameters32))
    with pytest.raises(TypeError, match=r"^self: expected"):
        _core.LayerArrays32.__len__(Claims(_core.LayerArrays32))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Network", ("lstm", 3, 5, 1, 1, True, False, None)),
        ("Network", (LSTM, 0, 5, 1, 1, True, False, None)),
        ("Network", (LSTM, 3, -5, 1, 1, True, False, None)),
        ("Network", (LSTM, 3, 5, 0, 1, True, False, None)),
        ("Network", (LSTM, 3, 5, 1, 3, True, False, None)),
        ("Linear", (0, 4, True)),
        ("Linear", (4, -1, True)),
        ("Embedding", (4, 0, -1)),
        ("Embedding", (4, 4, 4)),
    ],
)
def test_layers_that_cannot_be_are_not_made(name, arguments):
    for dtype in ("32", "64"):
        with pytest.raises((TypeError if "lstm" in arguments else ValueError, MemoryError)):
            getattr(_core, name + dtype)(*arguments)


class LyingDict(dict):
    """What it holds is right, what it says isn't."""

    def keys(self):
        return ["nothing"]

    def __len__(self):
        return 0

    def __getitem__(self, key):
        raise AssertionError("asked")

    get = items = values = __contains__ = __getitem__


class Forgets:
    """A mapping that frees, whenever it is read, the arrays that it has given before."""

    def __init__(self, arrays):
        self.arrays, self.given = arrays, []

    def keys(self):
        return list(self.arrays)

    def __getitem__(self, name):
        for array in self.given:
            array.resize(0, refcheck=False)
        array = self.arrays.pop(name)
        self.given.append(array)
        return array


class Clears(str):
    """A name that, when it is compared, empties the dict that it is in and frees what was there."""

    __slots__ = ("home",)

    def __hash__(self):
        return str.__hash__(self)

    def __eq__(self, other):
        for array in list(self.home.values()):
            if array.base is None and array.size:
                array.resize(0, refcheck=False)
        self.home.clear()
        return str.__eq__(self, other)


def clearing(arrays):
    home = {}
    for name, array in arrays.items():
        key = Clears(name)
        key.home = {}
        home[key] = array
    for key in home:
        key.home = home
    return home


def test_mappings_that_lie_count_by_what_they_hold():
    layer, state = recurra.Linear(300, 50, seed=0), recurra.Linear(300, 50, seed=1).state_dict()
    layer.load_state_dict(LyingDict(state))
    assert_same_bits(layer.state_dict(), state)
    x = floats(2, 300)
    y, tape = layer.forward(x)
    grads = {name: np.zeros_like(value) for name, value in state.items()}
    layer.backward(tape, y, grads=LyingDict(grads), retain=True)
    expected = {name: np.zeros_like(value) for name, value in state.items()}
    layer.backward(tape, y, grads=expected)
    assert_same_bits(grads, expected)


@pytest.mark.parametrize("make", [lambda arrays: Forgets(dict(arrays)), clearing], ids=["forgets", "clears"])
def test_mappings_that_free_their_arrays_are_read_first_and_checked_afterwards(make):
    layer = recurra.Linear(300, 50, seed=0)
    before, state = layer.state_dict(), recurra.Linear(300, 50, seed=1).state_dict()
    with pytest.raises(ValueError, match="expected"):
        layer.load_state_dict(make(state))
    y, tape = layer.forward(floats(2, 300))
    with pytest.raises(ValueError, match="expected"):
        layer.backward(tape, y, grads=make({name: np.zeros_like(value) for name, value in before.items()}))
    adam = recurra.Adam(layer)
    layer.grads = make({name: np.zeros_like(value) for name, value in before.items()})
    with pytest.raises(ValueError, match="expected"):
        adam.step()
    assert_same_bits(layer.state_dict(), before)


def test_gradients_that_free_dy_when_they_are_read():
    """What may run code is read before the arrays are looked at."""

    class FreesDy(dict):
        def keys(self):
            dy.resize(0, refcheck=False)
            return super().keys()

    class FreesDyToo:
        def __init__(self, grads):
            self.grads = grads

        def keys(self):
            dy.resize(0, refcheck=False)
            return self.grads.keys()

        def __getitem__(self, name):
            return self.grads[name]

    x, tokens = floats(50, 2, 64), np.zeros((50, 2), int)
    layers = [(recurra.Linear(64, 64), x), (recurra.GRU(64, 64), x), (recurra.Embedding(9, 64), tokens)]
    for layer, given in layers:
        tape = layer.forward(given)[-1]
        dy = floats(50, 2, 64)
        layer.backward(tape, dy, grads=FreesDy(layer.grads), retain=True)  # a dict isn't asked
        with pytest.raises(ValueError, match=r"^dy: expected .*got \(0,\)"):
            layer.backward(tape, dy, grads=FreesDyToo(layer.grads), retain=True)


def test_moments_that_free_the_gradients_when_they_are_read():
    class Frees:
        def __init__(self, arrays, freed):
            self.arrays, self.freed = arrays, freed

        def keys(self):
            for array in self.freed.values():
                array.resize(0, refcheck=False)
            return self.arrays.keys()

        def __getitem__(self, name):
            return self.arrays[name]

    layer = recurra.Linear(300, 400, seed=0)
    before = layer.state_dict()

    def zeros():
        return {name: np.zeros_like(value) for name, value in before.items()}

    grads, means, squares = zeros(), zeros(), zeros()
    with pytest.raises(ValueError, match=r"^weight: expected .*got \(0,\)"):
        _core.sgd([(layer._parameters, grads, Frees(zeros(), grads), -1)], [0], [(0.1, 0.9, 0.0, False)])
    moments = means, Frees(squares, means)
    with pytest.raises(ValueError, match=r"^weight: expected .*got \(0,\)"):
        _core.adam([(layer._parameters, zeros(), *moments, -1)], [0], [(0.1, 0.9, 0.999, 1e-8, 0.0)], False)
    assert_same_bits(layer.state_dict(), before)


def test_a_generator_that_frees_x_while_it_draws():
    class Thief(np.random.Generator):
        def integers(self, *args, **kwargs):
            x.resize(0, refcheck=False)
            return super().integers(*args, **kwargs)

    layer = recurra.LSTM(64, 8, num_layers=2, dropout=0.5, seed=0)
    x = floats(500, 4, 64)
    with pytest.raises(ValueError, match=r"^x: expected .*got \(0,\)"):
        layer.forward(x, rng=Thief(np.random.PCG64(0)))


def test_states_that_lie_count_by_what_they_hold():
    class Pair(list):
        def __len__(self):
            return 7

        def __getitem__(self, index):
            raise AssertionError("asked")

        __iter__ = __getitem__

    class Triple(tuple):
        __slots__ = ()

        def __len__(self):
            return 2

    layer, x, h = recurra.LSTM(3, 5, seed=0), floats(4, 2, 3), floats(1, 2, 5)
    assert_same_bits(layer(x, Pair([h, h]))[0], layer(x, (h, h))[0])
    with pytest.raises(TypeError, match=r"^hx: expected a pair"):
        layer(x, Triple((h, h, h)))


def test_numbers_that_free_the_arrays():
    class Index:
        def __index__(self):
            x.resize(0, refcheck=False)
            return 1

    layer, x = recurra.RNN(64, 8, seed=0), floats(500, 4, 64)
    layer._plan = {"threads": Index()}
    with pytest.raises(ValueError, match=r"^x: expected .*got \(0,\)"):
        layer(x)

    class Changes(dict):
        pass

    plan = Changes(threads=1, split=1)

    class Adds:
        def __index__(self):
            plan.update({str(n): n for n in range(1000)})
            return 1

    plan["chunk"] = Adds()
    layer._plan = plan
    layer(floats(5, 4, 64))


class DataFrame:
    def to_numpy(self):
        raise AssertionError("asked")


CURES = [
    ([[1.0, 2.0, 3.0]], "got list: pass np.array(x, np.float32)"),
    ((1.0, 2.0, 3.0), "got tuple: pass np.array(x, np.float32)"),
    (1.0, "got float: pass np.array(x, np.float32)"),
    (DataFrame(), "got test_hostile.DataFrame: pass x.to_numpy(np.float32)"),
    (memoryview(b"123"), "got memoryview: pass np.asarray(x, np.float32)"),
    ("abc", "got str"),
    (None, "got NoneType"),
]


@pytest.mark.parametrize(("x", "ending"), CURES, ids=[type(x).__name__ for x, _ in CURES])
def test_messages_say_what_to_write_instead(x, ending):
    for layer in (recurra.Linear(3, 4, seed=0), recurra.GRU(3, 4, seed=0), recurra.GRUCell(3, 4, seed=0)):
        with pytest.raises(TypeError, match=r"^x: ") as error:
            layer(x)
        assert str(error.value) == "x: expected an array of float32, " + ending


def test_messages_of_integers_say_what_to_write_instead():
    embedding, gru = recurra.Embedding(3, 4, seed=0), recurra.GRU(3, 4, seed=0)
    for call, name in [(embedding, "x"), (lambda value: gru(floats(2, 3, 3), lengths=value), "lengths")]:
        for wrong, message in [
            (np.ones(3), f"expected integers, got float64: pass {name}.astype(np.int64)"),
            (np.array(["1"] * 3), "expected integers, got <U1"),
        ]:
            with pytest.raises(TypeError, match=f"^{name}: ") as error:
                call(wrong)
            assert str(error.value) == f"{name}: {message}"

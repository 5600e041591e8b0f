"""Arrays of other packages, taken as they are wherever an array is read, and lists of numbers where those will do.

Here they come from small classes; the packages themselves are in test_foreign_packages.py.
"""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

F32 = np.float32


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, F32)


class Array:
    """Has `__array__` alone."""

    def __init__(self, array):
        self.array = array

    def __array__(self):
        return self.array


class Capsule:
    """Has `__dlpack__` alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Once(Array):
    """Gives each time another array, which nobody else holds."""

    def __array__(self):
        return self.array.copy()


def readonly(array):
    view = array.view()
    view.flags.writeable = False
    return Array(view)


PRODUCERS = {"array": Array, "dlpack": Capsule, "new": Once, "read-only": readonly}
every_producer = pytest.mark.parametrize("of", PRODUCERS.values(), ids=PRODUCERS)


def arrays_in(result):
    if isinstance(result, np.ndarray):
        return [result]
    if isinstance(result, (tuple, list)):
        return [array for one in result for array in arrays_in(one)]
    return [np.array(result)] if isinstance(result, float) else []


X, H, TOKENS, LENGTHS = floats(6, 3, 4), floats(2, 3, 5, seed=1), np.arange(18).reshape(6, 3) % 7, np.array([6, 0, 4])
Y, RESETS = floats(6, 3, 5, seed=2), np.arange(18).reshape(6, 3) % 5 == 3
LSTM = {"input_size": 4, "hidden_size": 5, "num_layers": 2, "seed": 0}


def recurrent(of):
    layer = recurra.LSTM(**LSTM)
    y, state, tape = layer.forward(of(X), (of(H), None), lengths=of(LENGTHS), resets=of(RESETS))
    gradients = layer.backward(tape, of(Y), (None, of(H)), doutputs={0: of(Y)}, dstates={"c": {1: of(Y)}})
    return y, state, gradients, list(layer.grads.values()), layer(of(X), [of(H), of(H)], lengths=of(LENGTHS))


@recurra.formula(gates="f", inputs="gain:step")
def Scaled(a, s, x):
    return recurra.formula.tanh(a.f) * x.gain + s.h


def inputs(of):
    return Scaled(4, 5, seed=0)(of(X), inputs={"gain": of(Y[..., 0])})


def others(of):
    linear, embedding, norm = recurra.Linear(4, 5, seed=0), recurra.Embedding(7, 4, seed=0), recurra.LayerNorm(4)
    results = [recurra.GRUCell(4, 5, seed=0)(of(X[0]), of(H[0])), recurra.Last()(of(X), lengths=of(LENGTHS))]
    for layer, x, dy in ((linear, X, Y), (embedding, TOKENS, X), (norm, X, X), (recurra.Tanh(), X, X)):
        y, tape = layer.forward(of(x))
        results += [y, layer(of(x)), layer.backward(tape, of(dy)), list(layer.grads.values())]
    return *results, recurra.functional.tanh(of(X)), recurra.sigmoid(of(X)), recurra.softmax(of(X))


def composites(of):
    chain = recurra.Sequential(recurra.Linear(4, 4, seed=0), recurra.LSTM(**LSTM))
    y, tape = chain.forward(of(X), [(of(H), of(H))], lengths=of(LENGTHS))
    results = [
        y,
        chain.backward(tape, of(Y), [(None, of(H))]),
        recurra.Sequential(recurra.Embedding(7, 4, seed=0), chain)(of(TOKENS)),
    ]
    residual = recurra.Residual(recurra.GRU(4, 4, seed=0))
    y, tape = residual.forward(of(X), lengths=of(LENGTHS))
    results += [y, residual.backward(tape, of(X))]
    for join, dy in (("sum", of(Y)), ("tuple", (of(Y), of(Y)))):
        parallel = recurra.Parallel(recurra.Linear(4, 5, seed=0), recurra.RNN(4, 5, seed=1), join=join)
        y, tape = parallel.forward(of(X))
        results += [y, parallel.backward(tape, dy)]
    both = recurra.EncoderDecoder(recurra.GRU(4, 5, seed=0), recurra.GRU(4, 5, seed=1), recurra.Attention(5, 5, seed=2))
    y, tape = both.forward((of(X), of(X)), lengths=of(LENGTHS))
    return *results, y, both.backward(tape, of(floats(6, 3, 10)))


def losses(of):
    logits, classes = floats(4, 3, 7), TOKENS[:4]
    return (
        recurra.mse(of(X), of(X + 1), lengths=of(LENGTHS), position_weights=of(np.abs(X[..., 0]))),
        recurra.cross_entropy(of(logits), of(classes), of(np.arange(1.0, 8))),
        recurra.ctc(of(logits), of(np.ones((3, 2), int)), target_lengths=of(np.array([2, 1, 0]))),
        recurra.quantile(of(X), of(X[..., 0]), of(np.array([0.1, 0.2, 0.5, 0.9]))),
        recurra.accuracy(of(logits), of(classes)),
    )


def steps(of):
    layer = recurra.LSTM(**LSTM)
    stream = recurra.Stream(layer, batch=3)
    results = [stream(of(X[0])), stream.many(of(X))]
    stream.state = (of(H), None)
    stream.reset(of(np.array([True, False, False])))
    words = recurra.Stream(recurra.Sequential(recurra.Embedding(7, 4, seed=0), recurra.GRU(4, 5, seed=0)))
    return *results, stream(of(X[0])), words.many(of(TOKENS[:, 0])), words(of(TOKENS[0, 0:1]))


def functional(of):
    params = recurra.LSTM(4, 5, seed=0).state_dict()
    y, state, tape = recurra.functional.forward(
        "lstm", of(X), {name: of(value) for name, value in params.items()}, (of(H[:1]), of(H[1:]))
    )
    return y, state, recurra.functional.backward(tape, of(Y))[:2]


def states(of):
    layer, model = recurra.LSTM(**LSTM), recurra.Sequential(recurra.Linear(4, 5, seed=3))
    for one in (layer, model):
        one.load_state_dict({name: of(2 * value) for name, value in one.state_dict().items()})
    return [*layer.params.values(), *model.params.values()]


def data(of):
    padded = recurra.pad([of(X[:2, 0]), of(X[:, 1])])
    batches = [list(recurra.batches(given, of(TOKENS[:, 0]), 2)(0)) for given in (of(X), [of(one) for one in X])]
    model = recurra.Sequential(recurra.GRU(4, 5, seed=0))
    history = recurra.fit(
        model, [(of(X), of(Y), of(LENGTHS))], recurra.mse, recurra.SGD(model, lr=0.1), epochs=2, carry_state=True
    )
    return *padded, *batches, history.losses, list(model.params.values())


USES = [recurrent, inputs, others, composites, losses, steps, functional, states, data]


@every_producer
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_they_give_the_bits_of_their_arrays(use, of):
    found, expected = arrays_in(use(of)), arrays_in(use(lambda array: array))
    assert len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)


def test_their_memory_is_read_in_place():
    x = floats(1000, 1000)
    assert np.shares_memory(recurra.Dropout(0.5)(Array(x)), x)
    layer = recurra.Linear(1000, 1, seed=0)
    for given in (Array(x), Capsule(x), readonly(x)):
        tracemalloc.start()
        layer(given)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 10


@pytest.mark.parametrize("of", [Array, Capsule], ids=["array", "dlpack"])
def test_they_lie_in_memory_as_they_like(of):
    layer = recurra.LSTM(4, 5, seed=0)
    whole = floats(12, 3, 8)
    for view in (whole[::2, :, ::2], whole[::-1, :, 3::-1], floats(4, 3, 7).T, whole[:0, :, :4], whole[:, :0, :4]):
        assert_same_bits(layer(of(view))[0], layer(view.copy())[0])
    assert recurra.mse(of(np.array(3.0)), of(np.array(1.0)))[0] == 4
    assert recurra.Stream(recurra.RNN(1, 2, seed=0))(of(np.array(1, F32))).shape == (2,)


def test_a_tape_outlives_what_it_was_made_of():
    def gradients(of):
        layer = recurra.Sequential(recurra.LSTM(64, 32, seed=0), recurra.Linear(32, 8, seed=1), recurra.Tanh())
        x = of(floats(50, 8, 64))
        y, tape = layer.forward(x)
        del x
        gc.collect()
        _ = [np.full((50, 8, 64), np.nan, F32) for _ in range(8)]  # where x was
        return layer.backward(tape, of(y)), dict(layer.grads)

    assert_same_bits(gradients(Once), gradients(lambda array: array))


def test_retained_values_are_copies():
    x, linear = floats(3, 4), recurra.Linear(4, 5, seed=0)
    state = {name: Array(value) for name, value in linear.state_dict().items()}
    linear.load_state_dict(state)
    y, tape = linear.forward(Array(x))
    expected = linear.backward(tape, y, retain=True), linear.grads["weight"].copy()
    for one in state.values():
        one.array[...] = 7
    x[...] = 7
    linear.zero_grad()
    assert_same_bits((linear.backward(tape, y), linear.grads["weight"]), expected)


def test_a_mapping_may_make_its_arrays_when_asked():
    class Lazy(dict):
        __slots__ = ()

        def __getitem__(self, name):
            return Array(2 * super().__getitem__(name))

    class Made:
        def __init__(self, arrays):
            self.arrays = arrays

        def keys(self):
            return self.arrays.keys()

        def __getitem__(self, name):
            return Array(self.arrays[name])

    layer, other = recurra.LSTM(4, 5, seed=0), recurra.LSTM(4, 5, seed=1)
    layer.load_state_dict(Made(other.state_dict()))
    assert_same_bits(layer.state_dict(), other.state_dict())
    scaled, gain = Scaled(4, 5, seed=0), Y[..., 0]
    given = Made({"gain": gain})
    assert_same_bits(scaled(X, inputs=given), scaled(X, inputs={"gain": gain}))
    gain = given.arrays["gain"] = gain + 1  # each call reads it anew
    assert_same_bits(scaled(X, inputs=given), scaled(X, inputs={"gain": gain}))


def test_numbers_in_lists():
    layer, lengths = recurra.GRU(4, 5, seed=0), [6, 0, 4]
    assert_same_bits(layer(X, lengths=lengths), layer(X, lengths=LENGTHS))
    assert_same_bits(layer(X, resets=RESETS.tolist()), layer(X, resets=RESETS))
    assert layer(np.zeros((6, 0, 4), F32), lengths=[])[0].shape == (6, 0, 5)
    logits, classes = floats(4, 3, 7), TOKENS[:4]
    right, _ = recurra.cross_entropy(logits, classes, np.arange(1.0, 8))
    assert recurra.cross_entropy(logits, classes, [*range(1, 8)])[0] == right
    right, _ = recurra.ctc(logits, np.array([[1, 2], [3, 0], [1, 1]]), target_lengths=np.array([2, 1, 1]))
    assert recurra.ctc(logits, np.array([[1, 2], [3, 0], [1, 1]]), target_lengths=[2, 1, 1])[0] == right
    assert recurra.ctc(logits, [[1, 2], [3], [1]])[0] == right
    model = recurra.Sequential(layer, recurra.Last())
    recurra.fit(model, [(X, Y[0], lengths)], recurra.mse, recurra.SGD(model, lr=0.1), epochs=1)


@pytest.mark.parametrize(
    ("lengths", "got"),
    [
        ([1, 2.5, 3], "integers, got float64: pass np.array(lengths, np.int64)"),
        ([True, False, True], "integers, got bool: pass np.array(lengths, np.int64)"),
        ([1, None, 3], "numbers, integers, got a list of other things"),
        ([1, "2", 3], "numbers, integers, got a list of other things"),
        ([1, True, 3], "numbers, integers, got a list of some and of bools"),
        ([1, np.True_, 3], "numbers, integers, got a list of some and of bools"),
        ([1, [2], 3], "numbers, integers, got lists of several lengths"),
        ([1, 2**70, 3], "numbers, integers, got a list that makes an array of object"),
        ({1, 2, 3}, "an array of integers, got set"),
    ],
    ids=str,
)
def test_lists_of_something_else(lengths, got):
    for call in (recurra.GRU(4, 5, seed=0), recurra.Last(), lambda x, lengths: recurra.mse(x, x, lengths=lengths)):
        with pytest.raises(TypeError) as caught:
            call(X, lengths=lengths)
        assert str(caught.value) == f"lengths: expected {got}"


def test_arrays_within_lists_and_tuples():
    gru, linear = recurra.GRU(4, 5, seed=0), recurra.Linear(5, 2, seed=0)
    with pytest.raises(TypeError, match=r"^x: .*, got tuple: pass y of the \(y, state\) that a layer returns"):
        linear(gru(X))
    with pytest.raises(TypeError, match=r"^h0: .*, got tuple: h is one array$"):
        gru(X, (np.zeros((1, X.shape[1], 5), np.float32),) * 2)
    with pytest.raises(TypeError, match=r"^x: .*, got list: recurra.pad\(x\) makes an array of sequences"):
        gru([X[:, 0], X[1:, 0]])
    with pytest.raises(TypeError, match=r"^x: .*, got list: pass np.array\(x, np.float32\)$"):
        gru([X[:, 0], X[:, 1]])


def test_a_list_of_bools_of_both_kinds():
    layer, resets = recurra.GRU(4, 5, seed=0), np.zeros(X.shape[:2], bool)
    resets[1] = True
    assert_same_bits(layer(X, resets=[*map(list, resets[:2]), *resets[2:].tolist()]), layer(X, resets=resets))


@pytest.mark.parametrize("huge", [10**5000, -(10**5000)], ids=["+", "-"])
def test_numbers_too_long_to_be_printed(huge):
    with refused(TypeError, "lengths"):
        recurra.GRU(4, 5, seed=0)(X, lengths=huge)
    with refused(ValueError, "x"):
        recurra.Stream(recurra.GRU(4, 5, seed=0))(huge)
    if huge < 0:
        with refused(ValueError, "length"):
            recurra.pad([np.zeros((2, 3))], length=huge)


def test_what_numpys_dtype_cannot_parse():
    with refused(TypeError, "dtype"):
        recurra.GRU(4, 5, dtype="f4,(")


def test_an_error_that_has_no_text():
    class SilentError(Exception):
        def __str__(self):
            raise ValueError

    class Raises:
        def __array__(self, *_, **__):
            raise SilentError

    with pytest.raises(TypeError, match=r"gives none \(SilentError\)"):
        recurra.GRU(4, 5, seed=0)(Raises())


def test_what_is_written_to_is_numpys():
    layer = recurra.LSTM(4, 5, seed=0)
    y, _, tape = layer.forward(X)
    grads = {name: Array(value) for name, value in layer.grads.items()}
    model, linear = recurra.Sequential(layer), recurra.Linear(4, 5, seed=0)
    _, chain = model.forward(X)
    _, own = linear.forward(X)
    calls = {
        "out": lambda: layer(X, out=Array(y)),
        "weight_ih_l0": lambda: layer.backward(tape, y, grads=grads),
        "0.weight_ih_l0": lambda: model.backward(chain, y, grads={f"0.{name}": one for name, one in grads.items()}),
        "weight": lambda: linear.backward(own, y, grads={name: Array(one) for name, one in linear.grads.items()}),
    }
    for name, call in calls.items():
        with refused(TypeError, name, y, form=r": expected a numpy.ndarray of float32, got test_foreign_inputs.Array"):
            call()
    with refused(TypeError, "out"):
        recurra.Stream(layer)(X[0, :1], out=Array(y[0, :1]))
    layer.grads = grads
    with refused(TypeError, "weight_ih_l0"):
        layer.zero_grad()


def fake(module, name, **members):
    """An object of another package's class."""
    return type(name, (), {"__module__": module, "__array__": lambda _: X, **members})()


def on(device):
    return lambda _: (device, 0)


def test_arrays_elsewhere_are_refused_by_name():
    layer = recurra.LSTM(4, 5, seed=0)

    def unasked(*_):
        raise AssertionError("asked")

    cupy = fake("cupy", "ndarray", __dlpack_device__=on(2), get=unasked, __array__=unasked)
    torch = fake("torch", "Tensor", __dlpack_device__=on(2), device="cuda:1", __array__=unasked)
    numba = fake("numba", "DeviceArray", __cuda_array_interface__={}, __array__=unasked)
    metal = fake("other", "Array", __dlpack_device__=on(8), __array__=unasked)
    for given, got in [
        (cupy, "cupy.ndarray on a CUDA device: pass x.get()"),
        (torch, "torch.Tensor on cuda:1: pass x.cpu()"),
        (numba, "numba.DeviceArray on a CUDA device: copy it there"),
        (metal, "other.Array on a Metal device: copy it there"),
    ]:
        for call in (layer, layer.forward, recurra.Sequential(layer, recurra.Linear(5, 2)), recurra.sigmoid):
            with pytest.raises(TypeError) as caught:
                call(given)
            assert str(caught.value) == f"x: expected an array in CPU memory, got {got}"
    with refused(TypeError, "target", form=r": expected an array in CPU memory, got cupy\.ndarray .* target\.get\(\)"):
        recurra.mse(X, cupy)
    for device in (1, 3):  # 3 is the CPU's memory, pinned
        layer(fake("torch", "Tensor", __dlpack_device__=on(device)))


def test_a_tensor_that_requires_grad():
    given = fake("torch", "Tensor", requires_grad=True)
    for call, name in ((recurra.LSTM(4, 5, seed=0), "x"), (lambda target: recurra.mse(X, target), "target")):
        with refused(
            TypeError, name, form=rf".*got a torch.Tensor that requires grad: pass {name}.detach\(\), or use re"
        ):
            call(given)

"""Layers made of Keras's and back: the same answers, states and gradients, and the same bits of weights."""

from __future__ import annotations

import os

import numpy as np
import pytest

import recurra
from own_layers import Residual
from recurra.weights.orders import reordered

torch = pytest.importorskip("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "torch":
    pytest.skip("KERAS_BACKEND is another than torch, whose gradients are asked for", allow_module_level=True)

K = keras.layers
BOUND = 2e-6  # relative to the largest number, where that is above 1; of float64 too, which Keras multiplies as float32
DTYPES = ["float32", "float64"]


@pytest.fixture(autouse=True)
def one_thread():
    """These shapes are small, and the machine's cores are others' too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def array(value):
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def close(ours, theirs):
    theirs = array(theirs)
    assert ours.shape == theirs.shape
    if theirs.size:
        assert abs(ours - theirs).max() <= BOUND * max(1, abs(theirs).max())


def same_bits(layer, other):
    for mine, theirs in zip(layer.get_weights(), other.get_weights(), strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        assert mine.tobytes() == theirs.tobytes()


def randomised(layer, shape, seed=0):
    """Built, with weights of a size that lets gates differ, biases included."""
    layer.build(shape)
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.standard_normal(weight.shape) * 0.4 for weight in layer.get_weights()])
    return layer


def drawn(shape, dtype="float32", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


KINDS = {
    "lstm": (K.LSTM, {}, "LSTM"),
    "gru": (K.GRU, {}, "GRU"),
    "gru reset before": (K.GRU, {"reset_after": False}, "GRU"),
    "rnn": (K.SimpleRNN, {}, "RNN"),
    "relu": (K.SimpleRNN, {"activation": "relu"}, "RNN"),
}


def gradients_like_keras(layer, kind, cell_options):
    """Ours, as Keras has them: per direction kernel, recurrent kernel, bias."""
    result = []
    for suffix in ("_l0", "_l0_reverse")[: 1 + layer.bidirectional]:
        weights = (layer.grads[name + suffix] for name in ("weight_ih", "weight_hh"))
        result += [reordered(weight, kind, "recurra", "keras").T for weight in weights]
        if layer.bias:
            biases = [reordered(layer.grads[n + suffix], kind, "recurra", "keras") for n in ("bias_ih", "bias_hh")]
            result.append(np.stack(biases) if cell_options.get("reset_after", kind == "GRU") else biases[0])
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(3, 5, 4, 7, True), (1, 1, 1, 1, True), (7, 11, 2, 3, False)], ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent(kind, bidirectional, sizes, dtype):
    make, options, name = KINDS[kind]
    features, units, batch, steps, bias = sizes
    theirs = make(units, **options, use_bias=bias, return_sequences=True, return_state=True, dtype=dtype)
    if bidirectional:
        theirs = K.Bidirectional(theirs, dtype=dtype)
    randomised(theirs, (None, None, features))
    layer = recurra.from_keras(theirs)
    assert type(layer).__name__ == name
    assert (layer.batch_first, layer.bidirectional, layer.bias) == (True, bidirectional, bias)
    back = recurra.to_keras(layer)
    assert type(back) is type(theirs)
    same_bits(back, theirs)

    x = drawn((batch, steps, features), dtype)
    directions = 1 + bidirectional
    states = [drawn((directions, batch, units), dtype, 2 + i) for i in range(1 + (name == "LSTM"))]
    given = torch.from_numpy(x).requires_grad_()
    initial = [torch.from_numpy(s[d].copy()).requires_grad_() for d in range(directions) for s in states]
    y, *finals = theirs(given, initial_state=initial)
    pair = tuple if name == "LSTM" else lambda parts: next(iter(parts))
    ours, final, tape = layer.forward(x, pair(states))
    close(ours, y)
    final = final if name == "LSTM" else (final,)
    for i, theirs_final in enumerate(finals):
        d, s = divmod(i, len(states))
        close(final[s][d], theirs_final)
    close(ours, back(x, initial_state=initial))

    dy, dstates = drawn(y.shape, dtype, 5), [drawn(s.shape, dtype, 6 + i) for i, s in enumerate(states)]
    dfinals = [torch.from_numpy(s[d].copy()) for d in range(directions) for s in dstates]
    torch.autograd.backward([y, *finals], [torch.from_numpy(dy), *dfinals])
    dx, dinitial = layer.backward(tape, dy, pair(dstates))
    close(dx, given.grad)
    dinitial = dinitial if name == "LSTM" else (dinitial,)
    for i, one in enumerate(initial):
        d, s = divmod(i, len(states))
        close(dinitial[s][d], one.grad)
    expected = [weight.value.grad for weight in theirs.trainable_weights]
    for one, other in zip(gradients_like_keras(layer, name, options), expected, strict=True):
        close(np.ascontiguousarray(one), other)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_step_alone(kind, bidirectional):
    make, options, _ = KINDS[kind]
    theirs = K.Bidirectional(make(5, **options)) if bidirectional else make(5, **options)
    randomised(theirs, (None, None, 3))
    model = recurra.from_keras(theirs)
    assert [type(part).__name__ for part in model._layers][1:] == ["Last"]
    x = drawn((4, 7, 3))
    close(model(x), theirs(x))
    same_bits(recurra.to_keras(model), theirs)
    close(model(x), recurra.to_keras(model)(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_cells(kind, dtype):
    make, options, name = KINDS[kind]
    theirs = randomised(getattr(K, make.__name__ + "Cell")(5, **options, dtype=dtype), (None, 3))
    cell = recurra.from_keras(theirs)
    assert type(cell).__name__ == name + "Cell"
    x, states = drawn((4, 3), dtype), [drawn((4, 5), dtype, 2 + i) for i in range(1 + (name == "LSTM"))]
    _, new = theirs(torch.from_numpy(x), [torch.from_numpy(s) for s in states])
    ours = cell(x, tuple(states) if name == "LSTM" else states[0])
    for one, other in zip(ours if name == "LSTM" else [ours], new, strict=True):
        close(one, other)
    same_bits(recurra.to_keras(cell), theirs)


def test_two_biases_become_one():
    rng = np.random.default_rng(0)
    for layer in (recurra.LSTM(3, 4, seed=0), recurra.RNN(3, 4, seed=0), recurra.GRU(3, 4, reset_after=False, seed=0)):
        state = {name: rng.standard_normal(a.shape).astype(a.dtype) for name, a in layer.state_dict().items()}
        layer.load_state_dict(state)
        x = drawn((2, 5, 3))
        close(layer(x.swapaxes(0, 1))[0].swapaxes(0, 1), recurra.to_keras(layer)(x))


def test_zeros_and_what_is_no_number_keep_their_bits():
    theirs = K.LSTM(4, return_sequences=True)
    theirs.build((None, None, 3))
    strange = np.array([-0.0, np.nan, np.inf, 1e-45] * 4, np.float32)
    theirs.set_weights([*theirs.get_weights()[:2], strange])
    same_bits(recurra.to_keras(recurra.from_keras(theirs)), theirs)


ACTIVATIONS = [None, "linear", "tanh", "relu", "sigmoid"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_dense(activation, bias, dtype):
    theirs = randomised(K.Dense(5, activation=activation, use_bias=bias, dtype=dtype), (None, 3))
    layer = recurra.from_keras(theirs)
    x = drawn((4, 2, 3), dtype)
    given = torch.from_numpy(x).requires_grad_()
    y = theirs(given)
    ours, tape = layer.forward(x)
    close(ours, y)
    dy = drawn(y.shape, dtype, 2)
    y.backward(torch.from_numpy(dy))
    close(layer.backward(tape, dy), given.grad)
    back = recurra.to_keras(layer)
    same_bits(back, theirs)
    close(ours, back(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding(dtype):
    theirs = randomised(K.Embedding(7, 3, dtype=dtype), (None, None))
    layer = recurra.from_keras(theirs)
    tokens = np.random.default_rng(0).integers(0, 7, (4, 5))
    close(layer(tokens), theirs(tokens))
    same_bits(recurra.to_keras(layer), theirs)
    masked = randomised(K.Embedding(7, 3, mask_zero=True), (None, None))
    with pytest.raises(ValueError, match=r"mask_zero: expected none, got True of .*leave_out=\['mask_zero'\]"):
        recurra.from_keras(masked)
    assert recurra.from_keras(masked, leave_out=["mask_zero"]).padding_idx is None


def test_masks_are_lengths():
    """Of sequences that are padded at their ends, as docstrings promise."""
    theirs = keras.Sequential(
        [
            K.Embedding(9, 4, mask_zero=True),
            K.Bidirectional(K.LSTM(5, return_sequences=True)),
            K.GRU(4),
            K.Dense(2),
        ]
    )
    randomised(theirs, (None, None))
    model = recurra.from_keras(theirs, leave_out=["mask_zero"])
    rng = np.random.default_rng(0)
    lengths = np.array([6, 3, 1, 5])
    tokens = rng.integers(1, 9, (4, 6)) * (np.arange(6) < lengths[:, None])
    close(model(tokens, lengths=lengths), theirs(tokens))


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_go_backwards(kind):
    """What a reverse layer ends with, which is step 0."""
    theirs = randomised(keras.Sequential([getattr(K, kind)(5, go_backwards=True), K.Dense(2)]), TIMES)
    model = recurra.from_keras(theirs)
    assert model[0].reverse
    x = drawn((4, 6, 3))
    close(model(x), theirs(x))
    back = recurra.to_keras(model)
    same_bits(back, theirs)
    close(back.predict(x, verbose=0), model(x))
    for wrong in (model[0], recurra.Sequential(model[0], recurra.Linear(5, 2))):
        with pytest.raises(ValueError, match="reverse: expected False, or one layer before Last"):
            recurra.to_keras(wrong)


def test_layer_normalization():
    theirs = randomised(K.LayerNormalization(), (None, 5))
    layer = recurra.from_keras(theirs)
    x = drawn((4, 2, 5))
    close(layer(x), theirs(x))
    same_bits(recurra.to_keras(layer), theirs)
    with pytest.raises(ValueError, match="expected LayerNormalization over the last axis"):
        recurra.from_keras(randomised(K.LayerNormalization(center=False), (None, 5)))
    with pytest.raises(ValueError, match="expected LayerNormalization over the last axis"):
        recurra.from_keras(randomised(K.LayerNormalization(axis=1), (None, 5, 5)))
    last = randomised(K.LayerNormalization(axis=2), (None, 3, 5))
    x = drawn((2, 3, 5))
    close(recurra.from_keras(last)(x), last(x))


def test_quantized_weights_are_refused():
    theirs = randomised(K.Dense(3), (None, 4))
    theirs.quantize("int8")
    with pytest.raises(ValueError, match="quantization_mode: expected None"):
        recurra.from_keras(theirs)


def test_dropout_of_one_direction_is_told_too():
    backward = K.LSTM(4, go_backwards=True, dropout=0.5)
    theirs = randomised(K.Bidirectional(K.LSTM(4), backward_layer=backward), (None, None, 3))
    with pytest.raises(ValueError, match=r"dropout: expected none, got 0\.5"):
        recurra.from_keras(theirs)
    close(recurra.from_keras(theirs, leave_out=["dropout"])(drawn((2, 5, 3))), theirs(drawn((2, 5, 3))))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model(dtype):
    theirs = keras.Sequential(
        [
            K.Embedding(9, 4, dtype=dtype),
            K.Bidirectional(K.GRU(5, return_sequences=True, dtype=dtype), dtype=dtype),
            K.Dropout(0.25, dtype=dtype),
            K.TimeDistributed(K.Dense(6, activation="tanh", dtype=dtype), dtype=dtype),
            keras.Sequential([K.LSTM(4, dtype=dtype), K.Activation("sigmoid", dtype=dtype)]),
            K.Dense(3, activation="relu", dtype=dtype),
            K.ReLU(dtype=dtype),
            K.Dense(2, activation="softmax", dtype=dtype),
        ]
    )
    randomised(theirs, (None, None))
    with pytest.raises(ValueError, match=r"activation: expected none, got softmax; with leave_out=\['softmax'\]"):
        recurra.from_keras(theirs)
    model = recurra.from_keras(theirs, leave_out=["softmax"])
    assert [type(layer).__name__ for layer in model._layers] == (
        ["Embedding", "GRU", "Dropout", "Linear", "Tanh", "Sequential", "Linear", "ReLU", "ReLU", "Linear"]
    )
    assert model[2].p == 0.25
    tokens = np.random.default_rng(0).integers(0, 9, (4, 6))
    close(recurra.softmax(model(tokens)), theirs(tokens))
    back = recurra.to_keras(model)
    close(model(tokens), back(tokens))
    same_bits(back, theirs)
    assert repr(recurra.from_keras(back)) == repr(model)

    probabilities, kinds = theirs(tokens), np.array([0, 1, 1, 0])
    loss = -torch.log(probabilities[range(4), kinds]).mean()
    loss.backward()
    model[2].p = 0.0
    logits, tape = model.forward(tokens)
    value, gradient = recurra.cross_entropy(logits, kinds)
    close(np.asarray(value, dtype), loss)
    model.backward(tape, gradient)
    close(np.ascontiguousarray(model.grads["9.weight"].T), theirs.layers[-1].kernel.value.grad)
    close(model.grads["0.weight"], theirs.layers[0].embeddings.value.grad)


def test_a_stack_becomes_several_layers():
    layer = recurra.LSTM(3, 4, 3, dropout=0.5, bidirectional=True, seed=0)
    theirs = recurra.to_keras(layer)
    assert [type(one).__name__ for one in theirs.layers] == ["Bidirectional", "Dropout"] * 2 + ["Bidirectional"]
    x = drawn((2, 5, 3))
    close(layer(x.swapaxes(0, 1))[0].swapaxes(0, 1), theirs(x))
    model = recurra.Sequential(layer, recurra.Last(), recurra.Linear(8, 2, seed=1))
    close(model(x.swapaxes(0, 1)), recurra.to_keras(model)(x))


def test_both_sides_have_memory_of_their_own():
    theirs = randomised(K.Dense(4), (None, 3))
    layer = recurra.from_keras(theirs)
    back = recurra.to_keras(layer)
    for one in (theirs, back):
        one.set_weights([np.zeros_like(weight) for weight in one.get_weights()])
    assert layer.params["weight"].all()


def test_what_only_training_has_may_be_left_out():
    theirs = randomised(K.LSTM(4, dropout=0.1, recurrent_dropout=0.2, kernel_regularizer="l2"), (None, None, 3))
    with pytest.raises(ValueError, match=r"dropout: expected none, got 0.1 on the inputs of lstm_cell"):
        recurra.from_keras(theirs, leave_out=["regularizers"])
    with pytest.raises(ValueError, match=r"kernel_regularizer: expected none.*leave_out=\['regularizers'\]"):
        recurra.from_keras(theirs, leave_out=["dropout"])
    x = drawn((4, 5, 3))
    close(recurra.from_keras(theirs, leave_out=["dropout", "regularizers"])(x), theirs(x))
    stateful = K.GRU(4, stateful=True)
    randomised(stateful, (2, None, 3))
    with pytest.raises(ValueError, match="stateful: expected none"):
        recurra.from_keras(stateful)
    close(recurra.from_keras(stateful, leave_out=["stateful"])(x[:2]), stateful(x[:2]))
    simple = randomised(K.SimpleRNN(4, recurrent_dropout=0.2, return_sequences=True), (None, None, 3))
    assert recurra.from_keras(simple).recurrent_dropout == 0.2
    assert recurra.to_keras(recurra.from_keras(simple)).recurrent_dropout == 0.2


def lora():
    layer = K.Dense(4)
    layer.build((None, 3))
    layer.enable_lora(2)
    return layer


class Subclass(K.LSTM):
    pass


TIMES = (None, None, 3)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: 5, TypeError, "model: expected a layer or model of Keras, got 5"),
        (lambda: K.LSTM(4), ValueError, "expected a layer that is built"),
        (lambda: randomised(Subclass(4), TIMES), TypeError, "got .*Subclass"),
        (lambda: randomised(K.Conv1D(4, 2), TIMES), TypeError, "expected SimpleRNN, .*got .*Conv1D"),
        (
            lambda: randomised(K.LSTM(4, go_backwards=True, return_sequences=True), TIMES),
            ValueError,
            "go_backwards: expected False, or the final output alone",
        ),
        (
            lambda: randomised(K.LSTM(4, go_backwards=True, return_state=True), TIMES),
            ValueError,
            "go_backwards: expected False, or the final output alone",
        ),
        (lambda: randomised(K.LSTM(4, activation="relu"), TIMES), ValueError, "activation: expected tanh; .*got relu"),
        (
            lambda: randomised(K.GRU(4, recurrent_activation="hard_sigmoid"), TIMES),
            ValueError,
            "recurrent_activation: expected sigmoid; .*got hard_sigmoid",
        ),
        (lambda: randomised(K.SimpleRNN(4, activation="linear"), TIMES), ValueError, "expected tanh or relu; .*linear"),
        (
            lambda: randomised(K.Dense(4, activation="gelu"), (None, 3)),
            ValueError,
            "activation: expected linear, .*gelu",
        ),
        (lambda: randomised(K.Bidirectional(K.LSTM(4), merge_mode="sum"), TIMES), ValueError, "merge_mode: .*'concat'"),
        (
            lambda: randomised(K.Bidirectional(K.LSTM(4), backward_layer=K.LSTM(5, go_backwards=True)), TIMES),
            ValueError,
            "backward_layer: expected one like the forward one",
        ),
        (
            lambda: randomised(K.Bidirectional(K.LSTM(4, go_backwards=True), backward_layer=K.LSTM(4)), TIMES),
            ValueError,
            "backward_layer: expected",
        ),
        (
            lambda: randomised(K.LSTM(4, dtype="mixed_float16"), TIMES),
            TypeError,
            "dtype: expected float32 .*mixed_float16",
        ),
        (lambda: randomised(K.Dense(4, dtype="bfloat16"), (None, 3)), TypeError, "dtype: expected float32 .*bfloat16"),
        (lora, ValueError, "lora_rank"),
        (lambda: K.Dropout(0.5, noise_shape=(1, 3)), ValueError, "noise_shape: expected None"),
        (lambda: K.ReLU(max_value=6), ValueError, r"ReLU: expected max\(x, 0\)"),
        (keras.Sequential, ValueError, "expected a layer that is built|expected layers, got none"),
        (
            lambda: randomised(keras.Sequential([K.Dense(4, activation="softmax"), K.Dense(2)]), (None, 3)),
            ValueError,
            "activation: expected linear",
        ),
        (
            lambda: randomised(keras.Sequential([keras.Sequential([K.Dense(4), K.Softmax()]), K.Dense(2)]), (None, 3)),
            ValueError,
            "activation: expected linear",
        ),
        (
            lambda: keras.Model(i := keras.Input((None, 3)), K.Dense(2)(i)),
            TypeError,
            r"got .*Functional, 'functional.*; of a functional model .*keras.Sequential\(model.layers\)",
        ),
    ],
)
def test_what_has_no_counterpart_here(make, error, match):
    model = make()
    with pytest.raises(error, match=match):
        recurra.from_keras(model, leave_out=["softmax"])


def test_what_may_be_left_out_is_named():
    layer = randomised(K.Dense(4), (None, 3))
    with pytest.raises(ValueError, match=r"leave_out: expected some of softmax, .*got "):
        recurra.from_keras(layer, leave_out=["weights"])
    with pytest.raises(TypeError, match="leave_out: expected a list"):
        recurra.from_keras(layer, leave_out="softmax")


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: 5, TypeError, "model: expected layers that Keras has, got 5"),
        (lambda: recurra.LSTM(3, 4, reverse=True), ValueError, "reverse: expected False"),
        (lambda: recurra.LSTM(3, 4, zoneout={"c": 0.1}), ValueError, "zoneout: expected 0.0"),
        (lambda: recurra.LSTM(3, 4, learned_state=True), ValueError, "learned_state: expected False"),
        (lambda: recurra.LSTM(3, 4, proj_size=2), ValueError, "proj_size: expected 0"),
        (lambda: recurra.LSTM(3, 4, recurrent_dropout=0.5), ValueError, "recurrent_dropout: expected 0"),
        (lambda: recurra.LSTM(3, 4, tokens=True), ValueError, "tokens: expected features"),
        (lambda: recurra.LSTMCell(3, 4, tokens=True), ValueError, "tokens: expected features"),
        (lambda: recurra.Embedding(3, 4, padding_idx=0), ValueError, "padding_idx: expected None"),
        (recurra.Last, ValueError, "expected Last behind a recurrent layer"),
        (
            lambda: recurra.Sequential(recurra.LSTM(3, 4, bidirectional=True), recurra.Last(bidirectional=False)),
            ValueError,
            "expected Last behind a recurrent layer, taking its final states",
        ),
        (lambda: recurra.cells.CoRNN(3, 4), TypeError, "got CoRNN"),
        (lambda: recurra.cells.CoRNN.Cell(3, 4), TypeError, "got Cell"),
        (lambda: Residual(recurra.Linear(3, 3)), TypeError, "got Residual"),
    ],
)
def test_what_has_no_counterpart_there(make, error, match):
    with pytest.raises(error, match=match):
        recurra.to_keras(make())


def test_without_keras_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keras", None)
    for call in (recurra.from_keras, recurra.to_keras):
        with pytest.raises(ImportError, match=r"pip install 'recurra\[keras\]'"):
            call(recurra.Tanh())

"""What `compress` returns: calls, copies, files, and what it and the models that it makes refuse."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from narrow_models import KINDS, TOKENS, close, floats, language_model
from recurra.formula import tanh
from recurra.narrow import Narrow, NarrowEmbedding, NarrowLinear, NarrowRecurrent, NarrowSequential
from refused import refused

every_kind = pytest.mark.parametrize("weights", KINDS)
LENGTHS = np.array([9, 0, 3, 7])
TOLERANCE = {"int8": 0.06, "bfloat16": 0.02, "float16": 0.003}


@recurra.formula(gates="g", inputs="noise")
def Noisy(a, x):
    return tanh(a.g + x.noise)


def a_model(**options):
    return recurra.Sequential(
        recurra.Embedding(30, 12, seed=0),
        recurra.LSTM(12, 20, num_layers=2, bidirectional=True, seed=1, **options),
        recurra.LayerNorm(40),
        recurra.Dropout(0.1),
        recurra.Linear(40, 30, seed=2),
    )


@every_kind
def test_a_sequential_is_called_as_its_original(weights):
    model = a_model()
    before = model.state_dict()
    narrow = recurra.compress(model, weights)
    assert type(narrow) is NarrowSequential
    assert [type(layer) for layer in narrow] == [
        NarrowEmbedding, NarrowRecurrent, recurra.LayerNorm, recurra.Dropout, NarrowLinear,
    ]  # fmt: skip
    close(narrow(TOKENS), model(TOKENS), TOLERANCE[weights])
    close(narrow(TOKENS, lengths=LENGTHS), model(TOKENS, lengths=LENGTHS), TOLERANCE[weights])
    hx = [(floats(4, 4, 20), floats(4, 4, 20, seed=1))]
    y, state = narrow.run(TOKENS, hx, lengths=LENGTHS, resets=TOKENS == 3)
    expected, final = model.run(TOKENS, hx, lengths=LENGTHS, resets=TOKENS == 3)
    close(y, expected, TOLERANCE[weights])
    close(state[0], final[0], TOLERANCE[weights])
    assert isinstance(narrow[1:], recurra.Sequential)
    assert_same_bits(narrow[1:](narrow[0](TOKENS)), narrow(TOKENS))
    assert_same_bits(model.state_dict(), before)


@every_kind
def test_it_shares_nothing_with_the_original(weights):
    model = a_model()
    narrow = recurra.compress(model, weights)
    expected = narrow(TOKENS)
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
    assert_same_bits(narrow(TOKENS), expected)
    assert np.abs(model(TOKENS) - expected).max() > 0.1


def test_attributes_and_sizes():
    layer = recurra.GRU(8, 16, num_layers=2, batch_first=True, dropout=0.3, reset_after=False, seed=0)
    for weights, width in (("int8", 1), ("bfloat16", 2), ("float16", 2)):
        narrow = recurra.compress(layer, weights)
        assert isinstance(narrow, Narrow)
        sizes = narrow.input_size, narrow.hidden_size, narrow.num_layers, narrow.batch_first, narrow.proj_size
        assert sizes == (8, 16, 2, True, 0)
        assert (narrow.reset_after, narrow.dropout, narrow.zoneout, narrow.weights) == (False, 0, 0, weights)
        matrices, rest = 48 * (8 + 16 + 16 + 16), 4 * 48
        assert narrow.nbytes_before == sum(value.nbytes for value in layer.params.values()) == 4 * (matrices + rest)
        assert narrow.nbytes == width * matrices + 4 * rest + (4 * 4 * 48 if weights == "int8" else 0)
        after = f"{narrow.nbytes:,} bytes"
        before = "GRU(8, 16, num_layers=2, batch_first=True, reset_after=False)"
        assert repr(narrow) == f"NarrowRecurrent({before}, {weights!r}, {4 * (matrices + rest):,} -> {after})"
        model = recurra.compress(recurra.Sequential(layer, recurra.LayerNorm(16)), weights)
        assert (model.weights, model.nbytes, model.nbytes_before) == (
            weights, narrow.nbytes + 128, narrow.nbytes_before + 128,
        )  # fmt: skip
        assert repr(model).endswith(f"    {weights!r}, {model.nbytes_before:,} -> {model.nbytes:,} bytes,\n)")


@every_kind
def test_state_dict_and_back(weights):
    narrow = recurra.compress(a_model(), weights)
    state = narrow.state_dict()
    scales = [name for name in state if name.endswith(".scale")]
    assert len(scales) == (10 if weights == "int8" else 0)
    dtype = {"int8": np.int8, "bfloat16": np.uint16, "float16": np.float16}[weights]
    matrices = [name for name in state if name.split(".")[1].startswith("weight") and state[name].ndim == 2]
    assert len(matrices) == 10
    assert all(state[name].dtype == dtype for name in matrices)
    assert {str(a.dtype) for name, a in state.items() if name not in matrices} == {"float32"}
    other = recurra.compress(a_model(), weights)
    doubled = {name: (a * 2 if a.dtype == np.float32 else a) for name, a in state.items()}
    other.load_state_dict(doubled)
    assert_same_bits(other.state_dict(), doubled)
    assert not np.array_equal(other(TOKENS), narrow(TOKENS))
    other.load_state_dict(state)
    assert_same_bits(other(TOKENS), narrow(TOKENS))
    for array in state.values():
        array[...] = 0  # copies
    assert_same_bits(other(TOKENS), narrow(TOKENS))
    with pytest.raises(ValueError, match="read-only"):
        narrow.params["1.weight_hh_l0"][0] = 1


@every_kind
def test_load_state_dict_refuses(weights):
    original = recurra.LSTM(3, 4, seed=0)
    narrow = recurra.compress(original, weights)
    x, state = floats(5, 3), narrow.state_dict()
    expected = narrow(x)
    name, dtype = "weight_hh_l0", state["weight_hh_l0"].dtype.name
    for wrong, error, what in (
        (original.state_dict(), (TypeError, ValueError), None),
        ({}, ValueError, "state_dict"),
        ([1], TypeError, "state_dict"),
        (state | {"more": state[name]}, ValueError, "state_dict"),
        (state | {name: state[name][:-1]}, ValueError, name),
        (state | {name: state[name].astype(np.float32)}, TypeError, name),
        (state | {name: state[name].tolist()}, TypeError, name),
        (state | {"bias_ih_l0": state["bias_ih_l0"].astype(np.float64)}, TypeError, "bias_ih_l0"),
        (state | {name: np.ma.masked_array(state[name])}, TypeError, name),
    ):
        with pytest.raises(error) as raised:
            narrow.load_state_dict(wrong)
        assert what is None or str(raised.value).startswith(f"{what}: expected ")
        assert_same_bits(narrow(x), expected)
    with refused(TypeError, name, form=rf": expected {dtype}, got float32$"):  # whom a cast would mislead
        narrow.load_state_dict(state | {name: np.zeros((16, 4), np.float32)})
    narrow.load_state_dict({key: np.asfortranarray(value[::1]) for key, value in state.items()})
    assert_same_bits(narrow(x), expected)


@every_kind
def test_copies_and_pickles(weights):
    for original, x in ((a_model(), TOKENS), (recurra.cells.PeepholeLSTM(3, 5, seed=0), floats(4, 2, 3))):
        narrow = recurra.compress(original, weights)
        for twin in (copy.copy(narrow), copy.deepcopy(narrow), pickle.loads(pickle.dumps(narrow))):
            assert type(twin) is type(narrow)
            assert repr(twin) == repr(narrow)
            assert_same_bits(twin.state_dict(), narrow.state_dict())
            assert_same_bits(twin(x), narrow(x))
    deep = copy.deepcopy(narrow)
    deep.load_state_dict({name: value * 0 for name, value in deep.state_dict().items()})
    assert narrow(x)[0].any()


def test_a_formula_that_cannot_be_found_is_not_pickled():
    @recurra.formula(gates="g")
    def local(a):
        return tanh(a.g)

    narrow = recurra.compress(local(2, 3, seed=0))
    with refused(pickle.PicklingError, "pickle"):
        pickle.dumps(narrow)
    assert_same_bits(copy.deepcopy(narrow)(floats(4, 2)), narrow(floats(4, 2)))


@every_kind
def test_files(tmp_path, weights):
    pytest.importorskip("safetensors")
    file = tmp_path / "model.safetensors"
    for original, x in (
        (a_model(), TOKENS),
        (recurra.LSTM(3, 7, proj_size=2, learned_state=True, seed=0), floats(4, 3)),
        (recurra.cells.CoRNN(3, 5, seed=0), floats(4, 2, 3)),
        (recurra.Sequential(recurra.Sequential(recurra.RNN(3, 5, seed=0)), recurra.Last()), floats(4, 2, 3)),
    ):
        narrow = recurra.compress(original, weights)
        recurra.save(file, narrow)
        loaded = recurra.load(file)
        assert type(loaded) is type(narrow)
        assert repr(loaded) == repr(narrow)
        assert_same_bits(loaded.state_dict(), narrow.state_dict())
        assert_same_bits(loaded(x), narrow(x))
        other = recurra.compress(original, weights)
        recurra.load(file, into=other)
        with pytest.raises((TypeError, ValueError)):
            recurra.load(file, into=original)
    own = recurra.compress(Noisy(3, 4, seed=0), weights)
    recurra.save(file, own)
    noise = {"noise": floats(5, 4)}
    assert_same_bits(recurra.load(file, types=[Noisy])(floats(5, 3), inputs=noise), own(floats(5, 3), inputs=noise))
    with pytest.raises(recurra.FormatError, match="Noisy"):
        recurra.load(file)


def test_files_that_lie(tmp_path):
    pytest.importorskip("safetensors")
    import json

    from recurra.weights.tensor_file import read_tensors, write_tensors

    file = tmp_path / "model.safetensors"
    recurra.save(file, recurra.compress(recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.Tanh())))
    arrays, metadata = read_tensors(file)
    for layer, weights in ((0, "int4"), (0, 8), (0, None), (0, "float16"), (1, "int8"), (2, []), (0, {})):
        header = json.loads(metadata["recurra"])
        header["layers"][layer]["weights"] = weights
        write_tensors(file, arrays, {"recurra": json.dumps(header)})
        with pytest.raises(recurra.FormatError):
            recurra.load(file)


@every_kind
def test_generate(weights):
    model = language_model()
    narrow = recurra.compress(model, weights)
    text = recurra.generate(narrow, [1, 2, 3], 40, seed=0)
    assert text.shape == (40,)
    assert_same_bits(recurra.generate(narrow, [1, 2, 3], 40, seed=0), text)
    if weights != "int8":  # the embedding multiplied into the layer would be another sum
        wide = language_model()
        wide.load_state_dict(recurra.reference.narrow.widened(narrow.state_dict()))
        assert_same_bits(recurra.generate(wide, [1, 2, 3], 40, seed=0), text)


@every_kind
def test_models_that_consist_of_others(weights):
    branch = recurra.GRU(5, 5, seed=0)
    x = floats(6, 2, 5)
    for model in (
        recurra.Residual(branch),
        recurra.Parallel(branch, recurra.Sequential(recurra.RNN(5, 3, seed=1), recurra.Linear(3, 4, seed=2))),
        recurra.Parallel(branch, branch, join="sum"),
        recurra.Sequential(recurra.Residual(branch, recurra.Linear(5, 5, seed=3)), recurra.AttentionPooling(5, seed=4)),
    ):
        narrow = recurra.compress(model, weights)
        close(narrow(x), model(x), TOLERANCE[weights])
    shared = recurra.compress(recurra.Parallel(branch, branch, join="tuple"), weights)
    assert shared[0] is shared[1]
    embedding = recurra.Embedding(30, 6, seed=0)
    model = recurra.Sequential(
        recurra.EncoderDecoder(
            recurra.Sequential(embedding, recurra.GRU(6, 8, seed=1)),
            recurra.Sequential(embedding, recurra.GRU(6, 8, seed=2)),
            recurra.Attention(8, 8, seed=3),
        ),
        recurra.Linear(16, 30, seed=4),
    )
    narrow = recurra.compress(model, weights)
    close(narrow((TOKENS, TOKENS)), model((TOKENS, TOKENS)), TOLERANCE[weights])
    assert recurra.generate(narrow, ([3, 4, 5], [1]), 5, seed=0).shape == (5,)
    assert len(narrow.leaves()) == len(model.leaves()) == 7


def test_a_layer_with_inputs_and_what_it_refuses():
    original = Noisy(3, 4, num_layers=2, seed=0)
    narrow = recurra.compress(original, "float16")
    x = floats(5, 2, 3)
    close(
        narrow(x, inputs={"noise": x[..., :1].repeat(4, 2)})[0],
        original(x, inputs={"noise": x[..., :1].repeat(4, 2)})[0],
        1e-3,
    )
    for options in ({}, {"inputs": {"noise": x}}, {"inputs": {"other": x}}, {"lengths": [1, 2]}, {"hx": x}):
        errors = []
        for layer in (original, narrow):
            with pytest.raises((TypeError, ValueError)) as raised:
                layer(x, **options)
            errors.append(str(raised.value))
        assert errors[0] == errors[1]

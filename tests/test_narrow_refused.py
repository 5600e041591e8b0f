"""What compressed models refuse, and where they go beside other layers: training, attributes, members of models."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from narrow_models import TOKENS, floats, language_model
from own_layers import Residual as OwnResidual
from recurra.narrow import NarrowEmbedding, NarrowLinear, NarrowRecurrent
from refused import refused


def training():
    narrow = recurra.compress(language_model())
    layer, model, x = narrow[1], language_model(), TOKENS
    mixed = recurra.Sequential(*narrow)
    return {
        "forward": lambda: narrow.forward(x),
        "forward of a layer": lambda: layer.forward(floats(4, 12)),
        "forward of another Sequential": lambda: mixed.forward(x),
        "backward": lambda: narrow.backward(None, floats(4, 12)),
        "backward of a layer": lambda: layer.backward(None, floats(4, 12)),
        "zero_grad": narrow.zero_grad,
        "zero_grad of a layer": layer.zero_grad,
        "zero_grad of another Sequential": mixed.zero_grad,
        "grads": lambda: narrow.grads,
        "grads of a layer": lambda: layer.grads,
        "SGD": lambda: recurra.SGD(narrow, lr=0.1),
        "Adam of a layer": lambda: recurra.Adam(layer),
        "Adam of layers": lambda: recurra.AdamW([layer, narrow[2]]),
        "clip_grad_norm": lambda: recurra.clip_grad_norm(narrow, 1.0),
        "fit": lambda: recurra.fit(narrow, [(x, x)], recurra.cross_entropy, recurra.SGD(model, lr=1.0)),
    }


@pytest.mark.parametrize("what", training())
def test_training_is_refused(what):
    form = (
        r": expected a model to train, got a compressed one \(int8\), which is for inference: train the original, then"
    )
    with refused((TypeError, AttributeError), "[a-z_]+", form=form):
        training()[what]()


def test_what_compress_refuses():
    class Own(recurra.GRU):
        """It may compute something else."""

    narrow = recurra.compress(language_model())
    double = recurra.Linear(2, 3, dtype=np.float64, seed=0)
    for wrong, place, got in (
        (narrow, "model", "compressed already"),
        (narrow[1], "model", "compressed already"),
        (recurra.Sequential(recurra.Dropout(0.1), narrow[0]), r"model\[1\]", "compressed already"),
        (double, "model", "float64"),
        (recurra.Sequential(recurra.Tanh(), double), r"model\[1\]", "float64"),
        (recurra.Sequential(recurra.LayerNorm(2, dtype=np.float64), double), r"model\[0\]", "float64"),
        (recurra.Tanh(), "model", "nothing to compress"),
        (recurra.Sequential(recurra.LayerNorm(3)), "model", "nothing to compress"),
        (recurra.GRUCell(2, 3, seed=0), "model", "GRUCell"),
        (Own(2, 3, seed=0), "model", "Own"),
        (recurra.Sequential(OwnResidual(recurra.Linear(2, 2, seed=0))), r"model\[0\]", "Residual"),
        (recurra.GRU, "model", "GRU"),
        (None, "model", "None"),
        (floats(3), "model", "array"),
        ([recurra.GRU(2, 3, seed=0)], "model", "GRU"),
    ):
        with refused(TypeError, place, form=rf": expected .*got .*{got}"):
            recurra.compress(wrong)
    for wrong in ("int4", "float32", "INT8", ""):
        with refused(ValueError, "weights", form=": expected 'int8', 'bfloat16' or 'float16', got"):
            recurra.compress(language_model(), wrong)
    for wrong in (8, None, np.int8, ["int8"]):
        with refused(TypeError, "weights", form=": expected 'int8', 'bfloat16' or 'float16', got"):
            recurra.compress(language_model(), wrong)
    for kind, layer in ((NarrowLinear, recurra.GRU(2, 3, seed=0)), (NarrowRecurrent, narrow[1]), (NarrowEmbedding, 3)):
        with refused(TypeError, "layer"):
            kind(layer, "int8")


def test_options_stay_and_other_attributes_are_refused():
    narrow = recurra.compress(recurra.LSTM(3, 4, num_layers=2, dropout=0.5, seed=0))
    for name, value in (
        ("hidden_size", 5),
        ("dropout", 0.2),
        ("zoneout", 0.1),
        ("proj_size", 2),
        ("dtype", np.float64),
    ):
        with refused(AttributeError, name, form=": expected to stay"):
            setattr(narrow, name, value)
    with refused(AttributeError, "units"):
        narrow.units = 3
    with pytest.raises(AttributeError):
        narrow.weights = "float16"
    with pytest.raises(AttributeError):
        narrow.unknown  # noqa: B018
    for twin in (narrow, copy.copy(narrow), copy.deepcopy(narrow), pickle.loads(pickle.dumps(narrow))):
        twin._mine = 1
        assert twin._mine == 1


class Scaled(NarrowLinear):
    """A class of one's own."""

    def __init__(self, layer):
        super().__init__(layer, "bfloat16")
        self.factor = 3

    def __call__(self, x):
        return self.factor * super().__call__(x)


def test_a_class_of_ones_own():
    layer = Scaled(recurra.Linear(4, 3, seed=0))
    expected = 3 * recurra.compress(recurra.Linear(4, 3, seed=0), "bfloat16")(floats(2, 4))
    for one in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_same_bits(one(floats(2, 4)), expected)
        one.note = "mine"
        assert (one.factor, one.weights) == (3, "bfloat16")
    assert_same_bits(recurra.Sequential(layer)(floats(2, 4)), expected)


def test_members_of_other_models():
    """Compressed layers go where their originals go, and are checked as those are."""
    gru = recurra.compress(recurra.GRU(3, 4, bidirectional=True, seed=0), "float16")
    model = recurra.Sequential(gru, recurra.Last(), recurra.Linear(8, 2, seed=0))
    assert model[1].bidirectional
    assert model(floats(5, 2, 3)).shape == (2, 2)
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, recurra.compress(recurra.Linear(7, 2, seed=0)))
    with refused(ValueError, "layers"):
        recurra.Sequential(gru, gru)
    with refused(TypeError, "layers"):
        recurra.Sequential(gru, recurra.Linear(8, 2, dtype=np.float64, seed=0))
    with refused(ValueError, "layers"):
        recurra.Sequential(recurra.Last(), gru)
    one_way, linear = recurra.compress(recurra.GRU(3, 4, seed=0)), recurra.compress(recurra.Linear(4, 6, seed=0))
    with refused(ValueError, "layers"):
        recurra.Sequential(one_way, linear, recurra.Last(bidirectional=True))
    nested = recurra.Sequential(recurra.compress(recurra.Sequential(recurra.GRU(3, 4, seed=0))), recurra.Tanh())
    assert nested(floats(5, 2, 3)).shape == (5, 2, 4)
    mixed = recurra.Sequential(recurra.Embedding(30, 3, seed=0), gru)
    assert_same_bits(mixed(TOKENS), gru(mixed[0](TOKENS))[0])
    text = recurra.Sequential(recurra.Embedding(9, 3, seed=0), one_way, linear, recurra.Linear(6, 9, seed=1))
    assert recurra.generate(text, [1, 2], 20, seed=0).shape == (20,)
    with refused(TypeError, "recurrent"):
        recurra.GRUCell.from_layer(one_way)


def test_arguments_are_checked_as_the_originals():
    """Before the first member runs, by what is known of the layers."""
    for layers in (
        (recurra.Embedding(30, 3, seed=0), recurra.GRU(3, 4, seed=0), recurra.LSTM(4, 4, seed=0)),
        (recurra.Linear(3, 3, seed=0), recurra.RNN(3, 4, seed=0), recurra.Last()),
        (recurra.Tanh(), recurra.LSTM(3, 4, seed=0)),
    ):
        model = recurra.Sequential(*layers)
        narrow = recurra.compress(model)
        for name in ("known", "ahead", "first", "of_lengths", "of_resets", "batch_first"):
            assert getattr(narrow._arguments, name) == getattr(model._arguments, name)
    first = recurra.compress(recurra.Sequential(recurra.GRU(3, 4, seed=0), recurra.GRU(4, 5, seed=1)))
    with refused(ValueError, "h0", form=r": expected .* = \(1, 2, 5\), as NarrowRecurrent.*got \(1, 2, 4\)"):
        first.run(floats(5, 2, 3), [None, floats(1, 2, 4)])
    with refused(ValueError, "x", form=": expected 3 features, what NarrowLinear.*got"):
        recurra.compress(recurra.Sequential(recurra.Dropout(0.5), recurra.Linear(3, 4, seed=0)))(floats(2, 5))


def test_a_float64_call_is_refused():
    narrow = recurra.compress(recurra.GRU(3, 4, seed=0))
    with refused(TypeError, "x"):
        narrow(floats(5, 3).astype(np.float64))
    with refused(TypeError, "x"):
        recurra.compress(recurra.Sequential(recurra.Linear(3, 4, seed=0), recurra.Tanh()))(np.zeros((2, 3)))


def test_weights_are_plain_text():
    class Text(str):
        """It is equal to everything."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, _):
            return True

    narrow = recurra.compress(recurra.Sequential(recurra.Linear(3, 4, seed=0)), Text("bfloat16"))
    assert type(narrow.weights) is type(narrow[0].weights) is str
    assert narrow[0].state_dict()["weight"].dtype == np.uint16
    with refused(ValueError, "weights"):
        NarrowLinear(recurra.Linear(3, 4, seed=0), Text("int4"))
    with refused(ValueError, "weights"):
        recurra.narrow.NarrowSequential(recurra.Tanh(), weights="int4")


@pytest.mark.parametrize(
    ("error", "name", "changes"),
    [
        (ValueError, "weights", {"_weights": "int4"}),
        (TypeError, "weights", {"_weights": None}),
        (TypeError, "_kind", {"_kind": int}),
        (TypeError, "_kind", {"_kind": recurra.Linear}),
        (TypeError, "_kind", {"_kind": "GRU"}),
        (TypeError, "_narrow", {"_narrow": [1]}),
        (ValueError, "arrays", {"_narrow": {}}),
        (TypeError, r"_narrow\['bias_ih_l0'\]", {"_narrow": {"bias_ih_l0": None}}),
        (TypeError, "_made_with", {"_made_with": None}),
        (ValueError, "_made_with", {"_made_with": {"hidden_size": 4}}),
        (ValueError, "num_layers", {"num_layers": 2**40}),
        (ValueError, "hidden_size", {"hidden_size": -1}),
        (TypeError, "input_size", {"input_size": "3"}),
        (TypeError, "bias", {"bias": 2}),
        (TypeError, "tokens", {"tokens": "yes"}),
        (ValueError, "proj_size", {"proj_size": 10**30}),
        (ValueError, "dtype", {"dtype": np.dtype(np.float64)}),
    ],
)
def test_a_pickle_that_was_changed(error, name, changes):
    layer = recurra.compress(recurra.LSTM(3, 4, proj_size=2, seed=0))
    state = layer.__getstate__()
    options = {key: value for key, value in changes.items() if not key.startswith("_")}
    changed = state | {"_made_with": state["_made_with"] | options} | (changes if not options else {})
    with refused(error, name):
        object.__new__(NarrowRecurrent).__setstate__(changed)
    for one in state.keys() & {"_kind", "_made_with", "_weights", "_narrow"}:
        with refused(ValueError, "state"):
            object.__new__(NarrowRecurrent).__setstate__({key: state[key] for key in state if key != one})


def test_compare_refuses_what_it_would_ignore():
    linear, gru = recurra.Linear(3, 2, seed=0), recurra.GRU(3, 4, seed=0)
    x, chain = floats(5, 2, 3), recurra.Sequential(recurra.Linear(3, 2, seed=0))

    def compare(model, x=x, **options):
        recurra.compare(model, recurra.compress(model), x, **options)

    for model in (linear, chain, recurra.Sequential(gru), recurra.Residual(recurra.GRU(3, 3, seed=0))):
        with refused(ValueError, "inputs"):
            compare(model, inputs={"noise": x})
        for wrong in ("ab", object(), 5, [1.5, 2], np.ones(2), np.ma.array([1, 2])):
            with refused(TypeError, "lengths"):
                compare(model, lengths=wrong)
            with refused(TypeError, "resets"):
                compare(model, resets=wrong)
        for wrong in (np.array([1, 6]), np.array([1, 2, 3]), np.ones((2, 1), int), np.array(3)):
            with refused(ValueError, "lengths"):
                compare(model, lengths=wrong)
        with refused(ValueError, "resets"):
            compare(model, resets=np.zeros((2, 5), bool))
    with refused(ValueError, "state", form=": expected None, as Linear has no states, got 'junk'"):
        compare(linear, state="junk")
    with refused(TypeError, "state"):
        compare(chain, state="junk")
    with refused(ValueError, "lengths"):
        compare(linear, x[0], lengths=np.array([1, 2]))
    deep = recurra.GRU(3, 4, num_layers=2, seed=0)
    for model, other in ((gru, deep), (deep, gru)):
        with refused(ValueError, "narrow", form=": expected a GRU with num_layers=., got one with num_layers=."):
            recurra.compare(model, recurra.compress(other), x)


def test_final_states_are_compared_whole():
    """Also where they have as many layers and directions as x has steps."""
    model = recurra.LSTM(3, 4, bidirectional=True, seed=0)
    narrow = recurra.compress(model, "bfloat16")
    x, lengths = floats(2, 3, 3), np.array([0, 1, 2])
    row = recurra.compare(model, narrow, x, lengths=lengths).rows[1]
    ours, theirs = (layer(x, lengths=lengths)[1][1].astype(np.float64) for layer in (model, narrow))
    np.testing.assert_allclose(
        row[2:], (np.abs(theirs - ours).max(), np.sqrt(np.mean((theirs - ours) ** 2)), np.sqrt(np.mean(ours**2)))
    )

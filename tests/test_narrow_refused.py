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

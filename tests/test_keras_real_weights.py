"""Weights that others have trained, as their packages carry them: the same answers as of the packages' own computation.

`textgenrnn` has a Keras model of characters in HDF5, `g2p_en` a GRU from letters to sounds in a NumPy archive. Neither
needs what it asks for here: pip install --no-deps textgenrnn g2p-en.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import recurra


def folder(name):
    """Where a package is, without importing it, as it would import what isn't there."""
    found = importlib.util.find_spec(name)
    if found is None:
        pytest.skip(f"{name} is missing: pip install --no-deps {name.replace('_', '-')}")
    return Path(found.origin).parent


@pytest.fixture
def g2p(monkeypatch):
    """The package's own network, without what it needs for text."""
    folder("g2p_en")
    for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect"):
        fake = types.ModuleType(name)
        fake.__getattr__ = lambda _: lambda *_, **__: types.SimpleNamespace(tokenize=None, find=lambda _: None)
        fake.data = types.SimpleNamespace(find=lambda _: None)
        monkeypatch.setitem(sys.modules, name, fake)
    for name in ("g2p_en", "g2p_en.g2p", "g2p_en.expand"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("g2p_en.g2p")
    monkeypatch.setattr(module.cmudict, "dict", dict, raising=False)
    monkeypatch.setattr(module, "construct_homograph_dictionary", dict)
    return module.G2p()


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_words_sound_as_the_package_says(g2p, tmp_path):
    v = g2p.variables

    def gru(prefix, kind):
        layer = kind(v[f"{prefix}_w_ih"].shape[1], v[f"{prefix}_w_hh"].shape[1], seed=0)
        names = {name: name.partition("_l0")[0] for name in layer.params}
        own = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
        layer.load_state_dict({name: v[f"{prefix}_{own[short]}"] for name, short in names.items()})
        return layer

    def embedding(prefix):
        layer = recurra.Embedding(*v[f"{prefix}_emb"].shape, seed=0)
        layer.load_state_dict({"weight": v[f"{prefix}_emb"]})
        return layer

    encoder = recurra.Sequential(embedding("enc"), gru("enc", recurra.GRU))
    letters, decoder, readout = embedding("dec"), gru("dec", recurra.GRUCell), recurra.Linear(*v["fc_w"].shape[::-1])
    readout.load_state_dict({"weight": v["fc_w"], "bias": v["fc_b"]})
    pytest.importorskip("safetensors")
    recurra.save(tmp_path / "encoder", encoder)
    encoder = recurra.load(tmp_path / "encoder")

    for word in ("activationist", "recurra", "zyx", "pneumonoultramicroscopic"):
        tokens = np.array([g2p.g2idx[letter] for letter in word] + [g2p.g2idx["</s>"]])
        y, (h,) = encoder.run(tokens)
        theirs = g2p.gru(g2p.encode(word), len(tokens), g2p.enc_w_ih, g2p.enc_w_hh, g2p.enc_b_ih, g2p.enc_b_hh)
        assert abs(y - theirs[0]).max() < 1e-5
        sounds, token, h = [], 2, h[0]
        for _ in range(20):
            h = decoder(letters(np.array(token)), h)
            token = int(readout(h).argmax())
            if token == 3:
                break
            sounds.append(g2p.idx2p[token])
        assert sounds == g2p.predict(word)
        assert len(sounds) > 2


def of_cudnn(kernel, recurrent, bias):
    """Weights of Keras 2's CuDNNLSTM, gate by gate transposed and with two biases, as its LSTM has them."""
    gates = np.split(kernel, 4, axis=1)
    kernel = np.concatenate([gate.T.reshape(gate.shape, order="F") for gate in gates], axis=1)
    recurrent = np.concatenate([gate.T for gate in np.split(recurrent, 4, axis=1)], axis=1)
    return kernel, recurrent, bias[: len(bias) // 2] + bias[len(bias) // 2 :]


def test_characters_are_as_likely_as_keras_says():
    where = folder("textgenrnn")
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("torch")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    with h5py.File(where / "textgenrnn_weights.hdf5") as file:
        weights = {name: [group[name][part][...] for part in parts] for name, group, parts in _layers_of(file)}
    vocabulary = json.loads((where / "textgenrnn_vocab.json").read_text("utf-8"))

    K = keras.layers
    tokens = keras.Input((None,), dtype="int64")
    embedding = K.Embedding(len(vocabulary) + 1, 100)
    first, second = (K.LSTM(128, return_sequences=True) for _ in range(2))
    vectors = embedding(tokens)
    one = first(vectors)
    two = second(one)
    values = K.Concatenate()([vectors, one, two])
    attention = K.Dense(1, use_bias=False)
    weighted = K.Dot(axes=1)([K.Softmax(axis=1)(attention(values)), values])
    output = K.Dense(len(vocabulary) + 1, activation="softmax")
    theirs = keras.Model(tokens, K.Flatten()(output(weighted)))
    embedding.set_weights(weights["embedding"])
    first.set_weights(of_cudnn(*weights["rnn_1"]))
    second.set_weights(of_cudnn(*weights["rnn_2"]))
    attention.set_weights(weights["attention"])
    output.set_weights(weights["output"])

    ours = [recurra.from_keras(layer) for layer in (embedding, first, second, attention)]
    readout = recurra.from_keras(output, leave_out=["softmax"])

    def probabilities(x):
        parts = [ours[0](x)]
        for layer in ours[1:3]:
            parts.append(layer(parts[-1])[0])
        values = np.concatenate(parts, axis=-1)
        share = recurra.softmax(ours[3](values)[..., 0])
        return recurra.softmax(readout((share[..., None] * values).sum(1)))

    text = "What is the best way to learn how to make a good game?"
    codes = [vocabulary["<s>"], *(vocabulary[letter] for letter in text)]
    padded = np.array([0] * 40 + codes)  # as the package pads
    x = np.stack([padded[end : end + 40] for end in range(1, len(codes))])
    p = probabilities(x)
    assert abs(p - np.asarray(theirs(x).detach())).max() < 1e-5
    surprise = -np.log(p[range(len(x)), codes[1:]])
    assert np.mean(surprise) < 2.0  # nats: of 465 characters, if gates were in another order, about 6


def _layers_of(file):
    """Each layer's group in an HDF5 file of Keras 2, with the paths of its weights in their order."""
    for name in file:
        names = [n.decode() if isinstance(n, bytes) else n for n in file[name].attrs["weight_names"]]
        if names:
            yield name, file, names

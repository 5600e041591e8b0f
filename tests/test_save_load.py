"""Models in files: what comes back is what was saved, to the bit, and training goes on as if it had never stopped."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest

import recurra
from own_layers import Residual
from recurra.formula import sigmoid, tanh
from recurra.weights.description import Description, package_layers
from recurra.weights.shapes import parameters_of
from recurra.weights.tensor_file import read_tensors, write_tensors

pytest.importorskip("safetensors")


def bits(arrays):
    return {name: (a.dtype.str, a.shape, np.ascontiguousarray(a).tobytes()) for name, a in arrays.items()}


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def returned(path, model, **options):
    """The model from a file, which has to be like the one that went there."""
    recurra.save(path, model)
    loaded = recurra.load(path, **options)
    assert type(loaded) is type(model)
    assert repr(loaded) == repr(model)
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert bits(loaded.state_dict()) == bits(model.state_dict())
    return loaded


@recurra.formula(gates="f n", units={"bias": 0.5})
def Own(a, s, u):
    f = sigmoid(a.f + u.bias)
    return (1 - f) * s.h + f * tanh(a.n(f * s.h))


def other_own(constant, gates="f n"):
    @recurra.formula(gates=gates, units={"bias": 0.5})
    def Own(a, s, u):
        f = sigmoid(a.f + u.bias)
        return (1 - f) * s.h + f * tanh(a.n(f * s.h) + constant)

    return Own


class WithConfig(Residual):
    """A layer of one's own that says how it is made."""

    def __init__(self, layer, factor=1.0, names=()):
        super().__init__(layer)
        self.factor, self.names = factor, names

    def get_config(self):
        return {"layer": self.layer, "factor": self.factor, "names": self.names}


class Plain(recurra.LSTM):
    """A subclass that adds nothing to the constructor."""


class Renamed(recurra.LSTM):
    """One whose constructor nobody can know."""

    def __init__(self, size):
        super().__init__(size, size, seed=0)


KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
L, S = recurra.Linear, recurra.Sequential
ALL = {
    "rnn": lambda dtype: recurra.RNN(3, 4, 2, "relu", bias=False, dtype=dtype, recurrent_dropout=0.25, seed=1),
    "lstm": lambda dtype: recurra.LSTM(
        3, 5, 2, True, True, 0.1, True, dtype, 1, False, 2, False, 0.0, {"c": 0.1}, learned_state=True
    ),
    "reverse": lambda dtype: recurra.LSTM(1, 1, reverse=True, zoneout=0.3, tokens=True, dtype=dtype, seed=1),
    "gru": lambda dtype: recurra.GRU(7, 5, 3, reset_after=False, bidirectional=True, dtype=dtype, seed=1),
    "rnn cell": lambda dtype: recurra.RNNCell(3, 4, nonlinearity="relu", dtype=dtype, seed=1),
    "lstm cell": lambda dtype: recurra.LSTMCell(3, 4, False, dtype, 1, True),
    "gru cell": lambda dtype: recurra.GRUCell(3, 4, reset_after=False, dtype=dtype, seed=1),
    "linear": lambda dtype: L(3, 1, bias=False, dtype=dtype, seed=1),
    "embedding": lambda dtype: recurra.Embedding(7, 3, padding_idx=-2, dtype=dtype, seed=1),
    "published": lambda dtype: recurra.cells.PeepholeLSTM(3, 4, 2, dtype=dtype, learned_state=True, seed=1),
    "published cell": lambda dtype: recurra.cells.CoRNN.Cell(3, 4, dtype=dtype, seed=1),
    "projected": lambda dtype: recurra.cells.ProjectedLSTM(3, 4, 2, bidirectional=True, dtype=dtype, proj_size=2),
    "model": lambda dtype: S(
        recurra.Embedding(7, 3, dtype=dtype, seed=1),
        S(recurra.LSTM(3, 4, bidirectional=True, dtype=dtype, seed=2), recurra.Dropout(0.25)),
        recurra.Last(),
        L(8, 4, dtype=dtype, seed=3),
        recurra.Tanh(),
        recurra.ReLU(),
        recurra.Sigmoid(),
    ),
}


ALL |= {
    "sparse": lambda dtype: recurra.Embedding(7, 3, sparse=True, dtype=dtype, seed=1),
    "norm": lambda dtype: recurra.LayerNorm(7, eps=1e-3, dtype=dtype),
    "residual": lambda dtype: recurra.Residual(recurra.GRU(4, 4, dtype=dtype, seed=1), recurra.Dropout(0.25)),
    "parallel": lambda dtype: S(
        recurra.Parallel(recurra.GRU(3, 4, dtype=dtype, seed=1), L(3, 5, dtype=dtype, seed=2)), L(9, 1, dtype=dtype)
    ),
    "sum": lambda dtype: recurra.Parallel(L(3, 4, dtype=dtype), L(3, 4, dtype=dtype), join="sum"),
    "pooling": lambda dtype: S(recurra.GRU(3, 4, dtype=dtype), recurra.AttentionPooling(4, "dot", dtype=dtype, seed=1)),
    "additive pooling": lambda dtype: recurra.AttentionPooling(4, hidden_size=3, dtype=dtype, seed=1),
    "attention": lambda dtype: recurra.Attention(3, 4, batch_first=True, dtype=dtype, seed=1),
    "encoder and decoder": lambda dtype: recurra.EncoderDecoder(
        recurra.LSTM(3, 4, 2, dtype=dtype, seed=1),
        S(recurra.Embedding(5, 2, dtype=dtype, seed=2), recurra.LSTM(2, 4, 2, dtype=dtype, seed=3)),
        recurra.Attention(4, 4, "general", dtype=dtype, seed=4),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_what_comes_back_is_what_was_saved(tmp_path, name, dtype):
    model = ALL[name](dtype)
    loaded = returned(tmp_path / "a.safetensors", model)
    for option in getattr(model, "_options", {}):
        assert getattr(loaded, option) == getattr(model, option), option
    assert all(not np.any(g) for g in loaded.grads.values() if isinstance(g, np.ndarray))


def test_every_layer_of_the_package_is_tried_here():
    tried = set()
    for make in ALL.values():
        description = Description()
        description.add(make(np.float32))
        tried |= {entry["type"] for entry in description.layers}
    assert {name for name in package_layers() if not name.startswith("cells.")} <= tried


def test_every_published_cell_comes_back(tmp_path):
    for name in recurra.cells.__all__:
        kind = getattr(recurra.cells, name)
        if not isinstance(kind, type):
            continue
        sizes = {"proj_size": 2} if kind.formula.projects else {}
        layer = kind(8, 8, 1 if sizes else 2, seed=1, **sizes)
        shapes = parameters_of(kind, {n: getattr(layer, n) for n in layer._options}, layer.formula)
        assert list(shapes) == [(n, p.shape) for n, p in layer.params.items()], name
        returned(tmp_path / "a", layer)
        returned(tmp_path / "a", kind.Cell(8, 8, seed=1, **sizes))


def test_numbers_that_are_no_numbers_keep_their_bits(tmp_path):
    layer = L(4, 1, seed=0)
    strange = np.array([[np.nan, -np.inf, -0.0, 1e-45]], np.float32)
    strange.view(np.int32)[0, 0] = 0x7FC12345
    layer.load_state_dict({"weight": strange, "bias": np.zeros(1, np.float32)})
    returned(tmp_path / "a", layer)


def test_a_layer_in_several_places_stays_one(tmp_path):
    dropout, shared = recurra.Dropout(0.5), L(3, 3, seed=0)
    model = S(WithConfig(shared), dropout, L(3, 3, seed=1), dropout)
    loaded = returned(tmp_path / "a", model, types=[WithConfig])
    assert loaded[1] is loaded[3]
    loaded[1].p = 0.25
    assert loaded[3].p == 0.25


def test_a_cell_shares_its_layers_memory_afterwards(tmp_path):
    class Both(WithConfig):
        def __init__(self, layer, cell):
            super().__init__(layer)
            self.cell = cell

        def get_config(self):
            return {"layer": self.layer, "cell": self.cell}

    layer = recurra.LSTM(3, 4, 2, bidirectional=True, seed=0)
    model = Both(layer, recurra.LSTMCell.from_layer(layer, 1, reverse=True))
    recurra.save(tmp_path / "a", model)
    loaded = recurra.load(tmp_path / "a", types=[Both])
    assert bits(loaded.state_dict()) == bits(model.state_dict())
    assert np.shares_memory(loaded.cell.params["weight_hh"], loaded.layer.params["weight_hh_l1_reverse"])


def test_own_formulas_are_given_and_have_to_be_the_same(tmp_path):
    path = tmp_path / "a"
    returned(path, Own(3, 4, 2, bidirectional=True, seed=0), types=[Own])
    with pytest.raises(recurra.FormatError, match=r"Own: .* package's, in types, got .*load\(path, types=\[Own\]\)"):
        recurra.load(path)
    with pytest.raises(recurra.FormatError, match="differs in its program"):
        recurra.load(path, types=[other_own(3.0)])
    recurra.save(path, other_own(3.0)(3, 4, seed=0))
    recurra.load(path, types=[other_own(3.0)])
    with pytest.raises(recurra.FormatError, match="differs in its constants"):
        recurra.load(path, types=[other_own(2.0)])
    with pytest.raises(recurra.FormatError, match=r"differs in its gates.*\['f', 'n'\] in the file"):
        recurra.load(path, types=[other_own(1.0, gates="n f")])
    cell = Own.Cell(3, 4, seed=0)
    returned(path, cell, types=[Own])
    loaded = recurra.load(path, into=other_own(3.0).Cell(3, 4, seed=1))  # the arrays alone
    assert bits(loaded.state_dict()) == bits(cell.state_dict())


def test_own_classes_are_made_by_their_config_or_by_the_caller(tmp_path):
    path = tmp_path / "a"
    model = WithConfig(S(L(3, 3, seed=0), recurra.Tanh()), 2.5, ["a", ("b", {"c": 1})])
    loaded = returned(path, model, types=[WithConfig])
    assert (loaded.factor, loaded.names) == (model.factor, model.names)
    loaded = returned(path, Plain(3, 4, reverse=True, seed=0), types=[Plain])
    assert loaded.reverse
    for own in (Renamed(3), Residual(L(3, 3, seed=0))):
        recurra.save(path, own)
        with pytest.raises(recurra.FormatError, match=r"no method get_config.*load\(path, into=model\)"):
            recurra.load(path, types=[type(own)])
        twin = Renamed(3) if isinstance(own, Renamed) else Residual(L(3, 3, seed=1))
        assert recurra.load(path, into=twin) is twin
        assert bits(twin.state_dict()) == bits(own.state_dict())


@pytest.mark.parametrize(
    "make",
    [
        lambda m: recurra.SGD(m, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda m: recurra.SGD(m, 0.1),
        lambda m: recurra.Adam(m, 0.01, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.1),
        lambda m: recurra.AdamW(m, 0.01),
        lambda m: recurra.AdamW(
            [
                {"params": m, "names": "*bias*", "weight_decay": 0.0, "lr": 0.01},
                {"params": m[2], "names": "weight"},
                {"params": m[0], "names": "weight_[ih]h_l0", "betas": (0.5, 0.9)},  # the others stay as they are
            ],
            lr=0.02,
        ),
    ],
    ids=["sgd momentum", "sgd", "adam", "adamw", "groups"],
)
@pytest.mark.parametrize("into", [False, True])
def test_training_goes_on_to_the_bit(tmp_path, make, into):
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((5, 3, 4), np.float32), rng.standard_normal((3, 2), np.float32)

    def made(seed):
        return S(recurra.LSTM(4, 6, 2, seed=seed), recurra.Last(), L(6, 2, seed=seed))

    def train(model, optimizer, steps):
        for i in range(steps):
            y, tape = model.forward(x)
            optimizer.zero_grad()
            model.backward(tape, recurra.mse(y, target)[1])
            for group in optimizer.param_groups:
                group["lr"] *= 0.9 if i == 3 else 1
            optimizer.step()

    whole = made(1)
    optimizer = make(whole)
    train(whole, optimizer, 10)
    path = tmp_path / "a"
    recurra.save(path, whole, optimizer=optimizer)
    if into:
        other = made(2)
        model, again = recurra.load(path, into=other, optimizer=make(other))
        assert model is other
    else:
        model, again = recurra.load(path, optimizer=True)
    assert type(again) is type(optimizer)
    assert bits(again.state_dict()) == bits(optimizer.state_dict())
    before = bits(model.state_dict())
    train(whole, optimizer, 10)
    train(model, again, 10)
    assert bits(model.state_dict()) == bits(whole.state_dict()) != before
    assert bits(again.state_dict()) == bits(optimizer.state_dict())


def test_an_optimizer_of_some_layers_in_another_order_keeps_them(tmp_path):
    model = S(L(2, 3, seed=0), L(3, 4, seed=1), L(4, 5, seed=2))
    adam = recurra.Adam([model[2], model[0]])
    adam.step()
    recurra.save(tmp_path / "a", model, optimizer=adam)
    loaded, again = recurra.load(tmp_path / "a", optimizer=True)
    assert [layer.out_features for layer in again.layers] == [5, 3]
    assert again.layers[0] is loaded[2]
    assert recurra.load(tmp_path / "a").state_dict().keys() == model.state_dict().keys()
    with pytest.raises(ValueError, match="optimizer: expected one of layers of the model, got one of others"):
        recurra.save(tmp_path / "b", model[:1], optimizer=adam)
    assert not (tmp_path / "b").exists()


def test_wrong_arguments_change_nothing(tmp_path):
    path, layer = tmp_path / "a", L(3, 4, seed=0)
    adam = recurra.Adam(layer)
    adam.step()  # so that there are moments
    recurra.save(path, layer, optimizer=adam)
    before = path.read_bytes()
    for error, match, call in [
        (TypeError, "model: expected a layer", lambda: recurra.save(path, 5)),
        (TypeError, "model: expected a layer", lambda: recurra.save(path, recurra.LSTM)),
        (TypeError, "path: expected a path", lambda: recurra.save(5, layer)),
        (TypeError, "optimizer: expected one of recurra's", lambda: recurra.save(path, layer, optimizer=5)),
        (TypeError, "WithConfig: factor: expected", lambda: recurra.save(path, WithConfig(layer, np.zeros(2)))),
        (TypeError, "WithConfig: factor: expected", lambda: recurra.save(path, WithConfig(layer, float("nan")))),
        (TypeError, "types: expected a list", lambda: recurra.load(path, types=Own)),
        (TypeError, "types: expected classes", lambda: recurra.load(path, types=["Own"])),
        (ValueError, "two Own", lambda: recurra.load(path, types=[Own, other_own(3.0)])),
        (TypeError, "into: expected a model", lambda: recurra.load(path, into="model")),
        (TypeError, "optimizer: expected True", lambda: recurra.load(path, optimizer="adam")),
        (ValueError, "optimizer: expected True, or into=", lambda: recurra.load(path, optimizer=recurra.Adam(layer))),
        (FileNotFoundError, "No such file", lambda: recurra.load(tmp_path / "none")),
        (FileNotFoundError, "folder that is there", lambda: recurra.save(tmp_path / "none" / "a", layer)),
        (IsADirectoryError, "directory|folder", lambda: recurra.load(tmp_path)),
        (IsADirectoryError, "directory|folder", lambda: recurra.save(tmp_path, layer)),
    ]:
        with pytest.raises(error, match=match):
            call()
    other = L(3, 4, seed=1)
    state = bits(other.state_dict())
    with pytest.raises(recurra.FormatError, match="optimizer: expected SGD, as in the call, got 'Adam'"):
        recurra.load(path, into=other, optimizer=recurra.SGD(other, 0.1))
    with pytest.raises(ValueError, match="expected the names of this Adam's"):
        recurra.load(path, into=other, optimizer=recurra.Adam([other, L(2, 2)]))
    assert bits(other.state_dict()) == state
    with pytest.raises(ValueError, match=r"expected .*\(4, 4\), got \(4, 3\)"):
        recurra.load(path, into=L(4, 4))
    with pytest.raises(TypeError, match="expected float64"):
        recurra.load(path, into=L(3, 4, dtype=np.float64))
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a"]


def test_files_of_others_go_into_a_model(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    layer = L(3, 4, seed=0)
    safetensors.save_file(layer.state_dict(), tmp_path / "a")
    assert bits(recurra.load(tmp_path / "a", into=L(3, 4, seed=1)).state_dict()) == bits(layer.state_dict())
    with pytest.raises(recurra.FormatError, match="without its description"):
        recurra.load(tmp_path / "a")
    recurra.save(tmp_path / "a", layer)
    assert bits(safetensors.load_file(tmp_path / "a")) == bits(layer.state_dict())


def test_links_stay_and_so_do_permissions(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to("real")
    recurra.save(link, L(1, 1, seed=0))  # to where it will be
    assert link.is_symlink()
    real.chmod(0o640)
    recurra.save(str(link), L(2, 2, seed=0))
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert recurra.load(real).in_features == 2
    assert names(tmp_path) == ["link", "real"]
    old = os.umask(0o027)
    try:
        recurra.save(tmp_path / "new", L(1, 1))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match=r"[Ll]evels of symbolic links"):
        recurra.save(loop, L(1, 1))


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    recurra.save(path, L(1, 1, seed=0))
    before = path.read_bytes()
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:

            def fails(*_):
                raise OSError(28, "No space left on device")

            patch.setattr(os, name, fails)
            with pytest.raises(OSError, match="No space"):
                recurra.save(path, L(2, 2, seed=0))
        assert path.read_bytes() == before
        assert names(tmp_path) == ["a"]


def test_arrays_of_all_dtypes_and_strides_come_back_as_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"a.{d}": (rng.standard_normal((3, 4)) * 50).astype(d)
        for d in ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
    }
    arrays |= {
        "transposed": arrays["a.f4"].T,
        "reversed": arrays["a.f8"][::-2, ::3],
        "big": arrays["a.f8"].astype(">f8"),
        "nothing": np.zeros((0, 5)),
        "number": np.array(7),
        "scalar": np.float32(3),
    }
    texts = {"ü": "ß\n\u2028", "": "{}"}
    write_tensors(tmp_path / "a", arrays, texts)
    back, metadata = read_tensors(tmp_path / "a")
    assert metadata == texts
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(back[name], array)
        assert back[name].shape == np.shape(array)
        assert back[name].dtype == np.asarray(array).dtype.newbyteorder("=")
        assert back[name].flags.carray
        assert back[name].flags.owndata


@pytest.mark.parametrize(
    ("arrays", "texts", "match"),
    [
        ({"a": [1]}, {}, "a: expected a numpy.ndarray, got list"),
        ({"a": np.zeros(1, complex)}, {}, "a: expected integers, bool or floats"),
        ({"a": np.array([None])}, {}, "a: expected integers, bool or floats"),
        ({1: np.zeros(1)}, {}, "expected names that are str"),
        ({"../a": np.zeros(1)}, {}, "without .., got"),
        ({"a\n": np.zeros(1)}, {}, "printable"),
        ({"": np.zeros(1)}, {}, "printable"),
        ({"__metadata__": np.zeros(1)}, {}, "got '__metadata__'"),
        ({}, {"a": 1}, "metadata: expected str by str"),
        ({}, {"a": "\ud800"}, "metadata: expected text that UTF-8"),
        ({}, {"a": "x" * 2**24}, "metadata: expected up to"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, arrays, texts, match):
    with pytest.raises((TypeError, ValueError), match=match):
        write_tensors(tmp_path / "a", arrays, texts)
    assert names(tmp_path) == []


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'recurra\[safetensors\]'"):
        recurra.save(tmp_path / "a", L(1, 1))

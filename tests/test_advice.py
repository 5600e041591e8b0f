"""What errors advise those who come from elsewhere, and what is printed of what training consists of."""

from __future__ import annotations

import numpy as np
import pytest

import recurra

gru = recurra.GRU(3, 4, seed=0)


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_weights_of_a_larger_model():
    larger = {f"encoder.rnn.{name}": value for name, value in gru.state_dict().items()}
    larger |= {f"head.{i}": np.zeros(1, np.float32) for i in range(20)}
    text = message(ValueError, lambda: gru.load_state_dict(larger))
    assert text.endswith("and 20 more: take 'encoder.rnn.' off the names that begin with it, and leave the others out")
    assert "take" not in message(ValueError, lambda: gru.load_state_dict({"rnn.weight_ih_l0": larger["head.0"]}))
    model = recurra.Sequential(gru, recurra.Last())
    assert message(ValueError, lambda: model.load_state_dict(larger)).endswith("and 20 more")


def test_models_of_torch():
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 4)
    for call in (
        lambda: recurra.Sequential(gru, module),
        lambda: recurra.Adam(module),
        lambda: recurra.fit(module, [], recurra.mse, recurra.SGD(gru, lr=1)),
    ):
        assert message(TypeError, call).endswith(": recurra.from_torch makes a layer of PyTorch's modules")


def test_a_batch_alone():
    x, target = np.zeros((2, 3, 3), np.float32), np.zeros((2, 3, 4), np.float32)
    model = recurra.Sequential(gru)
    text = message(TypeError, lambda: recurra.fit(model, (x, target), recurra.mse, recurra.SGD(model, lr=1)))
    assert text.endswith("recurra.batches(sequences, targets), of sequences (N, t, features)")


@pytest.mark.parametrize("name", ["export_c", "to_onnx"])
def test_paths_and_models_in_each_others_place(name):
    if name == "to_onnx":
        pytest.importorskip("onnx")
    text = message(TypeError, lambda: getattr(recurra, name)("model", gru))
    assert text.endswith(": export_c(model, path) and to_onnx(model, path) take the model first")
    assert message(TypeError, lambda: recurra.save(gru, "model")).endswith(": the order is save(path, model)")


def test_labels_that_are_no_arrays_of_integers():
    logits = np.zeros((2, 3), np.float32)
    for labels in (["up", "down"], np.array(["up", "down"]), np.array(["up", "down"], object)):
        text = message(TypeError, lambda labels=labels: recurra.cross_entropy(logits, labels))
        assert text.endswith("such as 'up': pass their numbers, np.unique(targets, return_inverse=True)[1]")
    sequences = [np.zeros((t, 1), np.float32) for t in (2, 3)]
    text = message(TypeError, lambda: recurra.batches(sequences, [0, 1]))
    assert text.endswith("one target a sequence is one array: pass np.array(targets)")
    assert recurra.batches(sequences, np.array([0, 1]))(0)[0][1].tolist() == [0, 1]
    x = np.zeros((4, 1, 3), np.float32)
    assert message(TypeError, lambda: gru(x, lengths=3)).endswith("got int: pass a list such as [3]")
    gru(x, lengths=[3])


def test_models_of_float64():
    """The line that the error gives, done."""
    m, m32 = (recurra.GRU(3, 4, seed=0, dtype=dtype) for dtype in (np.float64, np.float32))
    for call in (recurra.compress, lambda model: recurra.export_c(model, "model.h")):
        text = message((TypeError, ValueError), lambda call=call: call(m))
        exec(text[text.index("m32.load") : text.index(" loads it")], {"m": m, "m32": m32, "np": np})
        assert np.array_equal(m32.params["weight_hh_l0"], m.params["weight_hh_l0"].astype(np.float32))


def test_attention_of_other_sizes():
    decoder = recurra.Sequential(recurra.GRU(3, 5, seed=0))
    for sizes, name in (((4, 4), "query_size = 5, what the decoder"), ((5, 5), "memory_size = 4, what the encoder")):
        attention = recurra.Attention(*sizes, kind="additive", seed=0)
        text = message(ValueError, lambda attention=attention: recurra.EncoderDecoder(gru, decoder, attention))
        assert text.startswith(f"attention: expected {name} gives, got ")


@pytest.mark.parametrize("begin", [b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY"])
def test_files_of_other_formats(tmp_path, begin):
    pytest.importorskip("safetensors")
    path = tmp_path / "weights"
    path.write_bytes(begin + bytes(100))
    assert ": expected a safetensors file, got a" in message(recurra.FormatError, lambda: recurra.load(path))


def test_a_checkpoint_is_no_model(tmp_path):
    pytest.importorskip("safetensors")
    x = np.zeros((2, 3, 3), np.float32)
    model = recurra.Sequential(recurra.GRU(3, 4, seed=0))
    path = tmp_path / "checkpoint"
    recurra.fit(model, [(x, model(x))], recurra.mse, recurra.SGD(model, lr=0.1), checkpoint=path)
    text = message(recurra.FormatError, lambda: recurra.load(path))
    assert text.endswith("got a checkpoint of recurra.fit, which goes on from it with resume=")


def test_optimizers_schedules_and_histories_in_a_line():
    adam = recurra.Adam(gru, lr=0.5)
    assert repr(adam) == "Adam(lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"
    groups = recurra.SGD([{"params": gru, "names": "weight*", "lr": 0.25}, {"params": gru, "names": "bias*"}], lr=1)
    assert repr(groups).startswith("SGD(group 0: lr=0.25, ")
    assert "; group 1: lr=1.0, " in repr(groups)
    schedule = recurra.schedules.StepLR(adam, 1)
    assert repr(schedule) == "StepLR(last_epoch=0, last_lr=[0.5])"
    history = recurra.History(losses=[2.0, 1.0], metrics={"accuracy": [0.5, 0.75]}, stopped="epochs")
    assert repr(history) == "History(epochs=2, losses 2 to 1, accuracy 0.5 to 0.75, stopped='epochs')"

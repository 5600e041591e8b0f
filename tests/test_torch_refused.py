"""Tensors that recurra.torch's modules can't read are refused by name, and none is read beyond its memory."""

from __future__ import annotations

import pytest

import recurra
from refused import refused

torch = pytest.importorskip("torch")
import recurra.torch  # noqa: E402


@recurra.formula(gates="g", inputs="m")
def Scaled(a, x):
    return recurra.formula.tanh(a.g) * x.m


def freed(*shape, left=0, begin=0):
    tensor = torch.zeros(begin + shape[0], *shape[1:])[begin:]
    tensor.untyped_storage().resize_(left)
    return tensor


def negative(*shape):
    """A tensor that is minus what its memory holds, which torch negates when it is asked to."""
    value = torch._neg_view(torch.ones(shape))
    assert value.is_neg()
    return value


@pytest.mark.parametrize("left", [0, 40])
def test_memory_that_has_been_freed_is_not_read(left):
    lstm, x = recurra.torch.LSTM(2, 3), torch.zeros(5, 4, 2)
    h = torch.zeros(1, 4, 3)
    packed = torch.nn.utils.rnn.PackedSequence(freed(20, 2, left=left), torch.tensor([4] * 5))
    for call in (
        lambda: lstm(freed(5, 4, 2, left=left)),
        lambda: lstm(freed(5, 4, 2, left=left, begin=1)),
        lambda: lstm(x, (h, freed(1, 4, 3, left=left))),
        lambda: lstm(packed),
        lambda: lstm(x)[0].backward(freed(5, 4, 3, left=left)),
        lambda: recurra.torch.GRUCell(2, 3)(freed(40, 2, left=left)),
    ):
        with refused(RuntimeError, r"\S+"):
            call()
    for name, given in (("lengths", freed(4, left=left)), ("resets", freed(5, 4, left=left))):
        with refused((RuntimeError, TypeError), name):
            lstm(x, **{name: given})
    lstm = recurra.torch.LSTM(2, 3)  # that holds no view of its weights yet, which torch then wouldn't free
    lstm.weight_ih_l0.data.untyped_storage().resize_(left)
    with refused(RuntimeError, r"LSTM\.weight_ih_l0"):
        lstm(x)


@pytest.mark.parametrize("weight", [torch.zeros(0), torch.zeros(12, 3), torch.zeros(1).expand(2**31, 2)])
def test_weights_of_other_shapes_are_refused_before_anything_reads_or_copies_them(weight):
    for kind in (recurra.torch.LSTM, recurra.torch.as_module(recurra.LSTM)):
        module = kind(2, 3)
        module.weight_ih_l0 = torch.nn.Parameter(weight, requires_grad=False)
        with refused(ValueError, r"LSTM\.weight_ih_l0"):
            module(torch.zeros(5, 4, 2))


@pytest.mark.parametrize("value", [None, "a", 1.0])
def test_a_weight_that_is_no_tensor_is_refused_by_name(value):
    module = recurra.torch.GRU(2, 3)
    module._parameters.pop("weight_ih_l0")
    module.__dict__["weight_ih_l0"] = value
    with refused(TypeError, r"GRU\.weight_ih_l0"):
        module(torch.zeros(5, 4, 2))


def test_negated_views_are_their_values():
    lstm, x, h = recurra.torch.LSTM(2, 3), negative(5, 4, 2), negative(1, 4, 3)
    y, _ = lstm(x, (h, h))
    expected, _ = lstm(x.resolve_neg(), (h.resolve_neg(), h.resolve_neg()))
    assert torch.equal(y, expected)
    lstm.weight_hh_l0.data = negative(12, 3)
    y, _ = lstm(x)
    lstm.weight_hh_l0.data = lstm.weight_hh_l0.data.resolve_neg()
    assert torch.equal(y, lstm(x)[0])


@pytest.mark.parametrize(
    "value", ["a", {"a": 1}, object(), 1j, 2**70, torch.empty(4, device="meta"), torch.zeros(4).to_sparse()]
)
@pytest.mark.parametrize("name", ["lengths", "resets"])
def test_lengths_and_resets_that_are_no_tensors_are_refused_by_name(name, value):
    with refused(TypeError, name):
        recurra.torch.GRU(2, 3)(torch.zeros(5, 4, 2), **{name: value})


def test_inputs_are_a_dict_of_tensors():
    module, x = recurra.torch.as_module(Scaled)(2, 3), torch.zeros(5, 4, 2)
    for inputs in ([1], "m", torch.zeros(3), 1):
        with refused(TypeError, "inputs"):
            module(x, inputs=inputs)
    for value in (None, 1.0, "a", x.numpy(), torch.zeros(5, 4, 3).long(), torch.zeros(5, 4, 3).to_sparse()):
        with refused(TypeError, r"inputs\['m'\]"):
            module(x, inputs={"m": value})
    with refused(RuntimeError, r"inputs\['m'\]"):
        module(x, inputs={"m": torch.empty(5, 4, 3, device="meta")})
    for given in ("a", None, x.numpy()):
        with refused(TypeError, "input"):
            module(given, inputs={"m": torch.zeros(5, 4, 3)})


def test_options_that_modules_lack_may_be_given_as_none():
    module = recurra.torch.as_module(recurra.GRU)
    for value in (torch.zeros(2), torch.zeros(2).numpy(), "a", 0.5, True):
        with refused(TypeError, "zoneout"):
            module(2, 3, zoneout=value)
    module(2, 3, zoneout=0.0, tokens=False, seed=None)


def test_a_nested_tensor_in_a_parameter_ends_no_process():
    gru = recurra.torch.GRU(2, 3)
    gru.bias_ih_l0.data = torch.nested.nested_tensor([torch.zeros(2, 3)], layout=torch.jagged)
    with refused(ValueError, r"GRU\.bias_ih_l0"):
        gru(torch.zeros(5, 4, 2))

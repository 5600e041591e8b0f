"""recurra.torch.as_module: any class of recurra's layers as a module."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import recurra  # noqa: E402
import recurra.cells  # noqa: E402
import recurra.torch  # noqa: E402
from torch_pairs import flat, generator  # noqa: E402

as_module = recurra.torch.as_module


def numbers(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize(
    ("layer_type", "options"),
    [
        (recurra.cells.PeepholeLSTM, {"num_layers": 2, "bidirectional": True}),
        (recurra.cells.LayerNormLSTM, {"batch_first": True, "bias": False}),
        (recurra.cells.SLSTM, {"reverse": True}),
        (recurra.cells.MinGRU, {"learned_state": True}),
        (recurra.GRU, {"reset_after": False, "num_layers": 2}),
        (recurra.LSTM, {"proj_size": 3, "learned_state": True, "bidirectional": True}),
        (recurra.RNN, {"nonlinearity": "relu", "reverse": True}),
    ],
)
def test_the_bits_of_the_layer(layer_type, options):
    """Outputs, states and every gradient, of the layer and of its cell."""
    module = as_module(layer_type)(3, 8, dtype=torch.float64, **options)
    layer = layer_type(3, 8, dtype=np.float64, seed=0, **options)
    layer.load_state_dict({name: p.detach().numpy() for name, p in module.named_parameters()})
    x = generator(1).standard_normal((4, 5, 3))
    given = torch.from_numpy(x).requires_grad_()
    y, state = module(given)
    expected, final, tape = layer.forward(x)
    assert np.array_equal(y.detach().numpy(), expected)
    for one, other in zip(flat(state), numbers(final), strict=True):
        assert np.array_equal(one.detach().numpy(), other)
    y.backward(torch.ones_like(y))
    dx, _ = layer.backward(tape, np.ones_like(expected))
    assert np.array_equal(given.grad.numpy(), dx)
    assert all(np.array_equal(p.grad.numpy(), layer.grads[name]) for name, p in module.named_parameters())

    shared = {name: value for name, value in options.items() if name in {"bias", "reset_after", "nonlinearity"}}
    step = as_module(layer_type).Cell(3, 8, dtype=torch.float64, **shared)
    cell = step.layer_type(3, 8, dtype=np.float64, seed=0, **shared)
    cell.load_state_dict({name: p.detach().numpy() for name, p in step.named_parameters()})
    for one, other in zip(flat(step(given[0])), numbers(cell(x[0])), strict=True):
        assert np.array_equal(one.detach().numpy(), other)
    assert isinstance(repr(step), str)


def test_initial_values():
    """From torch's generator, and where the formula declares one, that."""
    kind = as_module(recurra.cells.PeepholeLSTM)
    first, second, third = (torch.manual_seed(seed) and kind(3, 5) for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(first.weight_hh_l0, third.weight_hh_l0)
    assert first.weight_hh_l0.abs().max() <= 5**-0.5
    torch.manual_seed(1)
    third.reset_parameters()
    assert torch.equal(first.weight_hh_l0, third.weight_hh_l0)
    layer = recurra.cells.LayerNormLSTM(3, 5, seed=0)
    made = as_module(recurra.cells.LayerNormLSTM)(3, 5)
    declared = [name for name in layer.params if layer.formula.has_initial(layer._name_in_formula(name))]
    assert declared
    assert all(np.array_equal(getattr(made, name).detach().numpy(), layer.params[name]) for name in declared)


def test_they_are_modules():
    kind = as_module(recurra.cells.PeepholeLSTM)
    assert kind is as_module(recurra.cells.PeepholeLSTM)
    assert issubclass(kind, torch.nn.Module)
    module = kind(3, 5, num_layers=2, dropout=0.5)
    assert repr(module) == "PeepholeLSTM(3, 5, num_layers=2, dropout=0.5)"
    assert repr(kind.Cell(3, 5)) == "PeepholeLSTM.Cell(3, 5)"
    assert kind.__doc__
    x = torch.randn(4, 2, 3)
    torch.manual_seed(0)
    masked = module(x)[0]
    torch.manual_seed(0)
    assert torch.equal(masked, module(x)[0])
    plain = module.eval()(x)[0]
    assert not torch.equal(plain, masked)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(twin) is kind
        assert not twin.training
        assert torch.equal(twin(x)[0], plain)
    other = kind(3, 5, num_layers=2)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x)[0], plain)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [2, 4], enforce_sorted=False)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(other.eval()(packed)[0])
    assert torch.equal(padded, other(x, lengths=torch.tensor([2, 4]))[0])
    assert torch.equal(module.double()(x.double())[0].float(), other.double()(x.double())[0].float())


@recurra.formula(gates="n", inputs="gain:step")
def Gained(a, x):
    """Reads an input."""
    return recurra.formula.tanh(a.n * x.gain)


def test_inputs():
    module = as_module(Gained)(3, 5)
    x, gain = torch.randn(4, 2, 3), torch.rand(4, 2, requires_grad=True)
    y, _ = module(x, inputs={"gain": gain})
    y.sum().backward()
    assert gain.grad.shape == gain.shape
    assert gain.grad.abs().min() > 0
    with pytest.raises(ValueError, match="gain"):
        module(x)
    with pytest.raises(ValueError, match="strength"):
        module(x, inputs={"strength": gain})


def test_what_is_refused():
    for wrong in (torch.nn.LSTM, recurra.FormulaLayer, recurra.cells, recurra.LSTMCell):
        with pytest.raises(TypeError, match="layer_type: expected a class of recurra's layers"):
            as_module(wrong)
    kind = as_module(recurra.cells.PeepholeLSTM)
    with pytest.raises(TypeError, match="zoneout: expected none"):
        kind(3, 5, zoneout=0.1)
    with pytest.raises(TypeError, match="float16"):
        kind(3, 5, dtype=torch.float16)
    with pytest.raises(ValueError, match="hidden_size"):
        kind(3, 0)
    module = kind(3, 5)
    with pytest.raises(ValueError, match="x: expected"):
        module(torch.zeros(4, 2, 7))
    with pytest.raises(TypeError, match="hx: expected a tuple of 2 tensors"):
        module(torch.zeros(4, 2, 3), torch.zeros(1, 2, 5))
    with pytest.raises(NotImplementedError, match="where it is traced"):
        torch.jit.trace(module, torch.zeros(4, 2, 3))

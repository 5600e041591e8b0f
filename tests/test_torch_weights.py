"""recurra.torch's modules have the weights that their tensors hold at the time of the call, however they came there."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import recurra.cells  # noqa: E402
import recurra.torch  # noqa: E402
from torch_pairs import CELLS, LAYERS, assert_close, flat, pair  # noqa: E402

X = torch.linspace(-1, 1, 24).reshape(4, 2, 3)


def by_data(module):
    module.weight_hh_l0.data.mul_(1.1)


def by_a_view_of_numpy(module):
    module.weight_ih_l0.detach().numpy()[1] += 0.25


def by_the_last_bit(module):
    view = module.bias_hh_l0.detach().numpy().view("int32")
    view[-1] ^= 1 << 22


def by_the_sign_of_a_weight(module):
    module.bias_ih_l0.data.neg_()


def by_other_data(module):
    module.weight_hh_l0.data = module.weight_hh_l0.data.flip(0)


def by_transposed_data(module):
    """The same address, other strides."""
    module.weight_hh_l0.data = module.weight_hh_l0.data.clone()
    module(X)
    module.weight_hh_l0.data = module.weight_hh_l0.data[:5].t().repeat(module.weight_hh_l0.shape[0] // 5, 1)


def by_strides_alone(module):
    """Of a square weight, an RNN's: the same address and shape."""
    weight = module.weight_ih_l1.data
    module.weight_ih_l1.data = weight.t() if weight.shape[0] == weight.shape[1] else weight.roll(1, 0)


def by_an_optimizer(module):
    module(X)[0].sum().backward()
    torch.optim.SGD(module.parameters(), lr=0.1).step()


def by_a_fused_optimizer(module):
    module(X)[0].sum().backward()
    torch.optim.Adam(module.parameters(), lr=0.1, foreach=True).step()


def by_load_state_dict(module):
    module.load_state_dict({name: value * 0.9 for name, value in module.state_dict().items()})


def by_assigning_state_dict(module):
    module.load_state_dict({name: value * 0.8 for name, value in module.state_dict().items()}, assign=True)


def by_copy(module):
    with torch.no_grad():
        module.bias_ih_l0.copy_(torch.arange(len(module.bias_ih_l0)) / 10)


def by_inference_mode(module):
    with torch.inference_mode():
        module.weight_ih_l1.add_(0.1)


def by_another_parameter(module):
    module.bias_hh_l1 = torch.nn.Parameter(module.bias_hh_l1.detach() + 1)


def by_reset(module):
    torch.manual_seed(11)
    module.reset_parameters()


def by_a_vector(module):
    vector = torch.nn.utils.parameters_to_vector(module.parameters())
    torch.nn.utils.vector_to_parameters(vector.detach() * 0.7, module.parameters())


CHANGES = [value for name, value in list(globals().items()) if name.startswith("by_")]


@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("kind", LAYERS)
def test_no_change_is_missed(kind, change, mode):
    theirs, ours = pair(kind, 3, 5, num_layers=2)

    def run(module):
        with {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[mode]():
            return [tensor.clone() for tensor in flat(module(X))]

    before = run(ours)
    for module in (theirs, ours):
        change(module)
    after = run(ours)
    assert not torch.equal(before[0], after[0])
    assert_close(after, run(theirs))


@pytest.mark.parametrize("kind", CELLS)
def test_cells_too(kind):
    theirs, ours = pair(kind, 3, 5)
    ours(X[0])
    for module in (theirs, ours):
        module.weight_hh.data.add_(1)
        module.bias_ih.data.zero_()
    hx = (torch.ones(2, 5),) * 2 if kind == "LSTMCell" else torch.ones(2, 5)
    assert_close(flat(ours(X[0], hx)), flat(theirs(X[0], hx)))


def test_formulas_too():
    module = recurra.torch.as_module(recurra.cells.PeepholeLSTM)(3, 5)
    twin = recurra.torch.as_module(recurra.cells.PeepholeLSTM)(3, 5)
    module(X)
    for parameter in module.parameters():
        parameter.data.add_(0.125)
    twin.load_state_dict(module.state_dict())
    assert torch.equal(module(X)[0], twin(X)[0])


def test_dtypes_and_memory_that_moves():
    theirs, ours = pair("GRU", 3, 5)
    ours(X)
    for module in (theirs, ours):
        module.double()
    assert_close(flat(ours(X.double())), flat(theirs(X.double())))
    for module in (theirs, ours):
        module.float()
        module.share_memory()
    assert_close(flat(ours(X)), flat(theirs(X)))
    for module in (theirs, ours):
        module.to_empty(device="cpu")
        for parameter in module.parameters():
            torch.nn.init.constant_(parameter, 0.1)
    assert_close(flat(ours(X)), flat(theirs(X)))


def test_bits_that_are_taken_for_another_dtype():
    module = recurra.torch.GRU(3, 5).requires_grad_(False)
    module(X)
    module.bias_ih_l0.data = module.bias_ih_l0.data.view(torch.int32)
    with pytest.raises(TypeError, match=r"bias_ih_l0: expected torch.float32 or torch.float64, got torch.int32"):
        module(X)


def test_a_network_is_made_once():
    """While nothing changes, the same one serves, and it isn't packed anew."""
    module = recurra.torch.LSTM(3, 5)
    module(X)
    network = module._held.network
    module(X)[0].sum().backward()
    module.eval()
    with torch.no_grad():
        module(X)
    assert module._held.network is network
    module.weight_hh_l0.data.add_(1)
    module(X)
    assert module._held.network is not network

"""recurra.torch.accelerate, and what else torch does with whole models: compile, export, trace, several processes."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

import recurra.torch  # noqa: E402
import torch_training  # noqa: E402
from torch_pairs import assert_close, flat, results  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Own(torch.nn.LSTM):
    """Somebody's, which may compute something else."""


class Network(torch.nn.Module):
    """All kinds of recurrent modules, one of them at two places, one within containers."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.lstm = torch.nn.LSTM(4, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.nested = torch.nn.ModuleList([torch.nn.ModuleDict({"gru": torch.nn.GRU(10, 4)}), torch.nn.RNN(4, 4)])
        self.cells = torch.nn.ModuleList([torch.nn.LSTMCell(4, 4), torch.nn.GRUCell(4, 4), torch.nn.RNNCell(4, 4)])
        self.again = self.lstm
        self.own = Own(4, 4)

    def forward(self, x, hx=None):
        y, _ = self.again(self.first(x), hx)
        y, _ = self.nested[0]["gru"](y)
        y, _ = self.nested[1](y)
        y, _ = self.own(y)
        h = y[:, 0]
        return self.cells[2](self.cells[1](self.cells[0](h)[0]))


NAMES = {
    "lstm": "LSTM",
    "nested.0.gru": "GRU",
    "nested.1": "RNN",
    "cells.0": "LSTMCell",
    "cells.1": "GRUCell",
    "cells.2": "RNNCell",
}


def test_accelerate_and_restore():
    torch.manual_seed(0)
    model = Network()
    x = torch.randn(3, 6, 3, requires_grad=True)
    calls = []
    model.lstm.register_forward_hook(lambda *_: calls.append("hook"))
    model.nested[1].eval()
    expected = results(model, x)
    parameters, state, elsewhere = dict(model.named_parameters()), model.state_dict(), model.cells[0]

    done = recurra.torch.accelerate(model)
    assert done.swapped == NAMES
    assert list(done.left) == ["own"]
    assert "derived" in done.left["own"]
    assert repr(done).splitlines()[:2] == ["6 swapped, 1 left", "  lstm: LSTM"]
    assert type(elsewhere) is recurra.torch.LSTMCell
    assert model.again is model.lstm
    assert type(model.lstm) is recurra.torch.LSTM
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    assert list(model.state_dict()) == list(state)
    assert not model.nested[1].training
    assert model.lstm.training
    assert_close(results(model, x), expected)
    assert calls == ["hook"] * 2
    assert recurra.torch.accelerate(model).swapped == {}
    assert_close(results(copy.deepcopy(model), x), expected)

    assert set(recurra.torch.restore(model).swapped) == set(NAMES)
    assert not any(type(module).__module__.startswith("recurra") for module in model.modules())
    assert not any(hasattr(module, "_held") for module in model.modules())
    assert_close(results(model, x), expected)


def test_what_is_left_as_it_is():
    model = torch.nn.ModuleDict(
        {
            "narrow": torch.nn.LSTM(3, 4, dtype=torch.bfloat16),
            "elsewhere": torch.nn.GRU(3, 4, device="meta"),
            "computed": torch.nn.LSTM(3, 4),
        }
    )
    torch.nn.utils.parametrizations.weight_norm(model["computed"], "weight_hh_l0")
    done = recurra.torch.accelerate(model)
    assert done.swapped == {}
    assert "bfloat16" in done.left["narrow"]
    assert "meta" in done.left["elsewhere"]
    assert "computed" in done.left
    single = torch.nn.LSTM(3, 4)
    restored = torch.nn.GRU(3, 4)
    recurra.torch.accelerate(restored)
    torch.nn.utils.parametrizations.weight_norm(restored, "weight_hh_l0")
    assert "ParametrizedGRU" in recurra.torch.restore(restored).left[""]
    assert recurra.torch.accelerate(single).swapped == {"": "LSTM"}
    assert type(single) is recurra.torch.LSTM
    for function in (recurra.torch.accelerate, recurra.torch.restore):
        with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got int"):
            function(3)


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # torch.nn's _flat_weights, in torch.export
def test_traced_and_exported_models_have_the_operators_of_torch(tmp_path):
    torch.manual_seed(0)
    model = Network().eval()
    x, other = torch.randn(3, 6, 3), torch.randn(3, 6, 3)
    expected = [t.detach() for t in flat(model(other))]
    recurra.torch.accelerate(model)
    traced = torch.jit.trace(model, (x,))
    assert_close([t.detach() for t in flat(traced(other))], expected)
    exported = torch.export.export(model, (x,))
    assert_close([t.detach() for t in flat(exported.module()(other))], expected)
    assert "aten.lstm" in str(exported.graph)
    torch.export.save(exported, tmp_path / "model.pt2")
    formula = recurra.torch.as_module(recurra.GRU)(3, 4)
    with pytest.raises(NotImplementedError, match="where it is traced"):
        torch.export.export(formula, (x,))


def test_compiled_models():
    """They leave torch.compile's graph for recurra's modules, as they do for torch.nn's."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    lstm = torch.nn.LSTM(4, 5)
    x = torch.randn(6, 2, 3, requires_grad=True)

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.lstm = model, lstm

        def forward(self, x, hx=None):
            return self.lstm(self.model(x), hx)[0].tanh()

    both = Both()
    expected = results(both, x)
    recurra.torch.accelerate(both)
    compiled = torch.compile(both, backend="aot_eager")
    assert_close(results(compiled, x), expected)
    lstm.weight_hh_l0.data.mul_(1.5)
    assert_close(flat(compiled(x).detach()), flat(both(x).detach()))
    torch._dynamo.reset()


def test_two_processes_train_alike(tmp_path):
    """DistributedDataParallel over gloo: the same gradients and weights on both ranks, those of torch.nn."""
    if not torch.distributed.is_available():
        pytest.skip("torch was built without torch.distributed")
    path = tmp_path / "store"
    torch.multiprocessing.spawn(torch_training.train, (str(path),), nprocs=2)
    theirs, ours = ([torch.load(f"{path}.{name}.{rank}") for rank in (0, 1)] for name in ("theirs", "ours"))
    assert torch.equal(*theirs)
    assert torch.equal(*ours)
    assert ours[0].numel() > 1900
    assert_close(ours[:1], theirs[:1])

"""Groups of parameters: PyTorch's numbers with the same groups, names, rates between steps, and what is refused."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused
from test_optim import PlainAdam, set_gradients

KINDS = {
    "SGD": (recurra.SGD, [{"lr": 0.01}, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}]),
    "momentum": (recurra.SGD, [{"momentum": 0.5}, {"momentum": 0.0, "weight_decay": 0.3}, {"lr": 1e-3}]),
    "Adam": (recurra.Adam, [{}, {"lr": 0.05, "betas": (0.5, 0.9)}, {"weight_decay": 0.1, "eps": 1e-3}]),
    "AdamW": (recurra.AdamW, [{"weight_decay": 0.3}, {"lr": 0.05}, {"weight_decay": 0.0, "betas": (0.0, 0.5)}]),
}
DEFAULTS = {
    "SGD": {"lr": 0.02},
    "momentum": {"lr": 0.02, "momentum": 0.9},
    "Adam": {"lr": 0.01},
    "AdamW": {"lr": 0.01},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make_model(dtype=np.float64):
    lstm, linear = recurra.LSTM(3, 5, dtype=dtype, seed=0), recurra.Linear(5, 2, dtype=dtype, seed=1)
    return recurra.Sequential(recurra.Embedding(7, 3, padding_idx=2, dtype=dtype, seed=2), lstm, linear)


def groups_of(model, rates):
    """The biases; the embedding with a part of the LSTM; the rest."""
    names = ["*bias*", ["0.*", "1.weight_hh_l0"], lambda name: name in {"1.weight_ih_l0", "2.weight"}]
    return [{"params": model, "names": name, **rate} for name, rate in zip(names, rates, strict=True)]


def fill(model, rng, step=0):
    for layer in model.leaves():
        set_gradients(layer, rng, step)


@every_kind
def test_torch(kind):
    torch = pytest.importorskip("torch")
    make, rates = KINDS[kind]
    model = make_model()
    ours = make(groups_of(model, rates), **DEFAULTS[kind])
    mine = {name: torch.nn.Parameter(torch.from_numpy(value)) for name, value in model.state_dict().items()}
    names = [[n for n in mine if "bias" in n], ["0.weight", "1.weight_hh_l0"], ["1.weight_ih_l0", "2.weight"]]
    groups = [{"params": [mine[n] for n in own], **rate} for own, rate in zip(names, rates, strict=True)]
    theirs = getattr(torch.optim, make.__name__)(groups, **DEFAULTS[kind])
    rng = np.random.default_rng(0)
    for step in range(40):
        fill(model, rng, step)
        model.grads["0.weight"][2] = 0  # PyTorch's decay moves padding, so there is a comparison without
        for name, parameter in mine.items():
            parameter.grad = torch.from_numpy(model.grads[name].copy())
        if step == 20:
            for group in (ours.param_groups[1], theirs.param_groups[1]):
                group["lr"] *= 0.5
        ours.step()
        theirs.step()
    for name, parameter in mine.items():
        value, expected = model.params[name], parameter.detach().numpy()
        if name == "0.weight":
            value, expected = np.delete(value, 2, 0), np.delete(expected, 2, 0)
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12, err_msg=name)


def test_adam_by_its_formula():
    """Without PyTorch: every parameter as if it had an Adam of its own."""
    model = make_model()
    _, rates = KINDS["Adam"]
    adam = recurra.Adam(groups_of(model, rates), lr=0.01)
    own = {name: {"lr": 0.01} | rates[i] for i in range(3) for name in names_of(model, adam, i)}
    plain = {name: PlainAdam(model.params[name], **rate) for name, rate in own.items()}
    rng = np.random.default_rng(0)
    for step in range(10):
        fill(model, rng, step)
        adam.step()
        for name, one in plain.items():
            one.step(model.grads[name])
    for name, one in plain.items():
        keep = np.arange(len(one.p)) != 2 if name == "0.weight" else slice(None)
        np.testing.assert_allclose(model.params[name][keep], one.p[keep], rtol=1e-12)
    assert len(plain) == len(model.params)


def names_of(model, optimizer, i):
    """The names of a group, the model's: as its members with parameters are the optimizer's layers, in order."""
    assert model.leaves() == optimizer.layers
    return optimizer.param_groups[i]["params"]


@every_kind
def test_groups_alike_are_one(kind):
    """To the bit; and groups of whole layers."""
    make, rates = KINDS[kind]
    models = [make_model(np.float32) for _ in range(3)]
    alike = [{"params": models[0], "names": "*bias*"}, {"params": models[0], "names": lambda name: "bias" not in name}]
    options = DEFAULTS[kind] | rates[0]
    made = [make(alike, **options), make(models[1], **options)]
    made += [make([{"params": models[2][0]}, {"params": [models[2][1], models[2][2]]}], **options)]
    for step in range(5):
        for model, optimizer in zip(models, made, strict=True):
            fill(model, np.random.default_rng(step), step)
            optimizer.step()
    for model in models[1:]:
        assert_same_bits(model.state_dict(), models[0].state_dict())


def test_what_is_in_no_group_stays():
    """Its gradient too; and there are no moments of it."""
    model = make_model()
    adam = recurra.Adam([{"params": model, "names": "2.*"}, {"params": model, "names": "1.bias_ih_l0", "lr": 0.1}])
    before = model.state_dict()
    fill(model, np.random.default_rng(0))
    grads = {name: value.copy() for name, value in model.grads.items()}
    adam.step()
    changed = {"2.weight", "2.bias", "1.bias_ih_l0"}
    after = model.state_dict()
    assert {name for name in after if not np.array_equal(after[name], before[name])} == changed
    assert adam.layers == model.leaves()[1:]
    assert adam.param_groups[0]["params"] == ["1.weight", "1.bias"]
    moments = [name for name in adam.state_dict() if "." in name]
    assert moments == [
        f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq") for name in ("0.bias_ih_l0", "1.weight", "1.bias")
    ]
    adam.zero_grad()
    assert {name for name, value in model.grads.items() if not value.any()} == changed
    assert_same_bits({n: v for n, v in model.grads.items() if n not in changed}, {
        n: v for n, v in grads.items() if n not in changed
    })  # fmt: skip


def test_a_refused_step_changes_no_group():
    model = make_model()
    adam = recurra.Adam(groups_of(model, KINDS["Adam"][1]))
    fill(model, np.random.default_rng(0))
    adam.step()
    before, state = model.state_dict(), adam.state_dict()
    last = model.leaves()[-1]
    last.grads["bias"] = np.zeros(3)
    with refused(ValueError, "bias"):
        adam.step()
    assert_same_bits(model.state_dict(), before)
    assert_same_bits(adam.state_dict(), state)


def test_rates_by_groups():
    model = make_model()
    sgd = recurra.SGD(groups_of(model, [{}, {"lr": 0.5}, {"momentum": 0.9}]), lr=0.1)
    groups = sgd.param_groups
    assert [group["lr"] for group in groups] == [0.1, 0.5, 0.1]
    assert [group["momentum"] for group in groups] == [0, 0, 0.9]
    assert set(groups[0]) == {"params", "lr", "momentum", "nesterov", "weight_decay"}
    groups[1]["lr"] = 0.25
    assert [group["lr"] for group in sgd.param_groups] == [0.1, 0.25, 0.1]
    for name, value in [("lr", -1), ("lr", "fast"), ("nesterov", True), ("weight_decay", np.nan)]:
        with refused((TypeError, ValueError), name):
            groups[0][name] = value
    for wrong in ("params", "rate"):
        with pytest.raises(KeyError):
            groups[0][wrong] = 1
    with pytest.raises(AttributeError, match=r"^lr: expected param_groups\[i\]"):
        sgd.lr = 0.3
    assert not hasattr(sgd, "lr")
    assert hasattr(recurra.SGD(model, lr=1), "lr")


@every_kind
def test_training_goes_on_to_the_bit(kind):
    make, rates = KINDS[kind]
    model, twin = make_model(np.float32), make_model(np.float32)
    optimizer = make(groups_of(model, rates), **DEFAULTS[kind])
    fill(model, np.random.default_rng(0))
    optimizer.step()
    optimizer.param_groups[2]["lr"] = 0.003
    file = io.BytesIO()
    np.savez(file, **optimizer.state_dict())
    file.seek(0)
    other = make(groups_of(twin, rates), **DEFAULTS[kind])
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(np.load(file))
    third, copied = pickle.loads(pickle.dumps((model, optimizer)))
    fourth, deep = copy.deepcopy((model, optimizer))
    for step in range(3):
        for one, of in ((optimizer, model), (other, twin), (copied, third), (deep, fourth)):
            fill(of, np.random.default_rng(step))
            one.step()
    for of in (twin, third, fourth):
        assert_same_bits(of.state_dict(), model.state_dict())
    for one in (other, copied, deep):
        assert_same_bits(one.state_dict(), optimizer.state_dict())
    assert [group["lr"] for group in other.param_groups] == [group["lr"] for group in optimizer.param_groups]


@every_kind
def test_a_wrong_state_changes_nothing(kind):
    make, rates = KINDS[kind]
    model = make_model()
    optimizer = make(groups_of(model, rates), **DEFAULTS[kind])
    fill(model, np.random.default_rng(0))
    optimizer.step()
    right = optimizer.state_dict()
    wrong = [(ValueError, right | {"lr": value}) for value in (np.array(0.1), np.ones(2), -np.ones(3))]
    wrong += [(ValueError, {name: value for name, value in right.items() if name != left}) for left in right]
    alone = make(make_model(), **DEFAULTS[kind])
    wrong += [(ValueError, alone.state_dict())]
    for error, state in wrong:
        with refused(error, r"[\w.]+"):
            optimizer.load_state_dict(state)
        assert_same_bits(optimizer.state_dict(), right)


# names


def test_names_are_the_models():
    model = make_model()
    for names in ("2.weight", ["2.weight"], lambda name: name == "2.weight", "2.w*", ("2.weight", "*.weight")[:1]):
        adam = recurra.Adam([{"params": model, "names": names}])
        assert adam.layers == [model[2]]
        assert adam.param_groups[0]["params"] == ["0.weight"]
    several = recurra.Adam([{"params": [model[1], model[2]], "names": ["1.*", "0.bias*"]}])
    assert several.param_groups[0]["params"] == ["0.bias_ih_l0", "0.bias_hh_l0", "1.weight", "1.bias"]
    for names in ("3.weight", ["2.weight", "x*"], lambda _: False, []):
        with refused(ValueError, "names"):
            recurra.Adam([{"params": model, "names": names}])
    for names in (3, [3], [None]):
        with refused(TypeError, "names"):
            recurra.Adam([{"params": model, "names": names}])


def test_an_optimizer_can_be_made_again_of_its_groups():
    model = make_model()
    adam = recurra.AdamW(recurra.optim.decay_groups(model, 0.3), lr=0.1)
    groups = [{"params": adam.layers, "names": group["params"]} for group in adam.param_groups]
    again = recurra.AdamW(groups)
    again.load_state_dict(adam.state_dict())
    assert again.param_groups == adam.param_groups


def test_decay_groups():
    model = make_model()
    decayed, spared = recurra.optim.decay_groups(model, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert decayed["names"] == [name for name in model.params if "bias" not in name]
    assert spared["names"] == [name for name in model.params if "bias" in name]
    decayed, spared = recurra.optim.decay_groups(model, 0.1, ["0.*", "*bias*"])
    assert decayed["names"] == ["1.weight_ih_l0", "1.weight_hh_l0", "2.weight"]
    (only,) = recurra.optim.decay_groups(recurra.Linear(2, 3, bias=False), 0.1)
    assert only["names"] == ["weight"]
    with refused(ValueError, "weight_decay"):
        recurra.optim.decay_groups(model, -1)
    with refused(ValueError, "names"):
        recurra.optim.decay_groups(model, 0.1, "*gain*")


@pytest.mark.parametrize(
    ("groups", "error", "name"),
    [
        (lambda layer: [{"params": layer}, layer], TypeError, r"model\[1\]"),
        (lambda layer: [{"layers": layer}], TypeError, r"model\[0\]"),
        (lambda layer: [{"params": layer, "rate": 1}], ValueError, r"model\[0\]"),
        (lambda layer: [{"params": layer}, {"params": layer}], ValueError, r"model\[1\]"),
        (lambda layer: [{"params": layer}, {"params": layer, "names": "bias"}], ValueError, r"model\[1\]"),
        (lambda layer: [{"params": [layer, layer]}], ValueError, "model"),
        (lambda _: [{"params": None}], TypeError, "model"),
        (lambda layer: [{"params": layer, "lr": -1}], ValueError, "lr"),
        (lambda layer: [{"params": layer, "betas": (1, 1)}], ValueError, "betas"),
    ],
)
def test_wrong_groups(groups, error, name):
    with refused(error, name):
        recurra.Adam(groups(recurra.Linear(2, 3, seed=0)))


# weights that layers share


def test_a_leaf_that_two_members_share_is_one():
    """An optimizer of a layer and of its cell steps once, and its norm counts it once."""
    layer, alone = recurra.LSTM(3, 5, seed=0), recurra.LSTM(3, 5, seed=0)
    cell = recurra.LSTMCell.from_layer(layer)
    norms = []
    for of, model in ((layer, [layer, cell]), (alone, alone)):
        adam = recurra.Adam(model, lr=0.1)
        for step in range(3):
            set_gradients(of, np.random.default_rng(step))
            norms.append(recurra.clip_grad_norm(model, 1e9))
            adam.step()
        assert adam.layers == [of]
    assert norms[:3] == norms[3:]
    assert_same_bits(layer.state_dict(), alone.state_dict())
    model = recurra.Sequential(layer, recurra.Linear(5, 2, seed=1))
    assert recurra.Adam([model, cell, layer]).layers == model.leaves()
    with refused(ValueError, r"model\[1\]"):
        recurra.Adam([{"params": layer}, {"params": cell}])
    only = recurra.Adam([{"params": cell, "names": "bias*"}])
    assert only.param_groups[0]["params"] == ["0.bias_ih_l0", "0.bias_hh_l0"]


def test_twins_with_gradients_of_their_own_are_refused():
    """Of weights that two share, one gradient would be lost."""
    layer = recurra.Linear(3, 2, seed=0)
    twin = copy.copy(layer)
    assert recurra.Adam([layer, twin]).layers == [layer]
    twin.grads = {name: value.copy() for name, value in layer.grads.items()}
    with refused(ValueError, "model"):
        recurra.Adam([layer, twin])

"""SGD, AdamW and clip_grad_norm: PyTorch's numbers, models of several layers, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused
from test_optim import TOLERANCE, every_dtype, set_gradients

STEPS = 100
SGD_OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "decay": {"momentum": 0.5, "weight_decay": 0.1},
}
ADAMW_OPTIONS = {"defaults": {}, "decay": {"lr": 0.01, "weight_decay": 0.3, "betas": (0.5, 0.9), "eps": 1e-4}}


def compare_with_torch(ours_of, theirs_of, dtype):
    """100 steps on the same gradients, which double the rate half way."""
    torch = pytest.importorskip("torch")
    layer = recurra.LSTM(3, 5, num_layers=2, dtype=dtype, seed=0)
    mine = {name: torch.nn.Parameter(torch.from_numpy(value)) for name, value in layer.state_dict().items()}
    ours, theirs = ours_of(layer), theirs_of(torch.optim, mine.values())
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        set_gradients(layer, rng, step)
        for name, parameter in mine.items():
            parameter.grad = torch.from_numpy(layer.grads[name].copy())
        if step == STEPS // 2:
            ours.lr *= 2
            theirs.param_groups[0]["lr"] *= 2
        ours.step()
        theirs.step()
    for name, parameter in mine.items():
        expected = parameter.detach().numpy()
        error = np.abs(layer.params[name] - expected) / np.maximum(1, np.abs(expected))
        assert error.max() <= TOLERANCE[dtype], f"{name} is off by {error.max():.2g}"


@every_dtype
@pytest.mark.parametrize("options", SGD_OPTIONS.values(), ids=SGD_OPTIONS)
def test_sgd_as_torch(options, dtype):
    compare_with_torch(
        lambda layer: recurra.SGD(layer, lr=1e-4, **options),
        lambda optim, parameters: optim.SGD(parameters, lr=1e-4, **options),
        dtype,
    )


@every_dtype
@pytest.mark.parametrize("options", ADAMW_OPTIONS.values(), ids=ADAMW_OPTIONS)
def test_adamw_as_torch(options, dtype):
    compare_with_torch(
        lambda layer: recurra.AdamW(layer, **options),
        lambda optim, parameters: optim.AdamW(parameters, **options),
        dtype,
    )


def test_sgd_by_hand():
    layer = recurra.Linear(2, 1, bias=False, dtype=np.float64, seed=0)
    weight = layer.state_dict()["weight"]
    sgd = recurra.SGD(layer, lr=0.5, momentum=0.5)
    layer.grads["weight"][...] = [[1.0, 2.0]]
    sgd.step()
    sgd.step()
    assert np.allclose(layer.params["weight"], weight - 0.5 * np.array([[1.0, 2.0]]) * (1 + 1.5), rtol=0, atol=1e-15)
    sgd.zero_grad()
    assert not layer.grads["weight"].any()


@pytest.mark.parametrize("make", [recurra.SGD, recurra.Adam, recurra.AdamW])
def test_a_refused_step_changes_no_layer(make):
    layers = [recurra.LSTM(2, 3, seed=0), recurra.Linear(3, 2, seed=1)]
    optimizer = make(layers, lr=0.1)
    before = [layer.state_dict() for layer in layers]
    for layer in layers:
        for gradient in layer.grads.values():
            gradient.fill(1)
    layers[1].grads["weight"] = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=r"^weight: expected .*got"):
        optimizer.step()
    assert_same_bits([layer.state_dict() for layer in layers], before)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"lr": -1.0}, ValueError, "lr"),
        ({"lr": "fast"}, TypeError, "lr"),
        ({"lr": math.nan}, ValueError, "lr"),
        ({"lr": 1.0, "momentum": -0.1}, ValueError, "momentum"),
        ({"lr": 1.0, "nesterov": True}, ValueError, "nesterov"),
        ({"lr": 1.0, "nesterov": 1}, TypeError, "nesterov"),
        ({"lr": 1.0, "weight_decay": -1}, ValueError, "weight_decay"),
    ],
)
def test_wrong_rates_are_refused(options, error, name):
    layer = recurra.Linear(2, 2, seed=0)
    with refused(error, name):
        recurra.SGD(layer, **options)


@pytest.mark.parametrize("model", [None, 3, "lstm", [], [None], {}])
def test_a_model_without_layers_is_refused(model):
    for call in (lambda: recurra.SGD(model, lr=1), lambda: recurra.clip_grad_norm(model, 1)):
        with pytest.raises((TypeError, ValueError), match=r"^model: expected .*got"):
            call()


def test_a_layer_twice_is_refused():
    layer = recurra.Linear(2, 2, seed=0)
    with refused(ValueError, "model"):
        recurra.SGD([layer, layer], lr=1)


@every_dtype
def test_clipping_as_torch(dtype):
    torch = pytest.importorskip("torch")
    layers = [recurra.GRU(3, 5, dtype=dtype, seed=0), recurra.Linear(5, 2, dtype=dtype, seed=1)]
    for scale in (1e-3, 1.0, 1e3):
        rng = np.random.default_rng(1)
        for layer in layers:
            set_gradients(layer, rng)
            for gradient in layer.grads.values():
                np.multiply(gradient, scale, out=gradient)
        theirs = [torch.nn.Parameter(torch.from_numpy(g.copy())) for layer in layers for g in layer.grads.values()]
        for parameter in theirs:
            parameter.grad = parameter.detach().clone()
        norm = torch.nn.utils.clip_grad_norm_(theirs, 2.5)
        assert math.isclose(recurra.clip_grad_norm(layers, 2.5), norm.item(), rel_tol=1e-5)
        ours = [g for layer in layers for g in layer.grads.values()]
        for gradient, parameter in zip(ours, theirs, strict=True):
            assert np.allclose(gradient, parameter.grad.numpy(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_reported_and_changes_nothing(bad):
    layer = recurra.Linear(2, 2, seed=0)
    layer.grads["weight"][...] = [[1, bad], [2, 3]]
    before = layer.grads["weight"].copy()
    with pytest.raises(FloatingPointError, match=r"^grads: expected a finite norm, got"):
        recurra.clip_grad_norm(layer, 1.0, error_if_nonfinite=True)
    with pytest.warns(RuntimeWarning, match=r"^grads: expected a finite norm, got"):
        norm = recurra.clip_grad_norm(layer, 1.0)
    assert not math.isfinite(norm)
    assert_same_bits(layer.grads["weight"], before)


def test_large_gradients_do_not_overflow_the_norm():
    layer = recurra.Linear(2, 2, bias=False, seed=0)
    layer.grads["weight"][...] = 3e38
    assert math.isclose(recurra.clip_grad_norm(layer, 1.0), 6e38, rel_tol=1e-6)


@pytest.mark.parametrize("limit", [0, -1, math.nan, math.inf, "1", None])
def test_a_wrong_limit_is_refused(limit):
    with pytest.raises((TypeError, ValueError), match=r"^max_norm: expected .*got"):
        recurra.clip_grad_norm(recurra.Linear(2, 2, seed=0), limit)

"""Schedules of rates: PyTorch's numbers, the published formulas, joining, saving, and what is refused."""

from __future__ import annotations

import io
import math
import pickle

import numpy as np
import pytest

import recurra
from recurra import schedules
from refused import refused

STEPS = 50
LR = 0.37
# Each as PyTorch takes it, `of` being either library's module.
MAKERS = {
    "constant": lambda of, opt: of.ConstantLR(opt, factor=0.25, total_iters=7),
    "constant defaults": lambda of, opt: of.ConstantLR(opt),
    "linear": lambda of, opt: of.LinearLR(opt, start_factor=0.01, end_factor=0.9, total_iters=20),
    "linear defaults": lambda of, opt: of.LinearLR(opt),
    "linear down": lambda of, opt: of.LinearLR(opt, start_factor=1.0, end_factor=0.0, total_iters=11),
    "step": lambda of, opt: of.StepLR(opt, 7, gamma=0.3),
    "multi-step": lambda of, opt: of.MultiStepLR(opt, [3, 30, 3, 12], gamma=0.5),
    "exponential": lambda of, opt: of.ExponentialLR(opt, 0.93),
    "cosine": lambda of, opt: of.CosineAnnealingLR(opt, 17, eta_min=0.01),
    "cosine once": lambda of, opt: of.CosineAnnealingLR(opt, 50),
    "cosine of one step": lambda of, opt: of.CosineAnnealingLR(opt, 1),
    "restarts": lambda of, opt: of.CosineAnnealingWarmRestarts(opt, 7),
    "longer restarts": lambda of, opt: of.CosineAnnealingWarmRestarts(opt, 4, 2, eta_min=0.02),
    "lambda": lambda of, opt: of.LambdaLR(opt, lambda step: 1 / (1 + step) ** 0.5),
    "warm-up, cosine": lambda of, opt: of.SequentialLR(
        opt, [of.LinearLR(opt, 0.1, total_iters=10), of.CosineAnnealingLR(opt, 40, 0.001)], [10]
    ),
    "three": lambda of, opt: of.SequentialLR(
        opt, [of.ConstantLR(opt, 0.1, 3), of.ExponentialLR(opt, 0.9), of.CosineAnnealingWarmRestarts(opt, 5)], [5, 20]
    ),
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def optimizer_of(lr=LR):
    return recurra.SGD(recurra.Linear(2, 3, seed=0), lr=lr)


def rates_of(opt, *steppers, steps=STEPS):
    """The rate of each step of the optimizer; every stepper is called in turn after it."""
    rates = []
    for i in range(steps):
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        for step in steppers:
            step(i)
    return np.array(rates)


def counted(*made):
    return [lambda _, one=one: one.step() for one in made]


def torch_optimizer(torch):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)


@every_maker
def test_torch(make):
    torch = pytest.importorskip("torch")
    opt, theirs = optimizer_of(), torch_optimizer(torch)
    expected = rates_of(theirs, *counted(make(torch.optim.lr_scheduler, theirs)))
    mine = make(schedules, opt)
    np.testing.assert_allclose(rates_of(opt, *counted(mine)), expected, rtol=1e-12, atol=1e-12 * LR)
    assert mine.last_lr == [opt.lr]
    assert mine.last_epoch == STEPS
    assert len(set(expected)) > 1


@pytest.mark.parametrize("pair", [("constant", "exponential"), ("linear", "cosine"), ("step", "multi-step")])
def test_two_on_one_optimizer_as_torch(pair):
    torch = pytest.importorskip("torch")
    opt, theirs = optimizer_of(), torch_optimizer(torch)
    expected = rates_of(theirs, *counted(*[MAKERS[name](torch.optim.lr_scheduler, theirs) for name in pair]))
    rates = rates_of(opt, *counted(*[MAKERS[name](schedules, opt) for name in pair]))
    np.testing.assert_allclose(rates, expected, rtol=1e-11, atol=1e-12 * LR)


PLATEAUS = {
    "defaults": {},
    "impatient": {"patience": 0, "factor": 0.5},
    "largest": {"mode": "max", "patience": 2, "threshold": 0.1, "factor": 0.7},
    "absolute": {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 3, "min_lr": 0.01},
    "absolute largest": {"mode": "max", "patience": 3, "threshold": 0.2, "threshold_mode": "abs", "min_lr": [0.1]},
    "coarse": {"patience": 0, "factor": 0.9, "eps": 0.02},
}


@pytest.mark.parametrize("options", PLATEAUS.values(), ids=PLATEAUS)
def test_plateau_as_torch(options):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    metrics = np.concatenate([2 / np.arange(1, 30), rng.normal(0, 0.3, 71)]).tolist()
    metrics[40] = math.nan
    opt, theirs = optimizer_of(), torch_optimizer(torch)
    their = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    mine = schedules.ReduceLROnPlateau(opt, **options)
    expected = rates_of(theirs, lambda i: their.step(metrics[i]), steps=100)
    rates = rates_of(opt, lambda i: mine.step(metrics[i]), steps=100)
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert len(set(rates)) > 1


def test_the_formulas():
    """Without PyTorch: each by its definition."""
    t = np.arange(STEPS)
    expected = {
        "constant": np.where(t < 7, 0.25, 1),
        "linear": 0.01 + 0.89 * np.minimum(t, 20) / 20,
        "step": 0.3 ** (t // 7),
        "multi-step": 0.5 ** (2.0 * (t >= 3) + (t >= 12) + (t >= 30)),
        "exponential": 0.93**t,
        "cosine once": (1 + np.cos(np.pi * t / 50)) / 2,
        "restarts": (1 + np.cos(np.pi * (t % 7) / 7)) / 2,
        "lambda": 1 / np.sqrt(1 + t),
    }
    for name, factors in expected.items():
        opt = optimizer_of()
        rates = rates_of(opt, *counted(MAKERS[name](schedules, opt)))
        np.testing.assert_allclose(rates, LR * factors, rtol=1e-12, atol=1e-15, err_msg=name)
    warm = np.where(t < 10, 0.1 + 0.9 * t / 10, 0) * LR
    down = 0.001 + (LR - 0.001) * (1 + np.cos(np.pi * (t - 10) / 40)) / 2
    opt = optimizer_of()
    rates = rates_of(opt, *counted(MAKERS["warm-up, cosine"](schedules, opt)))
    np.testing.assert_allclose(rates, np.where(t < 10, warm, down), rtol=1e-12)


def test_a_sequence_within_another():
    """PyTorch's inner one is a step ahead, as it is stepped when the outer one begins; here it isn't."""
    opt = optimizer_of(1.0)
    inner = schedules.SequentialLR(
        opt, [schedules.ConstantLR(opt, 0.25, 3), schedules.ExponentialLR(opt, 0.5)], milestones=[4]
    )
    outer = schedules.SequentialLR(opt, [inner, schedules.StepLR(opt, 2)], milestones=[6])
    rates = rates_of(opt, *counted(outer), steps=9)
    np.testing.assert_allclose(rates, [0.25, 0.25, 0.25, 1, 1, 0.5, 1, 1, 0.1], rtol=1e-15)


def test_a_plateau_by_hand():
    opt = optimizer_of(1.0)
    plateau = schedules.ReduceLROnPlateau(opt, factor=0.5, patience=1, cooldown=2, threshold=0.1)
    rates = []
    for metric in [5, 4, 3.9, 3.8, 3.7, 3.7, 3.7, 3.7]:  # 3.6 would be better than 4
        plateau.step(metric)
        rates.append(opt.lr)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def plateau_maker(of, opt):
    return of.ReduceLROnPlateau(opt, patience=1, cooldown=1)


@pytest.mark.parametrize("make", [*MAKERS.values(), plateau_maker], ids=[*MAKERS, "plateau"])
def test_a_saved_schedule_goes_on(make):
    """From a file, in another process as well as here: the optimizer's state and its schedule's."""

    def step(schedule, i):
        schedule.step(*([1 / (1 + i // 4)] if make is plateau_maker else []))

    opt = optimizer_of()
    schedule = make(schedules, opt)
    rates_of(opt, lambda i: step(schedule, i), steps=13)
    files = []
    for state in (opt.state_dict(), schedule.state_dict()):
        file = io.BytesIO()
        np.savez(file, **state)
        file.seek(0)
        files.append(np.load(file))
    expected = rates_of(opt, lambda i: step(schedule, 13 + i))
    twin = optimizer_of()
    other = make(schedules, twin)
    twin.load_state_dict(files[0])
    other.load_state_dict(files[1])
    assert other.last_epoch == 13
    assert other.last_lr == [twin.lr]
    np.testing.assert_array_equal(rates_of(twin, lambda i: step(other, 13 + i)), expected)


def test_it_pickles_with_its_optimizer():
    opt = optimizer_of()
    schedule = schedules.CosineAnnealingLR(opt, 10)
    schedule.step()
    other, twin = pickle.loads(pickle.dumps((opt, schedule)))
    schedule.step()
    twin.step()
    assert twin.optimizer is other
    assert other.lr == opt.lr < LR


def test_a_wrong_state_changes_nothing():
    opt = optimizer_of()
    for make in MAKERS.values():
        schedule = make(schedules, opt)
        schedule.step()
        right = schedule.state_dict()
        wrong = [(TypeError, None), (TypeError, [1]), (ValueError, {}), (ValueError, right | {"other": np.zeros(1)})]
        wrong += [(ValueError, {name: value for name, value in right.items() if name != left}) for left in right]
        wrong += [
            (ValueError, right | {"last_epoch": np.array(-1)}),
            (TypeError, right | {"last_epoch": np.array(0.5)}),
        ]
        wrong += [(ValueError, right | {"last_lr": value}) for value in (np.zeros(2), np.array([np.nan]), -np.ones(1))]
        wrong += [(TypeError, right | {name: np.array(["a"])}) for name in right]
        for error, state in wrong:
            with refused(error, r"[\w.]+"):
                schedule.load_state_dict(state)
            assert {k: v.tolist() for k, v in schedule.state_dict().items()} == {
                k: v.tolist() for k, v in right.items()
            }


WRONG = [
    ("factor", lambda opt: schedules.ConstantLR(opt, 1.5)),
    ("factor", lambda opt: schedules.ConstantLR(opt, "1")),
    ("total_iters", lambda opt: schedules.ConstantLR(opt, 0.5, 0)),
    ("start_factor", lambda opt: schedules.LinearLR(opt, 0)),
    ("end_factor", lambda opt: schedules.LinearLR(opt, 1, -0.1)),
    ("total_iters", lambda opt: schedules.LinearLR(opt, total_iters=2.5)),
    ("step_size", lambda opt: schedules.StepLR(opt, 0)),
    ("gamma", lambda opt: schedules.StepLR(opt, 3, -1)),
    ("gamma", lambda opt: schedules.ExponentialLR(opt, math.nan)),
    ("milestones", lambda opt: schedules.MultiStepLR(opt, 3)),
    ("milestones", lambda opt: schedules.MultiStepLR(opt, [0.5])),
    ("T_max", lambda opt: schedules.CosineAnnealingLR(opt, 0)),
    ("eta_min", lambda opt: schedules.CosineAnnealingLR(opt, 3, -1)),
    ("T_0", lambda opt: schedules.CosineAnnealingWarmRestarts(opt, 0)),
    ("T_mult", lambda opt: schedules.CosineAnnealingWarmRestarts(opt, 3, 1.5)),
    ("lr_lambda", lambda opt: schedules.LambdaLR(opt, 0.5)),
    ("lr_lambda", lambda opt: schedules.LambdaLR(opt, [abs, abs])),
    ("lr_lambda", lambda opt: schedules.LambdaLR(opt, lambda _: "1")),
    ("lr_lambda", lambda opt: schedules.LambdaLR(opt, lambda _: math.nan)),
    ("mode", lambda opt: schedules.ReduceLROnPlateau(opt, "least")),
    ("factor", lambda opt: schedules.ReduceLROnPlateau(opt, factor=1.0)),
    ("patience", lambda opt: schedules.ReduceLROnPlateau(opt, patience=-1)),
    ("threshold_mode", lambda opt: schedules.ReduceLROnPlateau(opt, threshold_mode=1)),
    ("min_lr", lambda opt: schedules.ReduceLROnPlateau(opt, min_lr=[0, 0])),
    ("metrics", lambda opt: schedules.ReduceLROnPlateau(opt).step(None)),
    ("schedulers", lambda opt: schedules.SequentialLR(opt, [], [])),
    ("schedulers", lambda opt: schedules.SequentialLR(opt, [schedules.ReduceLROnPlateau(opt)], [])),
    ("schedulers", lambda opt: schedules.SequentialLR(opt, [schedules.ExponentialLR(optimizer_of(), 1)], [])),
    ("schedulers", lambda opt: schedules.SequentialLR(opt, [schedules.ExponentialLR(opt, 1)] * 2, [1])),
    ("milestones", lambda opt: schedules.SequentialLR(opt, [schedules.ExponentialLR(opt, 1)], [3])),
    (
        "milestones",
        lambda opt: schedules.SequentialLR(opt, [schedules.ExponentialLR(opt, 1) for _ in range(3)], [3, 3]),
    ),
]


@pytest.mark.parametrize(("name", "call"), WRONG)
def test_wrong_arguments(name, call):
    opt = optimizer_of()
    with refused((TypeError, ValueError), name):
        call(opt)
    assert opt.lr == LR


@pytest.mark.parametrize("value", [None, 3, recurra.SGD, recurra.Linear(2, 2)])
def test_what_is_no_optimizer(value):
    for make in (*list(MAKERS.values())[:-2], plateau_maker):
        with refused(TypeError, "optimizer"):
            make(schedules, value)


def test_a_function_that_fails_changes_nothing():
    opt = optimizer_of()
    schedule = schedules.LambdaLR(opt, lambda step: 0.5 if step < 2 else -1)
    schedule.step()
    with refused(ValueError, "lr_lambda"):
        schedule.step()
    assert (opt.lr, schedule.last_epoch) == (LR / 2, 1)


def test_rates_beyond_all_numbers_are_refused():
    opt = optimizer_of(2.0**1000)
    schedule = schedules.ExponentialLR(opt, 2.0**20)
    schedule.step()
    with refused(ValueError, "lr"):
        schedule.step()
    assert opt.lr == 2.0**1020


def test_a_group_is_a_mapping():
    opt = optimizer_of()
    (group,) = opt.param_groups
    group["lr"] = 0.5
    assert opt.lr == group["lr"] == 0.5
    with refused(ValueError, "lr"):
        group["lr"] = -1
    with pytest.raises(KeyError):
        group["rate"] = 1
    with pytest.raises(TypeError):
        del group["lr"]
    schedules.StepLR(opt, 3)
    assert group["initial_lr"] == 0.5

"""fit's metrics, schedules, accumulated batches, sums over processes, and options of batches."""

from __future__ import annotations

import math
import sys
import types

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import schedules
from refused import refused
from test_fit import B, F, T, at_batch, make_batches, make_model, refuses, train

# ---- Metrics


def largest(prediction, target):
    return float(np.abs(prediction - target).max())


def test_metrics():
    """Of the predictions that are made anyway, averaged like the losses; in training before the steps."""
    batches, validation = make_batches(3), make_batches(2, seed=9)
    model, twin = make_model(), make_model()
    history = train(model, batches, epochs=2, validation=validation, metrics={"largest": largest, "mse again": again})
    assert list(history.metrics) == list(history.validation_metrics) == ["largest", "mse again"]
    assert history.metrics["mse again"] == history.losses
    assert history.validation_metrics["mse again"] == history.validation
    optimizer, expected, validated = recurra.Adam(twin, lr=0.01), [], []
    for _ in range(2):
        values = []
        for x, target in batches:
            y, tape = twin.forward(x)
            values.append(largest(y, target))
            twin.zero_grad()
            twin.backward(tape, recurra.mse(y, target)[1])
            optimizer.step()
        expected.append(sum(values) / 3)
        validated.append(sum(largest(twin(x), target) for x, target in validation) / 2)
    assert history.metrics["largest"] == expected
    assert history.validation_metrics["largest"] == validated
    assert_same_bits(model.state_dict(), twin.state_dict())
    assert train(metrics={"a": largest}).validation_metrics == {}
    assert list(train(metrics={"a": largest}, patience=3).validation_metrics) == ["a"]


def again(prediction, target):
    return recurra.mse(prediction, target)[0]


@pytest.mark.parametrize("batch_first", [False, True])
def test_metrics_of_real_steps(batch_first):
    """`accuracy` is given lengths; batches count by their steps."""
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((n, F)).astype(np.float32) for n in (5, 2, 1, 4, 3, 3, 1)]
    targets = [(sequence[:, 0] > 0).astype(int) for sequence in sequences]
    data = recurra.batches(sequences, targets, 3, batch_first=batch_first)
    model = recurra.Sequential(recurra.GRU(F, 8, batch_first=batch_first, seed=0), recurra.Linear(8, 2, seed=1))
    optimizer = types.SimpleNamespace(step=lambda: None)
    options = {"metrics": {"accuracy": recurra.accuracy}, "validation": data}
    history = recurra.fit(model, data, recurra.cross_entropy, optimizer, **options)
    right = [model(x).argmax(-1) == t for x, t in zip(sequences, targets, strict=True)]
    assert history.metrics["accuracy"] == pytest.approx([np.concatenate(right).mean()])
    assert history.metrics == history.validation_metrics
    assert history.rates == []


def test_a_metric_says_what_it_is_a_mean_of():
    """By its second result; what is of nothing, NaN as it may be, has no part, in several processes either."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 5, 3, F)).astype(np.float32)
    classes = rng.integers(0, 2, (4, 5, 3))
    classes[0, :2], classes[1], classes[2, 1:] = -1, -1, -1

    def counted(y, target):
        return recurra.accuracy(y, target, ignore_index=-1), np.count_nonzero(target >= 0)

    def loss(y, target):
        return recurra.cross_entropy(y, np.maximum(target, 0))

    model = recurra.Sequential(recurra.GRU(F, 8, seed=0), recurra.Linear(8, 2, seed=1))
    optimizer = types.SimpleNamespace(step=lambda: None)
    options = {"metrics": {"accuracy": counted}, "validation": list(zip(x, classes, strict=True))}
    right = (np.stack([model(one) for one in x]).argmax(-1) == classes)[classes >= 0].mean()
    for reduce in (None, lambda _: None):
        history = recurra.fit(model, options["validation"], loss, optimizer, reduce=reduce, **options)
        assert history.metrics["accuracy"] == pytest.approx(
            [right], rel=1e-6
        )  # sums are float32 where they are reduced
        assert history.validation_metrics["accuracy"] == pytest.approx([right], rel=1e-6)


@pytest.mark.parametrize("value", [None, "a", 1j, (1.0, 2.0, 3.0), (1.0, -1.0), (1.0, "a"), ("a", 1.0), np.ones(2)])
def test_metrics_that_are_no_numbers_are_named(value):
    with pytest.raises((TypeError, ValueError), match=r"^metrics\['a'\]: expected a number"):
        train(metrics={"a": lambda *_: value})


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", ["batches", "validation"])
def test_batches_lie_as_the_model_reads_them(first, name):
    """Where there are as many steps as sequences nothing else would tell."""
    x = list(np.zeros((5, 5, F), np.float32))
    right, wrong = (recurra.batches(x, np.zeros(5, int), 5, batch_first=one) for one in (first, not first))
    model = recurra.Sequential(recurra.GRU(F, 8, batch_first=first, seed=0), recurra.Last(batch_first=first))
    given = {"batches": right, "validation": right} | {name: wrong}
    with refused(ValueError, name, dict(model.params)):
        recurra.fit(model, given["batches"], recurra.cross_entropy, recurra.Adam(model), validation=given["validation"])


# ---- Schedules


def test_schedules_by_epoch():
    model, twin, rates = make_model(), make_model(), []
    optimizer, other = recurra.Adam(model, lr=0.1), recurra.Adam(twin, lr=0.1)
    schedule = schedules.StepLR(optimizer, 2, gamma=0.5)
    history = recurra.fit(
        model,
        make_batches(),
        recurra.mse,
        optimizer,
        epochs=5,
        schedule=schedule,
        callback=lambda _: rates.append(optimizer.lr),
    )
    assert history.rates == [0.1, 0.1, 0.05, 0.05, 0.025]
    assert rates == [0.1, 0.05, 0.05, 0.025, 0.025]  # a callback comes after the schedule, and may say otherwise
    for rate in history.rates:
        other.lr = rate
        recurra.fit(twin, make_batches(), recurra.mse, other)
    assert_same_bits(model.state_dict(), twin.state_dict())


def test_schedules_by_step():
    model = make_model()
    optimizer = recurra.SGD(model, lr=1.0)
    schedule = schedules.ExponentialLR(optimizer, 0.5)
    history = recurra.fit(
        model, make_batches(), recurra.mse, optimizer, epochs=2, schedule=schedule, schedule_every="step", accumulate=2
    )
    assert schedule.last_epoch == 6  # two whole steps and one of the last batch, twice
    assert history.rates == [1 / 4, 1 / 32]
    assert optimizer.lr == 1 / 64


def test_a_skipped_batch_is_no_step():
    model = make_model()
    optimizer = recurra.SGD(model, lr=0.1)
    schedule = schedules.ExponentialLR(optimizer, 0.5)
    options = {"schedule": schedule, "schedule_every": "step", "nonfinite": "skip"}
    recurra.fit(model, make_batches(), at_batch(2), optimizer, **options)
    assert schedule.last_epoch == 4


@pytest.mark.parametrize("validated", [False, True])
def test_plateaus_look_at_the_validation(validated):
    model, seen = make_model(), []
    optimizer = recurra.Adam(model, lr=0.1)

    class Plateau(schedules.ReduceLROnPlateau):
        def step(self, metrics):
            seen.append(metrics)
            super().step(metrics)

    options = {"validation": make_batches(1, seed=5)} if validated else {}
    schedule = Plateau(optimizer, patience=0, threshold=10.0, threshold_mode="abs")
    history = recurra.fit(model, make_batches(), recurra.mse, optimizer, epochs=3, schedule=schedule, **options)
    assert seen == (history.validation if validated else history.losses)
    assert history.rates == pytest.approx([0.1, 0.1, 0.01])


def test_schedules_of_ones_own():
    """Anything with step()."""
    counts = types.SimpleNamespace(steps=0)
    counts.step = lambda: setattr(counts, "steps", counts.steps + 1)
    train(epochs=3, schedule=counts)
    assert counts.steps == 3


# ---- Accumulated batches


def joined(batches):
    return tuple(np.concatenate(arrays, axis=1) for arrays in zip(*batches, strict=True))


def unequal(count=5, seed=0):
    """Batches of different numbers of sequences."""
    return [tuple(array[:, : 1 + i % B] for array in batch) for i, batch in enumerate(make_batches(count, seed))]


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_accumulated_batches_are_one(k):
    """Of different sizes, the last group of an epoch incomplete."""
    batches = unequal()
    whole = [joined(batches[begin : begin + k]) for begin in range(0, 5, k)]
    model, twin, first = make_model(), make_model(), make_model()
    history = train(model, batches, epochs=3, accumulate=k, clip_norm=0.3)
    expected = train(twin, whole, epochs=3, clip_norm=0.3)
    assert history.losses == pytest.approx(expected.losses, rel=1e-5)
    assert history.norms == pytest.approx(expected.norms, rel=1e-5)
    train(first, batches, epochs=3, clip_norm=0.3)
    for name, value in model.params.items():
        np.testing.assert_allclose(value, twin.params[name], atol=2e-6)
    assert any(np.abs(value - first.params[name]).max() > 1e-3 for name, value in model.params.items())


def test_accumulated_gradients_of_equal_batches():
    """Exactly the sum, divided by how many there are."""
    batches, model = make_batches(4), make_model()
    sums = {name: np.zeros_like(value) for name, value in model.params.items()}
    for x, target in batches:
        y, tape = model.forward(x)
        model.backward(tape, recurra.mse(y, target)[1], grads=sums)
    seen = {}
    optimizer = types.SimpleNamespace(step=lambda: seen.update({k: v.copy() for k, v in model.grads.items()}))
    recurra.fit(model, batches, recurra.mse, optimizer, accumulate=4)
    assert_same_bits(seen, {name: value / 4 for name, value in sums.items()})


def test_accumulated_gradients_of_several_outputs():
    """Batches of different sizes, whose losses return a tuple of gradients, one of them perhaps None."""

    def loss(y, target):
        value, gradient = recurra.mse(y[0], target)
        return value, (gradient, None)

    def model():
        return recurra.Parallel(recurra.Linear(F, 2, seed=1), recurra.Linear(F, 1, seed=2), join="tuple")

    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((7, F)).astype(np.float32), rng.standard_normal((7, 2)).astype(np.float32)
    one, other = model(), model()
    recurra.fit(one, [(x[:5], target[:5]), (x[5:], target[5:])], loss, recurra.SGD(one, 0.1), accumulate=2)
    recurra.fit(other, [(x, target)], loss, recurra.SGD(other, 0.1))
    for name, value in one.params.items():
        np.testing.assert_allclose(value, other.params[name], atol=1e-6)


def test_accumulated_lengths_and_counts_of_ones_own():
    """Batches count by their real steps, or by what a loss says its mean is of."""
    lengths = [np.array([6, 2, 0, 5]), np.array([1, 1, 2, 0])]
    batches = [(x, target, n) for (x, target), n in zip(make_batches(2), lengths, strict=True)]
    whole = [(*joined([batch[:2] for batch in batches]), np.concatenate(lengths))]
    model, twin = make_model(), make_model()
    train(model, batches, accumulate=2)
    train(twin, whole)
    for name, value in model.params.items():
        np.testing.assert_allclose(value, twin.params[name], atol=1e-6)

    def loss(y, target, lengths):
        within = np.arange(T)[:, None] < lengths
        value, gradient = recurra.mse(y, target, position_weights=within)
        return value, gradient, within.sum()

    own = make_model()
    history = train(own, batches, loss, accumulate=2)
    assert_same_bits(own.state_dict(), model.state_dict())
    values = [loss(make_model()(x, lengths=n), target, n) for x, target, n in batches]
    assert history.losses[0] == pytest.approx(sum(v * n for v, _, n in values) / sum(n for *_, n in values), rel=1e-5)
    for wrong in (-1, math.nan, None):
        with refused(TypeError if wrong is None else ValueError, "loss"):
            train(loss=lambda y, t, wrong=wrong: (*recurra.mse(y, t), wrong))


def test_accumulated_states_are_carried():
    model, twin = make_model(), make_model()
    train(model, make_batches(4), carry_state=True, accumulate=4)
    x, target = (np.concatenate(arrays) for arrays in zip(*make_batches(4), strict=True))
    y, tape = twin.forward(x)
    assert recurra.mse(y, target)[0] > 0
    state, sums = None, {name: np.zeros_like(value) for name, value in twin.params.items()}
    for part, expected in make_batches(4):
        y, tape = twin.forward(part, state)
        state = tape.state
        twin.backward(tape, recurra.mse(y, expected)[1], grads=sums)
    for name, value in sums.items():
        for leaf, prefix in zip(twin.leaves(), ("0.", "2."), strict=True):
            if name.startswith(prefix):
                leaf.grads[name.removeprefix(prefix)][...] = value / 4
    recurra.Adam(twin, lr=0.01).step()
    assert_same_bits(model.state_dict(), twin.state_dict())


def test_a_group_that_is_not_finite_is_skipped_whole():
    model, twin = make_model(), make_model()
    batches = make_batches(6)
    history = train(model, batches, at_batch(4), accumulate=2, nonfinite="skip", carry_state=True)
    train(twin, [*batches[:2], *batches[4:]], accumulate=2, carry_state=True)
    assert history.skipped == 2
    assert_same_bits(model.state_dict(), twin.state_dict())
    with pytest.raises(FloatingPointError, match="in batches 2 to 3 of epoch 0"):
        train(make_model(), batches, at_batch(4), accumulate=2, nonfinite="raise")


# ---- Sums over processes: here in one


def test_reduce_is_given_one_flat_array():
    """All gradients in order, then loss and metrics, each with its count; what it says is what the step does."""
    model, batches, given = make_model(), make_batches(2), []

    def reduce(array):
        assert array.ndim == 1
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable
        given.append(array.copy())

    metrics = {"largest": largest}
    history = train(model, batches, reduce=reduce, metrics=metrics, validation=batches)
    weights = sum(value.size for value in model.params.values())
    assert [array.size for array in given] == [weights + 4] * 2 + [4]
    first = make_model()
    y, tape = first.forward(batches[0][0])
    value, gradient = recurra.mse(y, batches[0][1])
    first.backward(tape, gradient)
    flat = np.concatenate([value.ravel() for value in first.grads.values()]) * y.size
    sums = [value * y.size, y.size, largest(y, batches[0][1]) * y.size, y.size]
    np.testing.assert_allclose(given[0], np.concatenate([flat, sums]), rtol=1e-6)
    assert history.validation[0] == pytest.approx(given[2][0] / given[2][1])
    assert history.validation_metrics["largest"][0] == pytest.approx(given[2][2] / given[2][3])
    assert history.losses[0] == pytest.approx(np.mean([array[weights] / array[weights + 1] for array in given[:2]]))


@pytest.mark.parametrize("how", ["in place", "returned", "averaged"])
def test_two_equal_processes_are_one(how):
    """What adds two equal arrays up changes nothing, and neither does it to average them."""

    def reduce(array):
        if how == "returned":
            return array * 2
        if how == "in place":
            array *= 2
        return None

    model, twin = make_model(), make_model()
    history = train(model, unequal(), reduce=reduce, epochs=3, clip_norm=0.3, accumulate=2, patience=5)
    expected = train(twin, unequal(), epochs=3, clip_norm=0.3, accumulate=2, patience=5)
    for name in ("losses", "validation", "norms"):
        assert getattr(history, name) == pytest.approx(getattr(expected, name), rel=1e-5)
    for name, value in model.params.items():
        np.testing.assert_allclose(value, twin.params[name], atol=2e-6)


def test_the_gradient_that_another_process_adds():
    """Here zeros of three times as many elements: the gradient and the loss become a quarter."""
    seen, model, batch = {}, make_model(), make_batches(1)
    optimizer = types.SimpleNamespace(step=lambda: seen.update({k: v.copy() for k, v in model.grads.items()}))

    def reduce(array):
        array[-1] += 3 * T * B

    history = recurra.fit(model, batch, recurra.mse, optimizer, reduce=reduce)
    y, tape = make_model().forward(batch[0][0])
    value, gradient = recurra.mse(y, batch[0][1])
    twin = make_model()
    y, tape = twin.forward(batch[0][0])
    twin.backward(tape, gradient)
    assert history.losses[0] == pytest.approx(value / 4)
    for name, array in seen.items():
        np.testing.assert_allclose(array, twin.grads[name] / 4, rtol=1e-6)


@pytest.mark.parametrize("where", ["here", "there", "gradient"])
@pytest.mark.parametrize("nonfinite", ["stop", "skip", "raise"])
def test_what_is_not_finite_in_one_process_is_decided_after_the_sum(where, nonfinite):
    """So that all do the same: the function is called, and its result has NaN for everyone."""
    calls, model = [], make_model()

    def reduce(array):
        calls.append(np.isnan(array).any())
        if where == "there" and len(calls) == 3:
            array[:] = np.nan
        if where == "gradient" and len(calls) == 3:
            array[0] = np.inf

    loss = at_batch(3) if where == "here" else recurra.mse
    if nonfinite == "raise":
        with pytest.raises(FloatingPointError, match="in batch 2 of epoch 0"):
            train(model, loss=loss, reduce=reduce, nonfinite="raise")
    else:
        history = train(model, loss=loss, reduce=reduce, nonfinite=nonfinite)
        assert (history.skipped, history.stopped) == ((1, "epochs") if nonfinite == "skip" else (0, "nonfinite"))
    assert calls == [False, False, where == "here"] + [False] * 2 * (nonfinite == "skip")
    twin = make_model()
    chosen = [batch for i, batch in enumerate(make_batches()) if i < 2 or (nonfinite == "skip" and i > 2)]
    train(twin, chosen, reduce=lambda _: None)
    assert_same_bits(model.state_dict(), twin.state_dict())


def test_reduce_returns_an_array_like_its_own():
    for wrong in (3, [1.0], np.zeros(2, np.float32), np.zeros(1000)):
        with refused(TypeError, "reduce"):
            train(reduce=lambda _, wrong=wrong: wrong)


# ---- Options of batches


def test_resets_of_batches():
    model, twin = make_model(), make_model()
    resets = np.random.default_rng(0).random((T, B)) < 0.3
    batches = [(*batch, None, {"resets": resets}) for batch in make_batches()]
    history = train(model, batches, epochs=2, validation=batches, carry_state=True)
    optimizer = recurra.Adam(twin, lr=0.01)
    for _ in range(2):
        state = None
        for x, target, *_ in batches:
            y, tape = twin.forward(x, state, resets=resets)
            twin.zero_grad()
            twin.backward(tape, recurra.mse(y, target)[1])
            optimizer.step()
            state = tape.state
    assert_same_bits(model.state_dict(), twin.state_dict())
    state, values = None, []
    for x, target, *_ in batches:
        y, state = model.run(x, state, resets=resets)
        values.append(recurra.mse(y, target)[0])
    assert history.validation[-1] == sum(values) / 5


# ---- History


def test_the_bar_shows_metrics(monkeypatch):
    bars = []
    monkeypatch.setitem(
        sys.modules, "tqdm", types.SimpleNamespace(tqdm=lambda items, desc, **_: bars.append(desc) or items)
    )
    history = train(epochs=2, progress=True, metrics={"a": largest}, validation=make_batches(1))
    reached = f", loss {history.losses[0]:.4g}, a {history.validation_metrics['a'][0]:.4g}"
    assert bars == ["epoch 1/2", "epoch 2/2" + reached]


def test_metrics_and_rates_are_plotted(tmp_path):
    pytest.importorskip("matplotlib")
    model = make_model()
    optimizer = recurra.Adam(model, lr=0.1)
    schedule = schedules.ExponentialLR(optimizer, 0.5)
    options = {"validation": make_batches(1), "metrics": {"the largest error": largest}}
    history = recurra.fit(model, make_batches(), recurra.mse, optimizer, epochs=3, schedule=schedule, **options)
    assert list(history._panels()) == ["loss", "the largest error", "learning rate"]
    history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


# ---- Errors


def test_errors_of_arguments():
    for wrong in (3, [largest]):
        refuses(TypeError, "metrics", metrics=wrong)
    refuses(TypeError, "metrics", metrics={1: largest})
    refuses(TypeError, r"metrics\['a'\]", metrics={"a": 1})
    for wrong in (3, schedules.StepLR, object()):
        refuses(TypeError, "schedule", schedule=wrong)
    refuses(ValueError, "schedule", schedule=schedules.StepLR(recurra.Adam(make_model()), 2))
    model = make_model()
    optimizer = recurra.Adam(model)
    plateau = schedules.ReduceLROnPlateau(optimizer)
    refuses(ValueError, "schedule_every", model=model, optimizer=optimizer, schedule=plateau, schedule_every="step")
    refuses(ValueError, "schedule_every", schedule_every="batch")
    refuses(TypeError, "schedule_every", schedule_every=1)
    for error, wrong in ((TypeError, 1.0), (ValueError, 0), (TypeError, True)):
        refuses(error, "accumulate", accumulate=wrong)
    refuses(TypeError, "reduce", reduce=3)
    relu = recurra.Sequential(recurra.ReLU())
    for name, value in (("accumulate", 2), ("reduce", lambda _: None)):
        refuses(ValueError, name, model=relu, optimizer=types.SimpleNamespace(step=print), **{name: value})


def test_errors_of_batches():
    x, target = make_batches()[0]
    for wrong in ((x, target, None, None), (x, target, None, [1]), (x, target, None, {}, 1)):
        refuses(TypeError, "batches", batches=[wrong])
    for name in ("state", "lengths", "rng"):
        refuses(ValueError, "batches", batches=[(x, target, None, {name: None})])


# ---- Gradients of some rows


def words(sparse):
    return recurra.Sequential(
        recurra.Embedding(50, 4, seed=0, sparse=sparse), recurra.GRU(4, 6, seed=1), recurra.Linear(6, 50, seed=2)
    )


@pytest.mark.parametrize("nonfinite", [False, True])
@pytest.mark.parametrize("options", [{"accumulate": 3}, {"reduce": lambda array: array * 2}, {}], ids=str)
def test_gradients_of_some_rows(options, nonfinite):
    """Are accumulated and added up like whole ones; to SGD they are the same."""
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 20, (7, 1 + i)) for i in range(4)]
    histories, models = [], []
    for sparse in (True, False):
        model = words(sparse)
        loss = recurra.cross_entropy
        if nonfinite:
            calls = []
            loss = lambda y, t, calls=calls: (  # noqa: E731
                calls.append(0) or (math.nan if len(calls) == 4 else recurra.cross_entropy(y, t)[0]),
                recurra.cross_entropy(y, t)[1],
            )
        batches = [(one, one) for one in tokens]
        histories.append(
            recurra.fit(model, batches, loss, recurra.SGD(model, lr=0.5), epochs=3, nonfinite="skip", **options)
        )
        models.append(model)
    assert histories[0].losses == pytest.approx(histories[1].losses, rel=1e-5)
    assert histories[0].losses[-1] < histories[0].losses[0]
    for name, value in models[0].params.items():
        np.testing.assert_allclose(value, models[1].params[name], atol=1e-5)
    assert models[0][0].grads["weight"].rows.size <= 20


# ---- Layers of somebody else's


class Scale:
    """A layer with arrays of its own: y = factor x."""

    def __init__(self):
        self.params, self.grads = {"factor": np.full(1, 0.5)}, {"factor": np.zeros(1)}

    def leaves(self):
        return [self]

    def zero_grad(self):
        self.grads["factor"][...] = 0

    def run(self, x, state=None):
        return x * self.params["factor"], state

    def forward(self, x):
        return x * self.params["factor"], x

    def backward(self, tape, dy, *, need_dx=True):
        assert not need_dx
        self.grads["factor"] += (dy * tape).sum()


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"reduce": lambda array: array * 3}], ids=str)
def test_layers_of_somebody_elses(options):
    model, twin = Scale(), Scale()
    x = np.random.default_rng(0).standard_normal((4, 3, 2))
    history = recurra.fit(
        model, [(one, 2 * one) for one in x], recurra.mse, recurra.SGD(model, lr=0.1), epochs=30, **options
    )
    size = options.get("accumulate", 1) * 3
    joined = x.reshape(-1, size, 2)
    recurra.fit(twin, [(one, 2 * one) for one in joined], recurra.mse, recurra.SGD(twin, lr=0.1), epochs=30)
    np.testing.assert_allclose(model.params["factor"], twin.params["factor"], rtol=1e-12)
    assert history.losses[-1] < 1e-3 * history.losses[0]

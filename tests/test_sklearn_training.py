"""recurra.sklearn learns: digits, sums and parities of ragged sequences, quantiles; and trains as it is told."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from configs import assert_same_bits

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split

import recurra
from recurra.sklearn import RecurrentClassifier, RecurrentForecaster, RecurrentRegressor
from recurra.sklearn.objective import Weighted
from recurra.sklearn.sequences import Samples, of_lengths


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X.reshape(-1, 8, 8), y, random_state=0, stratify=y)


def sums(rng, count):
    """Ragged sequences, and the sum of the first feature where the second is 1."""
    X = [rng.standard_normal((length, 2)) for length in rng.integers(1, 12, count)]
    for one in X:
        one[:, 1] = rng.integers(0, 2, len(one))
    return X, np.array([(one[:, 0] * one[:, 1]).sum() for one in X])


def parities(rng, count):
    """Ragged series of bits, and after each step whether there was an odd number of ones."""
    X = [rng.integers(0, 2, (length, 1)).astype(float) for length in rng.integers(1, 10, count)]
    return X, [np.where(one[:, 0].cumsum() % 2, "odd", "even") for one in X]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_digits_as_eight_rows(digits, cell):
    X, X_test, y, y_test = digits
    model = RecurrentClassifier(cell, random_state=0, early_stopping=True).fit(X, y)
    assert model.score(X_test, y_test) > 0.95
    proba = model.predict_proba(X_test)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(proba), model.predict_log_proba(X_test), atol=1e-9)
    assert np.array_equal(model.decision_function(X_test).argmax(axis=1), model.predict(X_test))


def test_sums_of_ragged_sequences():
    rng = np.random.default_rng(0)
    model = RecurrentRegressor(random_state=0, max_epochs=40).fit(*sums(rng, 500))
    assert model.score(*sums(rng, 200)) > 0.97


def test_parity_at_every_step():
    rng = np.random.default_rng(0)
    model = RecurrentClassifier("lstm", output="steps", random_state=0, max_epochs=60).fit(*parities(rng, 300))
    X, y = parities(rng, 100)
    assert model.score(X, y) > 0.99
    assert list(model.classes_) == ["even", "odd"]
    logits, proba = model.decision_function(X), model.predict_proba(X)
    for one, p, labels in zip(logits, proba, model.predict(X), strict=True):
        assert np.array_equal(one > 0, labels == "odd")
        np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-one)))


def test_quantiles_cover_what_they_say():
    """Noise whose width depends on the sequence."""
    rng = np.random.default_rng(0)

    def draw(count):
        X = rng.uniform(-1, 1, (count, 6, 1))
        width = 0.2 + np.abs(X.mean(axis=1))[:, 0]
        return X, X[:, -1, 0] + width * rng.standard_normal(count)

    model = RecurrentRegressor(quantiles=(0.9, 0.1, 0.25), random_state=0, learning_rate=0.005, max_epochs=20)
    model.fit(*draw(2500))
    X, y = draw(3000)
    high, low, quarter = model.predict_quantiles(X).T
    for level, predicted in [(0.9, high), (0.1, low), (0.25, quarter), (0.5, model.predict(X))]:
        assert abs((y < predicted).mean() - level) < 0.05
    assert (low <= quarter).all()
    assert (quarter <= high).all()


def test_quantiles_are_of_their_outputs():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3, 1))
    y = np.stack([X.sum(axis=(1, 2)), -5 * X[:, 0, 0] + 100], axis=1)
    model = RecurrentRegressor(quantiles=(0.3, 0.7), random_state=0, max_epochs=60).fit(X, y)
    assert model.score(X, y) > 0.95
    np.testing.assert_allclose(model.predict_quantiles(X).mean(axis=2), y, atol=2)


def test_huber_and_losses_of_ones_own():
    rng = np.random.default_rng(0)
    X, y = sums(rng, 100)
    fitted = partial(RecurrentRegressor, hidden_size=8, max_epochs=5, random_state=0)
    huber = fitted(loss="huber").fit(X, y).predict(X)
    assert_same_bits(huber, fitted(loss=recurra.huber).fit(X, y).predict(X))
    assert not np.array_equal(huber, fitted().fit(X, y).predict(X))


def test_class_weights():
    """Balanced, the rare class counts; a dict says the same by its numbers; a class of weight 0 isn't learned."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4, 1))
    y = np.where(X.sum(axis=(1, 2)) + rng.standard_normal(400) > 3.2, "rare", "usual")
    fitted = partial(RecurrentClassifier, hidden_size=8, max_epochs=15, random_state=0)
    plain, balanced = (fitted(class_weight=weight).fit(X, y) for weight in (None, "balanced"))
    scores = [balanced_accuracy_score(y, model.predict(X)) for model in (plain, balanced)]
    assert scores[1] > scores[0] + 0.05
    weights = {label: 400 / 2 / (y == label).sum() for label in ("rare", "usual")}
    assert_same_bits(balanced.predict_proba(X), fitted(class_weight=weights).fit(X, y).predict_proba(X))
    assert (fitted(class_weight={"rare": 0}).fit(X, y).predict(X) == "usual").all()
    unscaled = fitted(standardize=False)  # as scaling depends on the samples' weights, but not on the classes'
    by_sample = unscaled.fit(X, y, sample_weight=np.array([weights[label] for label in y])).predict_proba(X)
    assert_same_bits(by_sample, clone(unscaled).set_params(class_weight=weights).fit(X, y).predict_proba(X))


def test_weights_of_steps():
    """Steps of weight 0 don't count, whatever their targets."""
    rng = np.random.default_rng(0)
    X, y = sums(rng, 50)
    y = [one[:, 0].cumsum() for one in X]
    counts = [rng.integers(0, 2, len(one)) for one in X]
    wrong = [np.where(count, one, 1e6) for one, count in zip(y, counts, strict=True)]
    fitted = partial(RecurrentRegressor, output="steps", hidden_size=8, max_epochs=3, random_state=0)
    first, second = (fitted().fit(X, target, sample_weight=counts).predict(X) for target in (y, wrong))
    assert_same_bits(np.concatenate(first), np.concatenate(second))
    by_sequence = np.array([count.max() for count in counts])
    whole = [np.full(len(one), weight) for one, weight in zip(X, by_sequence, strict=True)]
    first, second = (fitted().fit(X, y, sample_weight=weights).predict(X) for weights in (by_sequence, whole))
    assert_same_bits(np.concatenate(first), np.concatenate(second))


@pytest.mark.parametrize("weighted", [False, True])
def test_padding_has_no_part_in_the_loss(weighted):
    """A ragged batch's value and gradient are those of its real steps in a row."""
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 4])
    flat, targets, weights = rng.standard_normal((8, 2)), rng.standard_normal((8, 1)), rng.uniform(0.1, 2, 8)
    samples = Samples(of_lengths(flat, lengths, "list"), targets, weights if weighted else None, True)
    x, target, given = samples.batch(np.arange(3))
    prediction = rng.standard_normal((*x.shape[:2], 1))
    value, gradient = Weighted(recurra.mse)(prediction, target, given)
    real = (np.arange(4)[:, None] < lengths).T
    errors = prediction.swapaxes(0, 1)[real] - targets
    shares = weights[:, None] / 8 if weighted else np.full((8, 1), 1 / 8)
    assert value == pytest.approx((shares * errors**2).sum())
    np.testing.assert_allclose(gradient.swapaxes(0, 1)[real], 2 * shares * errors)
    assert not gradient.swapaxes(0, 1)[~real].any()


def test_light_batches_move_less():
    """So that the gradients of an epoch's batches add up to that of all sequences."""
    rng = np.random.default_rng(0)
    flat, targets, weights = rng.standard_normal((12, 1)), rng.standard_normal((6, 1)), rng.exponential(size=6)
    samples = Samples(of_lengths(flat, np.full(6, 2), "array"), targets, weights / weights.mean(), False)
    prediction, loss = rng.standard_normal((6, 1)), Weighted(recurra.mse)
    whole, gradient = loss(prediction, samples.batch(np.arange(6))[1])
    parts = [loss(prediction[i : i + 2], samples.batch(np.arange(i, i + 2))[1]) for i in (0, 2, 4)]
    assert sum(value for value, _ in parts) / 3 == pytest.approx(whole)
    np.testing.assert_allclose(np.concatenate([slope for _, slope in parts]) / 3, gradient)


def test_quantiles_do_not_cross_before_they_are_learned():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3, 1)), rng.standard_normal(50)
    model = RecurrentRegressor(quantiles=(0.4, 0.6, 0.45), max_epochs=1, random_state=0).fit(X, y)
    raw = model._raw(X, None)[0]
    assert (np.diff(raw, axis=1) < 0).any()
    low, high, middle = model.predict_quantiles(X).T
    assert (low <= middle).all()
    assert (middle <= model.predict(X)).all()
    assert (model.predict(X) <= high).all()


def test_early_stopping_keeps_the_best_weights(digits):
    X, _, y, _ = digits
    model = RecurrentClassifier(random_state=0, early_stopping=True, n_iter_no_change=3, learning_rate=0.03)
    model.fit(X[:300], y[:300])
    validation = model.history_.validation
    assert model.history_.stopped == "patience"
    assert model.n_iter_ == len(validation) == validation.index(min(validation)) + 4
    assert model.history_.best == min(validation)
    assert model.loss_curve_ == model.history_.losses
    assert model.loss_ == model.loss_curve_[-1]


def test_it_ends_where_the_loss_stands_still(digits):
    X, _, y, _ = digits
    model = RecurrentClassifier(random_state=0, tol=0.5, n_iter_no_change=2).fit(X[:200], y[:200])
    losses = model.loss_curve_
    assert model.history_.stopped == "callback"
    best = np.minimum.accumulate(losses)
    assert (best[-3:-1] - losses[-2:] <= 0.5).all()
    assert RecurrentClassifier(tol=0.0, max_epochs=3).fit(X[:50], y[:50]).n_iter_ == 3


def test_partial_fit_is_fit_epoch_by_epoch(digits):
    X, _, y, _ = digits
    whole = RecurrentClassifier(random_state=0, max_epochs=3, dropout=0.1, num_layers=2).fit(X[:200], y[:200])
    parts = clone(whole)
    for _ in range(3):
        parts.partial_fit(X[:200], y[:200], classes=range(10))
    assert_same_bits(whole.predict_proba(X), parts.predict_proba(X))
    assert parts.loss_curve_ == whole.loss_curve_
    odd = y[:200] % 2 == 1
    parts.partial_fit(X[:200][odd], y[:200][odd])
    assert list(parts.classes_) == list(range(10))
    numbers = RecurrentRegressor(random_state=0, max_epochs=2).fit(X[:50], y[:50])
    again = clone(numbers).partial_fit(X[:50], y[:50]).partial_fit(X[:50], y[:50])
    assert_same_bits(numbers.predict(X), again.predict(X))


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": partial(recurra.SGD, momentum=0.9)},
        {"learning_rate": 0.002},
        {"schedule": partial(recurra.schedules.ExponentialLR, gamma=0.5)},
        {"clip_norm": 0.01},
        {"batch_size": 7},
        {"num_layers": 2},
        {"num_layers": 2, "dropout": 0.3},
        {"dropout": 0.3},
        {"bidirectional": True},
        {"cell": "rnn"},
        {"cell": "LayerNormLSTM"},
        {"cell": "ProjectedLSTM", "cell_options": {"proj_size": 3}},
        {"cell_options": {"zoneout": 0.1}},
        {"dtype": "float64"},
        {"standardize": False},
        {"hidden_size": 9},
    ],
    ids=str,
)
def test_every_parameter_has_an_effect(digits, options):
    X, _, y, _ = digits
    model = RecurrentClassifier(hidden_size=8, max_epochs=3, random_state=0)
    plain = model.fit(X[:60], y[:60]).predict_proba(X)
    other = clone(model).set_params(**options).fit(X[:60], y[:60]).predict_proba(X)
    assert np.isfinite(other).all()
    assert not np.allclose(plain, other, rtol=0, atol=1e-9)


def test_schedules_are_stepped_every_epoch(digits):
    X, _, y, _ = digits
    rates = []

    def schedule(optimizer):
        def factor(epoch):
            rates.append(epoch)
            return 1.0

        return recurra.schedules.LambdaLR(optimizer, factor)

    RecurrentClassifier(max_epochs=4, schedule=schedule).fit(X[:50], y[:50])
    assert rates == [0, 1, 2, 3, 4]
    plateau = partial(recurra.schedules.ReduceLROnPlateau, patience=0, threshold=10.0, factor=0.1)
    model = RecurrentClassifier(max_epochs=3, schedule=plateau).fit(X[:50], y[:50])
    assert model._optimizer.lr == pytest.approx(0.01 * 0.1**3)
    assert model.history_.rates == pytest.approx([0.01, 0.001, 0.0001])


def test_lines_and_bars(digits, capfd):
    X, _, y, _ = digits
    model = RecurrentClassifier(hidden_size=4, max_epochs=2, random_state=0, verbose=1).fit(X[:50], y[:50])
    out = capfd.readouterr().out.splitlines()
    assert out == [f"epoch {i + 1}  loss {loss:.6g}" for i, loss in enumerate(model.loss_curve_)]
    pytest.importorskip("tqdm")
    clone(model).set_params(verbose="bar", early_stopping=True).fit(X[:50], y[:50])
    assert "epoch 2/2" in capfd.readouterr().err


def test_a_loss_that_is_not_finite_is_told(digits):
    X, _, y, _ = digits
    model = RecurrentRegressor("rnn", optimizer="sgd", learning_rate=1e30, clip_norm=None, standardize=False)
    model.set_params(cell_options={"nonlinearity": "relu"}, random_state=0)
    with pytest.warns(ConvergenceWarning, match="smaller learning_rate"):
        model.fit(X[:50] * 1e3, y[:50] * 1e3)
    assert all(np.isfinite(value).all() for value in model.model_.params.values())


def test_the_held_out_part_has_every_class():
    """In proportion, whatever is drawn."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [100, 60, 40])
    X = np.broadcast_to(y[:, None, None], (200, 2, 1)) + rng.standard_normal((200, 2, 1)) * 0.01
    for seed in range(5):
        model = RecurrentClassifier(hidden_size=2, max_epochs=1, early_stopping=True, random_state=seed)
        held_out = []
        original = model._held_out

        def note(samples, *rest, original=original, held_out=held_out):
            held_out.append(samples.targets[original(samples, *rest)])
            return original(samples, *rest)

        model._held_out = note
        model.fit(X, y)
        assert np.bincount(held_out[0]).tolist() == [10, 6, 4]


def test_interrupted_it_keeps_what_there_is():
    calls = []

    def loss(prediction, target):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return recurra.mse(prediction, target)

    X = np.random.default_rng(0).standard_normal((40, 3, 1))
    model = RecurrentRegressor(loss=loss, batch_size=20, random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, X.sum(axis=(1, 2)))
    assert (model.n_iter_, model.history_.interrupted) == (2, True)
    assert np.isfinite(model.predict(X)).all()


def test_parameters_set_after_fit_are_for_the_next_fit():
    X = np.random.default_rng(0).standard_normal((20, 3, 1))
    model = RecurrentRegressor(max_epochs=1, quantiles=(0.1,), random_state=0).fit(X, X[:, 0, 0])
    before = model.predict(X), model.predict_quantiles(X)
    model.set_params(output="steps", dtype="float64", quantiles=None, standardize=False, hidden_size=3)
    assert_same_bits(before[0], model.predict(X))
    assert_same_bits(before[1], model.predict_quantiles(X))
    series = X.ravel()
    forecaster = RecurrentForecaster(2, 4, max_epochs=1, random_state=0).fit(series)
    before = forecaster.predict()
    assert_same_bits(before, forecaster.set_params(horizon=5, window=9, center=False).predict())

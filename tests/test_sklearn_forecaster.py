"""RecurrentForecaster: better than the last value, drifting or not, with inputs, quantiles; what it reads and gives."""

from __future__ import annotations

import numpy as np
import pytest

from configs import assert_same_bits

pytest.importorskip("sklearn")

from sklearn.model_selection import TimeSeriesSplit, cross_val_score

from recurra.sklearn import RecurrentForecaster

T, SPLIT = 900, 600


def sine(rng, steps=T, noise=0.2):
    return np.sin(2 * np.pi * np.arange(steps) / 25) + noise * rng.standard_normal(steps)


def driven(rng):
    """A state that decays and is pushed by what is known in advance."""
    push = rng.standard_normal(T + 3)
    push = (push[:-3] + push[1:-2] + push[2:-1] + push[3:]) / 2
    y = np.zeros(T)
    for t in range(1, T):
        y[t] = 0.8 * y[t - 1] + np.tanh(2 * push[t]) + 0.1 * rng.standard_normal()
    return y, push


def rmse(forecast, truth):
    return float(np.sqrt(((forecast - truth) ** 2).mean()))


def naive(series, window, horizon):
    """The error of the last value as the forecast."""
    windows = np.lib.stride_tricks.sliding_window_view(series, window + horizon)
    return rmse(windows[:, window - 1 : window], windows[:, window:])


def quick(horizon=3, window=6, **options):
    return RecurrentForecaster(horizon, window, hidden_size=5, max_epochs=2, random_state=0, **options)


@pytest.mark.parametrize("trend", [0, 0.02])
def test_a_noisy_sine_on_a_trend(trend):
    """Close to the noise, also where the level is beyond all that was learned from; the last value is far off."""
    series = sine(np.random.default_rng(0)) + trend * np.arange(T)
    model = RecurrentForecaster(8, 40, random_state=0, max_epochs=15).fit(series[:SPLIT])
    forecast, truth = model.backtest(series[SPLIT:])
    assert forecast.shape == truth.shape == (T - SPLIT - 47, 8)
    assert rmse(forecast, truth) < 0.27
    assert naive(series[SPLIT:], 40, 8) > 0.8
    assert model.score(series[SPLIT:]) > 0.85


def test_what_is_known_of_the_horizon_counts():
    y, push = driven(np.random.default_rng(0))
    with_it, without = (RecurrentForecaster(6, 12, random_state=0, max_epochs=10, center=False) for _ in range(2))
    with_it.fit(y[:SPLIT], known=push[:SPLIT])
    without.fit(y[:SPLIT], past=push[:SPLIT])
    good = rmse(*with_it.backtest(y[SPLIT:], known=push[SPLIT:]))
    assert good < 0.4
    assert rmse(*without.backtest(y[SPLIT:], past=push[SPLIT:])) > 3 * good
    assert naive(y[SPLIT:], 12, 6) > 3 * good


def test_past_inputs_count():
    """Where the next step is what another series was."""
    rng = np.random.default_rng(0)
    lead = rng.standard_normal((T, 1))
    series = np.concatenate([[0], lead[:-1, 0]])
    model = RecurrentForecaster(1, 4, random_state=0, max_epochs=15).fit(series[:SPLIT], past=lead[:SPLIT])
    assert model.score(series[SPLIT:], past=lead[SPLIT:]) > 0.95


def test_quantiles_cover_what_they_say():
    series = sine(np.random.default_rng(0), 2000)
    model = RecurrentForecaster(4, 30, quantiles=(0.1, 0.9), random_state=0, max_epochs=8, learning_rate=0.003)
    model.fit(series[:1500])
    starts = range(1500, 1960, 2)
    bands = np.stack([model.predict_quantiles(series[i - 30 : i]) for i in starts])
    truth = np.stack([series[i : i + 4] for i in starts])
    assert bands.shape == (*truth.shape, 2)
    inside = ((bands[..., 0] <= truth) & (truth <= bands[..., 1])).mean()
    assert 0.7 < inside < 0.88
    assert (bands[..., 0] <= bands[..., 1]).all()


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("inputs", [(), ("past",), ("known",), ("past", "known")])
def test_what_is_read_and_what_is_given(inputs, center):
    """One series, many, ragged: a forecast depends on the last window of its own, and on nothing else."""
    rng = np.random.default_rng(0)
    series = rng.standard_normal((4, 20)).cumsum(axis=1)
    more = {name: rng.standard_normal((4, 23, 2)) for name in inputs}
    known = {name: value for name, value in more.items() if name == "known"}
    at_fit = {name: value[:, :20] for name, value in more.items()}
    at_predict = {name: value if name == "known" else value[:, :20] for name, value in more.items()}
    model = quick(center=center, quantiles=(0.2, 0.5)).fit(series, **at_fit)
    forecast = model.predict(series, **at_predict)
    assert forecast.shape == (4, 3)
    assert_same_bits(forecast, model.predict(**{name: value[:, 20:] for name, value in known.items()}))
    assert_same_bits(forecast, model.predict_quantiles(series, **at_predict)[..., 1])
    one = {name: value[2] for name, value in at_predict.items()}
    assert model.predict(series[2], **one).shape == (3,)
    for values in (series[2], series[2].tolist()):
        assert_same_bits(model.predict(values, **one), forecast[2])
    changed = series.copy()
    changed[:, :14] = 0  # before the window
    assert_same_bits(model.predict(changed, **at_predict), forecast)
    ragged = [row[i:] for i, row in enumerate(series)]
    cut = {name: [value[i:] for i, value in enumerate(values)] for name, values in at_predict.items()}
    assert_same_bits(model.predict(ragged, **cut), forecast)
    predicted, truth = model.backtest(series, **at_fit)
    assert predicted.shape == truth.shape == (4 * 12, 3)
    np.testing.assert_allclose(truth[11], series[0, 17:], rtol=1e-12)
    before = {name: values[:, :20] if name == "known" else values[:, :17] for name, values in more.items()}
    assert_same_bits(model.predict(series[:, :17], **before)[0], predicted[11])


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("center", [True, False])
def test_units_do_not_matter(known, center):
    y, push = driven(np.random.default_rng(0))
    inputs = (push[:203], 1000 * push[:203] - 7e4) if known else (None, None)
    units = [(y[:200], inputs[0]), (1e4 * y[:200] + 1e5, inputs[1])]
    models = [
        quick(dtype="float64", center=center).fit(values, known=None if more is None else more[:200])
        for values, more in units
    ]
    first, second = (
        model.predict(known=None if more is None else more[200:])
        for model, (_, more) in zip(models, units, strict=True)
    )
    np.testing.assert_allclose(second, 1e4 * first + 1e5, rtol=1e-7)


def test_it_learns_from_every_window_once():
    series = np.arange(20.0)
    read = []
    model = quick(batch_size=100, window=5, horizon=2, stride=3)

    def loss(prediction, target):
        read.append(target)
        return 0.0, np.zeros_like(prediction)

    model.set_params(loss=loss, standardize=False, max_epochs=1).fit(series)
    ends = np.sort(read[0], axis=0)  # differences to the window's mean, the same for all of a straight line
    np.testing.assert_array_equal(ends, np.tile([3.0, 4.0], (5, 1)))


def test_the_latest_windows_are_held_out():
    seen = []
    model = quick(early_stopping=True, validation_fraction=0.2, batch_size=100, standardize=False, center=False)

    def loss(prediction, target):
        seen.append(target[:, 0])
        return 0.0, np.zeros_like(prediction)

    model.set_params(loss=loss, max_epochs=1).fit(np.arange(48.0).reshape(2, 24))
    trained, held_out = (np.sort(one + 23.5) for one in seen)
    assert trained.tolist() == [*range(6, 19), *range(30, 43)]
    assert held_out.tolist() == [19, 20, 21, 43, 44, 45]


def test_the_latest_windows_of_long_and_short_series_are_held_out():
    seen = []
    model = quick(early_stopping=True, validation_fraction=0.4, batch_size=100, standardize=False, center=False)

    def loss(prediction, target):
        seen.append(target[:, 0])
        return 0.0, np.zeros_like(prediction)

    model.set_params(loss=loss, max_epochs=1).fit([np.arange(20.0), 100 + np.arange(10.0)])
    level = (np.arange(20).sum() + 1000 + np.arange(10).sum()) / 30
    assert np.sort(np.round(seen[1] + level)).tolist() == [14, 15, 16, 17, 106, 107]


@pytest.mark.parametrize(("steps", "horizon", "window"), [(100, 10, 30), (100, 2, 20), (15, 4, 11), (3, 2, 1)])
def test_the_window_fits_the_series(steps, horizon, window):
    assert quick(horizon, None).fit(np.arange(steps, dtype=float)).window_ == window


def test_what_fit_saw_is_kept_of_its_own():
    series, known = np.sin(np.arange(40.0)), np.arange(40.0)[:, None] % 7
    model = quick().fit(series, known=known)
    before = model.predict(known=np.zeros((3, 1)))
    series[:], known[:] = 0, 0
    assert_same_bits(model.predict(known=np.zeros((3, 1))), before)
    assert all(one.base is None for one in (*model._seen.values, *model._seen.known))


def test_cross_validation():
    series = sine(np.random.default_rng(0), 200)
    assert cross_val_score(quick(), series, cv=TimeSeriesSplit(3)).shape == (3,)
    many = series.reshape(10, 20)
    assert np.isfinite(cross_val_score(quick(), many, cv=2)).all()


def test_series_of_pandas():
    pd = pytest.importorskip("pandas")
    series = sine(np.random.default_rng(0), 60)
    dates = pd.Series(series, pd.date_range("2020", periods=60))
    inputs = pd.DataFrame({"a": series, "b": -series}, index=dates.index)
    plain = quick().fit(series, known=inputs.to_numpy()).predict(known=inputs.to_numpy()[:3])
    assert_same_bits(quick().fit(dates, known=inputs).predict(known=inputs[:3]), plain)
    many = pd.DataFrame(series.reshape(4, 15))
    assert_same_bits(quick().fit(many).predict(), quick().fit(many.to_numpy()).predict())

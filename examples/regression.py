"""Regression on sequences: the sixth value from five, then a week's temperatures from a month's, with error bars.

First an LSTM with a single hidden unit reads (i + j)/100, j = 0..4, and a linear read-out says what comes next. Then a
GRU forecasts seven days of temperatures from thirty: generated ones, the year's wave, weather that swings, and noise.
Compare its error with the naive forecast's, that all stays as it is. Error bars are as wide as held 95 % of its errors
in a year that had no part in the training: how much of the next one do they hold?
"""

import common
import numpy as np

import recurra

PAST, AHEAD, YEAR = 30, 7, 365


def shuffled(x, y, rng, size):
    """Batches for `fit`, drawn anew in every epoch from x (T, N, features) and y (N, outputs)."""
    return lambda _: [(x[:, i], y[i]) for i in np.split(rng.permutation(len(y)), range(size, len(y), size))]


def sixth_of_five(rng, epochs):
    """Truth and prediction, (20, 1), for the sequences that it wasn't trained on; the losses."""
    values = ((rng.permutation(100) + np.arange(6)[:, None]) / 100).astype(np.float32)[..., None]  # (6, 100, 1)
    x, y = values[:5], values[5]  # (5, 100, 1), (100, 1); the last 20 are kept apart
    model = recurra.Sequential(recurra.LSTM(1, 1, seed=rng), recurra.Last(), recurra.Linear(1, 1, seed=rng))
    batches = shuffled(x[:, :80], y[:80], rng, size=8)
    history = recurra.fit(model, batches, recurra.mse, recurra.Adam(model, lr=0.01), epochs=epochs)
    return y[80:], model(x[:, 80:]), history.losses


def temperatures(rng, days):
    """Generated ones, in °C (days,)."""
    weather = np.zeros(days)
    for t in range(2, days):  # a damped oscillator, pushed at random
        weather[t] = 1.5 * weather[t - 1] - 0.9 * weather[t - 2] + rng.normal(0, 0.9)
    return 10 - 9 * np.cos(2 * np.pi * np.arange(days) / YEAR) + weather + rng.normal(0, 0.5, days)


def windows(series, first, last):
    """Forecasts of AHEAD of the days first..last-1: what is known, (PAST, N, 3), and what comes, (N, AHEAD)."""
    days = np.arange(max(first, PAST), last - AHEAD + 1) + np.arange(-PAST, AHEAD)[:, None]  # (PAST + AHEAD, N)
    season = 2 * np.pi * days / YEAR
    values = np.stack([series[days], np.sin(season), np.cos(season)], axis=-1).astype(np.float32)
    return values[:PAST], values[PAST:, :, 0].T


def forecast(rng, epochs):
    """Of the last of seven years, in °C: truth, prediction, naive forecast (N, AHEAD); the half-width of the bars."""
    series = temperatures(rng, 7 * YEAR)
    mean, scale = series[: 4 * YEAR].mean(), series[: 4 * YEAR].std()
    parts = [(0, 4), (4, 5), (5, 6), (6, 7)]  # years to train on; to stop by; for the bars; to be asked about
    years = (windows((series - mean) / scale, first * YEAR, last * YEAR) for first, last in parts)
    (x, y), validation, (other, later), (known, truth) = years
    model = recurra.Sequential(recurra.GRU(3, 32, seed=rng), recurra.Last(), recurra.Linear(32, AHEAD, seed=rng))
    adam, batches = recurra.Adam(model, lr=0.005), shuffled(x, y, rng, size=64)
    recurra.fit(model, batches, recurra.mse, adam, epochs=epochs, validation=[validation], patience=10)
    bars = scale * np.quantile(np.abs(model(other) - later), 0.95, axis=0)  # no normal distribution is assumed
    naive = known[-1, :, :1].repeat(AHEAD, axis=1)
    return *(mean + scale * values for values in (truth, model(known), naive)), bars


def draw(sixth, said, losses, truth, predicted, bars, inside, rmse):
    picture, ((scatter, curve), (days, distance)) = common.figure(11, 7, rows=2, columns=2)
    scatter.plot([0, 1.1], [0, 1.1], "k:", sixth, said, "C0o", alpha=0.7)
    scatter.set(title="The sixth of five, not trained on", xlabel="truth", ylabel="prediction")
    curve.semilogy(losses)
    curve.set(title="LSTM(1, 1) learns it", xlabel="epoch", ylabel="mean squared error")
    days.plot(truth[:70, 0], "k.-", linewidth=1, label="generated temperatures")
    for day in range(4, 70 - AHEAD, 14):
        days.errorbar(day + np.arange(AHEAD), predicted[day], bars, color="C0", marker="o", markersize=4, capsize=3)
    days.set(title=f"A week's forecasts, {inside:.1%} within the bars", xlabel="day of the last year", ylabel="°C")
    days.legend()
    distance.plot(range(1, AHEAD + 1), np.column_stack(list(rmse.values())), "o-", label=list(rmse))
    distance.set(title="How far off they are", xlabel="days ahead", ylabel="RMSE, °C", ylim=(0, None))
    distance.legend()
    common.save(picture, "regression")


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=800, help="of the first part; of the second at most 1/20")
    options = common.parse(parser)
    rng = np.random.default_rng(options.seed)
    sixth, said, losses = sixth_of_five(rng, options.epochs)
    error = recurra.mse(said, sixth)[0] ** 0.5
    truth, predicted, naive, bars = forecast(rng, max(options.epochs // 20, 1))
    rmse = {name: np.sqrt(((y - truth) ** 2).mean(axis=0)) for name, y in [("GRU", predicted), ("naive", naive)]}
    print(f"the sixth of five: RMSE {error:.4f}, a step being 0.01\n\nRMSE in °C      GRU    naive   error bar")
    for k, values in enumerate(zip(*rmse.values(), bars, strict=True), start=1):
        print("{} days ahead{:9.2f}{:9.2f}{:9.2f}".format(k, *values))
    print(f"{(inside := float((np.abs(predicted - truth) < bars).mean())):.1%} of the truth lies within the error bars")
    draw(sixth, said, losses, truth, predicted, bars, inside, rmse)
    means = {f"{name.lower()}_rmse": float((values**2).mean() ** 0.5) for name, values in rmse.items()}
    common.finish(sixth_rmse=error, inside=inside, **means)


if __name__ == "__main__":
    main()

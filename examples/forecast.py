"""The next day's demand for power, hour by hour and with its quantiles, by an estimator in scikit-learn's manner.

Demand follows the hour, the day of the week, the temperature, and a disturbance of its own that lasts for hours. Hour,
day and temperature are known in advance, as from a calendar and a weather forecast; the disturbance has to be read from
the last two days. A GRU reads both, goes on through the day to come, and gives the median of each hour and a band that
is to hold 80 % of the truth. Compare it with what was the day before and the week before, at the same hours.
"""

import common
import numpy as np

from recurra.sklearn import RecurrentForecaster

DAY, WEEK = 24, 7 * 24
LEVELS = (0.1, 0.9)
SHORT = ("gru", "day", "week")  # names of the figures


def power(rng, weeks):
    """Generated demand in GW (hours,), and what is known in advance (hours, 4): hour, workday, temperature."""
    hours = np.arange(weeks * WEEK)
    clock, day = 2 * np.pi * hours / DAY, hours // DAY
    weather, disturbance = np.zeros((2, len(hours)))
    pushes = rng.standard_normal((2, len(hours)))
    for t in range(1, len(hours)):
        weather[t] = 0.99 * weather[t - 1] + 0.5 * pushes[0, t]
        disturbance[t] = 0.95 * disturbance[t - 1] + 0.5 * pushes[1, t]
    temperature = 12 + 4 * np.sin(clock - 2.5) + weather
    works = (day % 7 < 5).astype(float)
    profile = 4 * np.sin(clock - 2.2) + works * (5 - 3 * np.cos(2 * clock) - 2 * np.cos(clock))
    heating = 1.2 * np.maximum(14 - temperature, 0) + 0.9 * np.maximum(temperature - 20, 0)
    noise = 0.3 * (1 + works) * rng.standard_normal(len(hours))
    known = np.column_stack([np.sin(clock), np.cos(clock), works, temperature])
    return 40 + profile + heating + disturbance + noise, known


def next_days(model, demand, known, first):
    """At each midnight from hour `first` on: median (days, 24), bands (days, 24, 2), truth (days, 24)."""
    starts = np.arange(first, len(demand) - DAY + 1, DAY)
    series = [demand[:start] for start in starts]
    inputs = [known[: start + DAY] for start in starts]
    truth = demand[starts[:, None] + np.arange(DAY)]
    return model.predict(series, known=inputs), model.predict_quantiles(series, known=inputs), truth


def draw(median, bands, truth, rmse, inside):
    picture, (days, distance) = common.figure(11, 7, rows=2)
    hours = np.arange(7 * DAY)
    low, high = bands[:7].reshape(-1, 2).T
    days.fill_between(hours, low, high, color="C0", alpha=0.3, linewidth=0, label="80 % band")
    days.plot(hours, median[:7].ravel(), "C0", linewidth=1, label="median")
    days.plot(hours, truth[:7].ravel(), "k.", markersize=3, label="generated demand")
    days.set(title=f"Each day forecast at midnight, {inside:.1%} within the band", xlabel="hour", ylabel="GW")
    days.set_xticks(range(0, 7 * DAY + 1, DAY))
    days.legend()
    distance.plot(range(1, DAY + 1), np.column_stack(list(rmse.values())), "o-", markersize=4, label=list(rmse))
    distance.set(title="How far off they are", xlabel="hours ahead", ylabel="RMSE, GW", ylim=(0, None))
    distance.legend()
    common.save(picture, "forecast")


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="how often the windows are gone through, at most")
    options = common.parse(parser)
    demand, known = power(np.random.default_rng(options.seed), weeks=40)
    split = 30 * WEEK
    model = RecurrentForecaster(
        DAY,
        window=2 * DAY,
        stride=3,
        quantiles=LEVELS,
        hidden_size=48,
        learning_rate=0.005,
        max_epochs=options.epochs,
        early_stopping=True,
        n_iter_no_change=5,
        random_state=options.seed,
        verbose=1,
    )
    seconds, _ = common.timed(model.fit, demand[:split], known=known[:split])
    median, bands, truth = next_days(model, demand, known, split)
    back = np.arange(split, len(demand) - DAY + 1, DAY)[:, None] + np.arange(DAY)
    others = {"the day before": demand[back - DAY], "the week before": demand[back - WEEK]}
    rmse = {name: np.sqrt(((y - truth) ** 2).mean(axis=0)) for name, y in {"GRU": median, **others}.items()}
    inside = float(((bands[..., 0] < truth) & (truth < bands[..., 1])).mean())
    print(f"trained in {seconds:.1f} s\n\nRMSE in GW     " + "".join(f"{name:>17}" for name in rmse))
    for hour in (1, 6, 12, 24):
        print(f"{hour:>2} hours ahead " + "".join(f"{values[hour - 1]:>17.2f}" for values in rmse.values()))
    draw(median, bands, truth, rmse, inside)
    means = {f"{name}_rmse": float((v**2).mean() ** 0.5) for name, v in zip(SHORT, rmse.values(), strict=True)}
    common.finish(inside=inside, **means)


if __name__ == "__main__":
    main()

"""RecurrentForecaster: the next steps of series, learned from windows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import BaseEstimator
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from recurra._checks import check_flag, check_size

from .regressor import RecurrentRegressor
from .windows import Series, Windows, cut, read_series

if TYPE_CHECKING:
    from recurra._checks import Array

    from .sequences import Samples

OWN = {"horizon", "window", "stride", "center"}


class RecurrentForecaster(BaseEstimator):  # type: ignore[misc]
    """The next `horizon` steps of a series from its last `window`, all at once, by a recurrent network.

    X is one series, (time,), or many: (n, time), or a list of arrays (time_i,). Beside it there may be inputs: `past`,
    known up to the present, such as the weather, and `known`, known in advance, such as holidays. Each is (time, k) for
    one series, and (n, time, k) or a list of (time_i, k) for many.

    Without `known` the network reads a window, and its last state gives all steps of the horizon. With it, the network
    reads on through the horizon, where the value and `past` are 0, and gives each step when it has read what is known
    of it; of a driven system that left two thirds of the error.

    Args:
        horizon: how many steps ahead, from 1 up.
        window: how many steps the network reads; None for three horizons, 20 at least, if the shortest series has them.
        stride: every `stride`-th window is learned from; 1 is all.
        center: whether the network reads and gives differences to the mean of each window, so that a level it never met
            is like others: for series that drift or trend. With False levels mean something, which is better for series
            that return to one.
        quantiles: None, or numbers between 0 and 1, as for `RecurrentRegressor`: what `predict_quantiles` returns.
            `predict` then returns the median.
        loss: "mse", "huber", or a function with the arguments of `recurra.mse`, of scaled targets. Unused with
            quantiles.
        cell: "lstm", "gru" or "rnn", the name of a cell in `recurra.cells`, or a class of layers, such as a formula of
            your own.
        hidden_size: units of a recurrent layer, from 1 up.
        num_layers: how many recurrent layers are stacked.
        bidirectional: whether a second direction reads every sequence from its end.
        dropout: the rate, in [0, 1), between layers and before the linear read-out.
        cell_options: a dict of more arguments of the layers' class, such as {"zoneout": 0.1}.
        standardize: whether what the network reads and gives is scaled to mean 0 and standard deviation 1, by what
            `fit` was given.
        optimizer: "adam", "adamw", "sgd", or a function of (model, lr=…), such as `recurra.AdamW`.
        learning_rate: at the beginning, from 0 up.
        schedule: None, or a function of the optimizer that makes a schedule, as
            `functools.partial(recurra.schedules.CosineAnnealingLR, T_max=50)`; it is stepped after every epoch.
        weight_decay: the optimizer's; 0 is its own default.
        batch_size: windows in a step of the optimizer; they are drawn anew for each epoch.
        max_epochs: how often `fit` goes through the windows at most.
        clip_norm: gradients of a larger norm are scaled down to it; None for none.
        early_stopping: whether windows are held out, the latest: those with the fewest steps of their series left; the
            weights are kept that predict them best.
        validation_fraction: how large a part, in (0, 1).
        n_iter_no_change: after so many epochs in a row without a smaller loss, of what is held out or, by more than
            `tol`, of the training, `fit` ends.
        tol: by how much the training's loss has to become smaller to count; it has no part in early stopping.
        random_state: an integer, a `numpy.random.RandomState` or None: of weights, batches, dropout and what is held
            out. The same integer gives the same bits, in workers of `n_jobs` too.
        verbose: 1 prints a line for each epoch, 2 or "bar" shows a bar, which needs tqdm.
        dtype: "float32" or "float64", of the network.

    Attributes:
        regressor_: the `RecurrentRegressor` of windows.
        window_: the window's steps.
        model_: the regressor's `recurra.Sequential`.
        history_: the `recurra.History` of all epochs.
        loss_curve_: the losses of the epochs.
        loss_: the last of them.
        n_iter_: how many epochs there were.

    Example:
        >>> from recurra.sklearn import RecurrentForecaster
        >>> series = np.sin(np.arange(120) / 4)
        >>> forecaster = RecurrentForecaster(horizon=4, window=16, hidden_size=8, learning_rate=0.03, random_state=0)
        >>> forecaster.set_params(max_epochs=10).fit(series).predict().shape  # the steps 120 to 123
        (4,)
        >>> round(forecaster.score(series), 1)
        1.0
    """

    def __init__(
        self,
        horizon: int = 1,
        window: int | None = None,
        *,
        stride: int = 1,
        center: bool = True,
        quantiles: Any = None,
        loss: Any = "mse",
        cell: Any = "gru",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        cell_options: dict[str, Any] | None = None,
        standardize: bool = True,
        optimizer: Any = "adam",
        learning_rate: float = 0.01,
        schedule: Any = None,
        weight_decay: float = 0.0,
        batch_size: int = 32,
        max_epochs: int = 30,
        clip_norm: float | None = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        verbose: Any = 0,
        dtype: Any = "float32",
    ) -> None:
        self.horizon = horizon
        self.window = window
        self.stride = stride
        self.center = center
        self.quantiles = quantiles
        self.loss = loss
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.cell_options = cell_options
        self.standardize = standardize
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None, *, past: Any = None, known: Any = None) -> RecurrentForecaster:  # noqa: ARG002
        """Learns from all windows of the series.

        Args:
            X: one series or many, each of `window` + `horizon` steps or more.
            y: ignored.
            past: inputs for each step of X that are known up to the present.
            known: inputs for each step of X that are known in advance.

        Returns:
            The forecaster itself.

        Raises:
            TypeError, ValueError: a parameter is wrong, X or an input has NaN, a series is too short, or inputs are for
                more or fewer steps.
        """
        horizon, stride = check_size("horizon", self.horizon), check_size("stride", self.stride)
        center = check_flag("center", self.center)
        series = read_series(X, past, known, 0)
        shortest = min(len(values) for values in series.values)
        window = min(max(3 * horizon, 20), max(shortest - horizon, 1)) if self.window is None else self.window
        window = check_size("window", window)
        _check_lengths(series, window + horizon, f"window + horizon = {window + horizon}")
        level = None if center else float(np.mean(np.concatenate(series.values)))
        windows, targets = _examples(series, window, horizon, stride, level)
        decodes = series.inputs[1] > 0
        own = {name: value for name, value in self.get_params(deep=False).items() if name not in OWN}
        regressor = WindowRegressor(**own, output="steps" if decodes else "last")
        regressor.left = windows.left
        if decodes:
            nothing = np.zeros((len(targets), window))
            weights = np.concatenate([nothing, np.ones_like(targets)], axis=1)
            regressor.fit(windows.x, np.concatenate([nothing, targets], axis=1), sample_weight=weights)
        else:
            regressor.fit(windows.x, targets)
        del regressor.left
        self.regressor_, self.window_, self._horizon = regressor, window, horizon
        self._level, self._inputs, self._seen = level, series.inputs, _tail(series, window)
        for name in ("model_", "history_", "loss_curve_", "loss_", "n_iter_"):
            setattr(self, name, getattr(regressor, name))
        return self

    def _windows(self, X: Any, past: Any, known: Any) -> tuple[Windows, bool]:
        """The last window of each series."""
        check_is_fitted(self, "regressor_")
        horizon = self._horizon
        if X is None:
            if past is not None:
                raise ValueError("past: expected None, as it is that of fit where X is None, got inputs")
            series = _continued(self._seen, known, horizon)
        else:
            series = read_series(X, past, known, horizon)
        _check_inputs(series, self._inputs)
        _check_lengths(series, self.window_, f"window = {self.window_}")
        last = _tail(series, self.window_, horizon)
        return cut(last, self.window_, horizon, 1, self._level), series.single

    def predict(self, X: Any = None, *, past: Any = None, known: Any = None) -> Array:
        """The steps after the last of X.

        Args:
            X: series of `window` steps or more, of which the last are read; None for those of `fit`.
            past: inputs for each step of X; with X None, none.
            known: inputs for each step of X and `horizon` more; with X None, for those only.

        Returns:
            (horizon,) of one series, (n, horizon) of many, float64.

        Raises:
            TypeError, ValueError: as for `fit`, or inputs aren't those of `fit`.
        """
        windows, single = self._windows(X, past, known)
        forecast = self._forecast(windows)
        return forecast[0] if single else forecast

    def predict_quantiles(self, X: Any = None, *, past: Any = None, known: Any = None) -> Array:
        """Quantiles of the steps after the last of X.

        Args:
            X: as for `predict`.
            past: as for `predict`.
            known: as for `predict`.

        Returns:
            (horizon, Q) of one series, (n, horizon, Q) of many, float64, in the order of `quantiles`.

        Raises:
            TypeError, ValueError: as for `predict`, or there are no `quantiles`.
        """
        windows, single = self._windows(X, past, known)
        quantiles: Array = self.regressor_.predict_quantiles(windows.x)[:, -self._horizon :]
        quantiles = quantiles + windows.level[..., None]
        return quantiles[0] if single else quantiles

    def _forecast(self, windows: Windows) -> Array:
        predicted: Array = self.regressor_.predict(windows.x).reshape(len(windows.x), -1)[:, -self._horizon :]
        return predicted + windows.level

    def backtest(self, X: Any, *, past: Any = None, known: Any = None) -> tuple[Array, Array]:
        """Forecasts after every window of the series, and what really came.

        Args:
            X: one series or many, each of `window` + `horizon` steps or more; windows of the first come first.
            past: inputs for each step of X.
            known: inputs for each step of X.

        Returns:
            The forecasts and the truth, (N, horizon) each, float64.

        Raises:
            TypeError, ValueError: as for `fit`, or inputs aren't those of `fit`.
        """
        check_is_fitted(self, "regressor_")
        series = read_series(X, past, known, 0)
        _check_inputs(series, self._inputs)
        horizon = self._horizon
        _check_lengths(series, self.window_ + horizon, f"window + horizon = {self.window_ + horizon}")
        windows, targets = _examples(series, self.window_, horizon, 1, self._level)
        return self._forecast(windows), targets + windows.level

    def score(self, X: Any, y: Any = None, *, past: Any = None, known: Any = None) -> float:  # noqa: ARG002
        """R² of the forecasts after every window of X, all steps ahead alike.

        Args:
            X: as for `backtest`.
            y: ignored.
            past: as for `backtest`.
            known: as for `backtest`.

        Returns:
            1 where all is right, 0 where it is no better than the mean of X.
        """
        forecast, truth = self.backtest(X, past=past, known=known)
        return float(r2_score(truth.ravel(), forecast.ravel()))


class WindowRegressor(RecurrentRegressor):
    """A regressor of windows, of which the latest are held out, as they are nearest to what is to be forecast."""

    left: Array

    def _held_out(self, samples: Samples, chosen: Array, count: int, rng: np.random.Generator) -> Array:  # noqa: ARG002
        return chosen[np.argsort(self.left[chosen], kind="stable")[:count]]


def _examples(series: Series, window: int, horizon: int, stride: int, level: float | None) -> tuple[Windows, Array]:
    """Windows, and the steps that follow each, (N, horizon), shifted as their windows are."""
    before = Series(
        [values[:-horizon] for values in series.values],
        [past[:-horizon] for past in series.past],
        series.known,
        series.single,
    )
    windows = cut(before, window, horizon, stride, level)
    after = [sliding_window_view(values[window:], horizon)[::stride] for values in series.values]
    return windows, np.concatenate(after) - windows.level


def _tail(series: Series, window: int, horizon: int = 0) -> Series:
    """The last `window` steps, and what is known of them and of the horizon: copies, of the whole nothing is kept."""
    return Series(
        [values[-window:].copy() for values in series.values],
        [past[-window:].copy() for past in series.past],
        [known[-window - horizon :].copy() for known in series.known],
        series.single,
    )


def _continued(seen: Series, known: Any, horizon: int) -> Series:
    """The end of the series that fit saw, with what is known of the horizon."""
    ahead = read_series(
        [np.zeros(horizon) for _ in seen.values] if not seen.single else np.zeros(horizon), None, known, 0
    )
    _check_inputs(ahead, (0, seen.inputs[1]))
    both = [np.concatenate(pair) for pair in zip(seen.known, ahead.known, strict=True)]
    return Series(seen.values, seen.past, both, seen.single)


def _check_inputs(series: Series, expected: tuple[int, int]) -> None:
    for name, columns, wanted in zip(("past", "known"), series.inputs, expected, strict=True):
        if columns != wanted:
            raise ValueError(f"{name}: expected {wanted or 'no'} inputs as in fit, got {columns or 'none'}")


def _check_lengths(series: Series, least: int, what: str) -> None:
    for i, values in enumerate(series.values):
        if len(values) < least:
            where = "" if series.single else f" in series {i}"
            many = len(series.values) >= least and {len(one) for one in series.values} == {len(values)}
            turned = ": a table has a series in each row; of one with a series in each column give X.T" if many else ""
            raise ValueError(f"X: expected {what} steps or more, got {len(values)}{where}{turned}")

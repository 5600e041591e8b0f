"""Recurrent networks as scikit-learn estimators: classes and numbers of sequences or of their steps, and forecasts.

They clone, pickle, search and stand in pipelines as scikit-learn's own do::

    import numpy as np
    from sklearn.model_selection import train_test_split
    from recurra.sklearn import RecurrentClassifier

    X = np.random.default_rng(0).standard_normal((400, 12, 1))  # (n, time, features)
    y = np.where(X.sum(axis=(1, 2)) > 0, "up", "down")
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

    classifier = RecurrentClassifier("lstm", hidden_size=32, learning_rate=0.01, random_state=0).fit(X_train, y_train)
    print(classifier.score(X_test, y_test))  # 0.9 and more

They need scikit-learn from 1.6 on (`pip install 'recurra[sklearn]'`), and know pandas' tables where they are given
some. In this package `sklearn` is that library.

Sequences are given as

- an array (n, time, features);
- a list of arrays (time_i, features), of different length;
- a table (n, time) of n series with one number a step, the same number of steps each; or a list of arrays (time_i,);
- a table (rows, features) whose rows are steps, with `groups=` a label of the sequence of each, or a pandas `DataFrame`
  one of whose columns or index levels, named by the parameter `group`, has that label. Rows of a label are a sequence
  in their order, and sequences are in the order in which their labels first appear.

The same `random_state` gives the same bits, in another process and with any number of threads too, on one kind of CPU
with one NumPy.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "recurra.sklearn: expected scikit-learn, which is missing: pip install 'recurra[sklearn]'"
    ) from error

from .classifier import RecurrentClassifier
from .forecaster import RecurrentForecaster
from .regressor import RecurrentRegressor
from .scaler import SequenceScaler

__all__ = ["RecurrentClassifier", "RecurrentForecaster", "RecurrentRegressor", "SequenceScaler"]

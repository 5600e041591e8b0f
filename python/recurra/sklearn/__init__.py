"""Recurrent networks as scikit-learn estimators."""

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

__all__ = ["RecurrentClassifier", "RecurrentForecaster", "RecurrentRegressor"]

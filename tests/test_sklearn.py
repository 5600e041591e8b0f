"""recurra.sklearn keeps scikit-learn's conventions: its own checks of estimators, clones, pickles, searches."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest

from configs import assert_same_bits

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data, parametrize_with_checks

import recurra
from recurra.sklearn import RecurrentClassifier, RecurrentForecaster, RecurrentRegressor, SequenceScaler

SMALL = {"hidden_size": 16, "max_epochs": 30}
KINDS = [RecurrentClassifier, RecurrentRegressor]


ROUNDING = "in float32, as weights and repetition give the same sums in another order; test_weights_are_repetitions"
WINDOWS = "X is series of any length, so that its columns are no features, and a series alone is one of (time,)"
EXPECTED = {
    RecurrentClassifier: {"check_sample_weight_equivalence_on_dense_data": ROUNDING},
    RecurrentRegressor: {"check_sample_weight_equivalence_on_dense_data": ROUNDING},
    RecurrentForecaster: {
        "check_n_features_in_after_fitting": WINDOWS,
        "check_n_features_in": WINDOWS,
        "check_fit1d": WINDOWS,
        "check_fit2d_predict1d": WINDOWS,
        "check_fit2d_1feature": "there is an error, but of window + horizon",
        "check_estimators_empty_data_messages": "there is an error, but of a series without steps",
    },
    SequenceScaler: {},
}


@parametrize_with_checks(
    [*(kind(**SMALL) for kind in KINDS), RecurrentForecaster(hidden_size=4, max_epochs=1), SequenceScaler()],
    expected_failed_checks=lambda estimator: EXPECTED[type(estimator)],
)
def test_check_estimator(estimator, check):
    if "check_array_api_input" not in str(check):  # that is of arrays other than NumPy's, which aren't promised
        check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetitions(kind):
    """With all sequences in one batch: what a mini-batch has depends on what there is to draw from."""
    check_sample_weight_equivalence_on_dense_data(kind.__name__, kind(**SMALL, dtype="float64"))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5, 3))
    return X, np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down")


def quick(kind=RecurrentClassifier, **options):
    return kind(hidden_size=8, max_epochs=4, random_state=3, **options)


@pytest.mark.parametrize("kind", [*KINDS, RecurrentForecaster])
def test_parameters_are_those_of_the_constructor(kind):
    names = set(inspect.signature(kind.__init__).parameters) - {"self"}
    estimator = kind()
    assert set(estimator.get_params()) == names
    assert estimator.set_params(hidden_size=5) is estimator
    assert clone(estimator).hidden_size == 5
    assert kind.__name__ in estimator._repr_html_()
    assert kind.__name__ in repr(estimator)
    with pytest.raises(ValueError, match="hidden_sise"):
        estimator.set_params(hidden_sise=5)


def test_same_seed_same_bits(data):
    X, y = data
    first, again, other = (quick().set_params(random_state=seed).fit(X, y).predict_proba(X) for seed in (3, 3, 4))
    assert_same_bits(first, again)
    assert not np.array_equal(first, other)
    states = [quick().set_params(random_state=np.random.RandomState(1)).fit(X, y).predict_proba(X) for _ in range(2)]
    assert_same_bits(*states)


@pytest.mark.parametrize("method", ["pickle", "joblib"])
@pytest.mark.parametrize("cell", ["gru", "PeepholeLSTM", recurra.cells.MGU])
def test_pickles_predict_and_train_on(data, tmp_path, method, cell):
    X, y = data
    model = quick(cell=cell, dropout=0.2).fit(X, y)
    if method == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        joblib.dump(model, tmp_path / "model.joblib")
        twin = joblib.load(tmp_path / "model.joblib")
    assert_same_bits(model.predict_proba(X), twin.predict_proba(X))
    assert_same_bits(model.partial_fit(X, y).predict_proba(X), twin.partial_fit(X, y).predict_proba(X))
    assert model.n_iter_ == twin.n_iter_ == 5


def test_pipeline_of_a_table():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 7)) * 100
    model = make_pipeline(StandardScaler(), quick(RecurrentRegressor)).fit(X, X.sum(axis=1))
    assert model.predict(X).shape == (60,)
    assert np.isfinite(model.score(X, X.sum(axis=1)))


@pytest.mark.parametrize("form", ["array", "list", "table"])
def test_sequence_scaler(form):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 5, 3)) * [1, 10, 100] + 7
    X = X[:, :, 0] if form == "table" else [one[: i + 1] for i, one in enumerate(X[:5])] if form == "list" else X
    scaler = SequenceScaler().fit(X)
    scaled = scaler.transform(X)
    steps = np.concatenate([np.reshape(one, (-1, 1 if form == "table" else 3)) for one in scaled])
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(steps.std(axis=0), 1)
    assert type(scaled) is type(X)
    for one, before in zip(scaler.inverse_transform(scaled), X, strict=True):
        np.testing.assert_allclose(one, before)
    with pytest.raises(NotFittedError):
        SequenceScaler().transform(X)


def test_sequence_scaler_may_change_the_features(data):
    X, y = data
    model = make_pipeline(SequenceScaler(PCA(2)), quick(standardize=False)).fit(X, y)
    assert model[0].transform(X).shape == (40, 5, 2)
    assert model[1].n_features_in_ == 2
    assert model.predict(X).shape == (40,)


def test_sequence_scaler_takes_back_what_has_fewer_features():
    X = np.random.default_rng(0).standard_normal((6, 5, 3))
    scaler = SequenceScaler(PCA(2)).fit(X)
    restored = scaler.inverse_transform(scaler.transform(X))
    pca = scaler.scaler_
    np.testing.assert_allclose(restored, pca.inverse_transform(pca.transform(X.reshape(-1, 3))).reshape(X.shape))
    assert scaler.n_features_in_ == 3
    with pytest.raises(ValueError, match=r"^X has 3 features, but SequenceScaler is expecting 2"):
        scaler.inverse_transform(X)


def test_searches_in_workers_give_the_parents_bits(data):
    """Also where the parent has had threads before."""
    X, y = data
    recurra.LSTM(64, 256, seed=0)(np.zeros((20, 64, 64), np.float32))
    alone, workers = (
        GridSearchCV(quick(), {"cell": ["lstm", "FastGRNN"], "learning_rate": [0.001, 0.1]}, n_jobs=jobs, cv=2)
        for jobs in (1, 2)
    )
    alone.fit(X, y)
    workers.fit(X, y)
    for name in ("split0_test_score", "split1_test_score"):
        assert_same_bits(alone.cv_results_[name], workers.cv_results_[name])
    assert_same_bits(alone.predict_proba(X), workers.predict_proba(X))
    proba = [cross_val_predict(quick(), X, y, cv=2, method="predict_proba", n_jobs=jobs) for jobs in (1, 2)]
    assert_same_bits(*proba)


def test_cross_validation_of_ragged_lists(data):
    X, y = data
    ragged = [one[: 1 + i % 5] for i, one in enumerate(X)]
    assert cross_val_score(quick(), ragged, y, cv=3).shape == (3,)
    steps = [np.full(len(one), label) for one, label in zip(ragged, y, strict=True)]
    scores = cross_val_score(quick(output="steps"), ragged, steps, cv=KFold(3))
    assert np.isfinite(scores).all()


def test_import_is_lazy_and_tells_what_is_missing():
    code = """
import sys
import recurra
assert "sklearn" not in sys.modules and "pandas" not in sys.modules
sys.modules["sklearn"] = None
try:
    recurra.sklearn
except ImportError as error:
    assert str(error) == "recurra.sklearn: expected scikit-learn, which is missing: pip install 'recurra[sklearn]'"
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert recurra.sklearn.RecurrentClassifier is RecurrentClassifier

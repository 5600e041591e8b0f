"""The forms in which recurra.sklearn takes sequences and targets: all give the same bits, and what is wrong is said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from configs import assert_same_bits

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score

from recurra.sklearn import RecurrentClassifier, RecurrentForecaster, RecurrentRegressor

RNG = np.random.default_rng(0)
LENGTHS = [3, 1, 7, 5, 2, 7, 4, 6]
RAGGED = [RNG.standard_normal((length, 2)) * [1, 50] + 3 for length in LENGTHS]
NUMBERS = np.array([one[:, 0].sum() for one in RAGGED])
LABELS = np.where(NUMBERS > 9, "high", "low")


def quick(kind=RecurrentRegressor, **options):
    return kind(hidden_size=5, max_epochs=2, batch_size=3, random_state=0, **options)


def frame(as_index=False):
    """The sequences as rows of a DataFrame in any order between sequences, and the row's place in each."""
    pd = pytest.importorskip("pandas")
    rows = [(f"s{7 - i}", t, *one[t]) for i, one in enumerate(RAGGED) for t in range(len(one))]
    turn = np.random.default_rng(1).permutation(len(rows))
    table = pd.DataFrame([rows[i] for i in turn], columns=["id", "t", "a", "b"])
    table = table.sort_values("t", kind="stable")[["a", "id", "b"]]  # sequences are mixed, steps in order
    return table.set_index("id") if as_index else table


def in_order(table):
    """The sequences of a frame as a list, in the order in which they first appear, and which of RAGGED they are."""
    ids = table.get("id", table.index)
    names = list(dict.fromkeys(ids))
    return [table.loc[ids == name, ["a", "b"]].to_numpy() for name in names], [7 - int(name[1]) for name in names]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_arrays_and_lists_are_the_same(dtype, bidirectional):
    X = np.stack([one[np.arange(6) % len(one)] for one in RAGGED])
    model = quick(dtype=dtype, bidirectional=bidirectional)
    forms = [X, list(X), X.tolist(), np.asfortranarray(X)]
    objects = np.empty(len(X), object)
    objects[:] = list(X)
    predictions = [clone(model).fit(form, NUMBERS).predict(form) for form in [*forms, objects]]
    for other in predictions[1:]:
        assert_same_bits(predictions[0], other)


@pytest.mark.parametrize("output", ["last", "steps"])
@pytest.mark.parametrize("scale", [True, False])
def test_predictions_are_those_of_the_network(output, scale):
    """Of every sequence alone, scaled by the mean and deviation of all steps."""
    y = NUMBERS if output == "last" else [np.cumsum(one[:, 0]) for one in RAGGED]
    model = quick(output=output, standardize=scale, num_layers=2, bidirectional=True).fit(RAGGED, y)
    steps, targets = np.concatenate(RAGGED), np.hstack(list(y))
    mean, std = (steps.mean(axis=0), steps.std(axis=0)) if scale else (0, 1)
    level, spread = (targets.mean(), targets.std()) if scale else (0, 1)
    for one, predicted in zip(RAGGED, model.predict(RAGGED), strict=True):
        raw = model.model_(((one - mean) / std).astype(np.float32)[:, None])
        np.testing.assert_allclose(raw[..., 0].ravel() * spread + level, np.ravel(predicted), rtol=1e-5)


def test_padding_and_neighbours_change_no_bit():
    model = quick().fit(RAGGED, NUMBERS)
    together = model.predict(RAGGED)
    for i, one in enumerate(RAGGED):
        assert_same_bits(model.predict([one]), together[i : i + 1])
        assert_same_bits(model.predict(one[None]), together[i : i + 1])


@pytest.mark.parametrize("as_index", [False, True])
@pytest.mark.parametrize("output", ["last", "steps"])
def test_frames_by_group(as_index, output):
    table = frame(as_index)
    listed, which = in_order(table)
    labels = LABELS[which]
    steps = [np.repeat(label, len(one)) for label, one in zip(labels, listed, strict=True)]
    given = steps if output == "steps" else labels
    expected = quick(RecurrentClassifier, output=output).fit(listed, given)
    ids = table.index if as_index else table["id"]
    by_row = LABELS[[7 - int(name[1]) for name in ids]]
    model = quick(RecurrentClassifier, output=output, group="id").fit(table, by_row)
    assert list(model.feature_names_in_) == ["a", "b"]
    assert model.n_features_in_ == 2
    got, wanted = model.predict_proba(table), expected.predict_proba(listed)
    if output == "steps":
        assert got.shape == (len(table), 2)
        wanted = np.concatenate(wanted)
        got = np.concatenate([got[ids == name] for name in dict.fromkeys(ids)])
    assert_same_bits(got, wanted)
    assert model.score(table, by_row) == expected.score(listed, given)
    columns = table[["a", "b"]]
    again = quick(RecurrentClassifier, output=output).fit(columns, by_row, groups=ids)
    assert_same_bits(again.predict_proba(columns, groups=ids), model.predict_proba(table))


def test_targets_by_group_are_found_by_their_labels():
    pd = pytest.importorskip("pandas")
    table = frame()
    names, numbers = [f"s{7 - i}" for i in range(8)], NUMBERS
    shuffled = pd.Series(numbers, names).sample(frac=1, random_state=0)
    which = in_order(table)[1]
    first = quick(group="id").fit(table, shuffled).predict(table)
    assert_same_bits(first, quick(group="id").fit(table, numbers[which]).predict(table))
    weights = pd.Series(np.arange(8.0), names)
    first = quick(group="id").fit(table, shuffled, sample_weight=weights.sort_index()).predict(table)
    second = quick(group="id").fit(table, numbers[which], sample_weight=np.arange(8.0)[which]).predict(table)
    assert_same_bits(first, second)


def test_cross_validation_by_group():
    table = frame()
    y = LABELS[[7 - int(name[1]) for name in table["id"]]]
    model = quick(RecurrentClassifier, group="id")
    scores = cross_val_score(model, table, y, groups=table["id"], cv=GroupKFold(2))
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_tables_are_series():
    """(n, time) is (n, time, 1); so is a ragged list of series, and a table for who has learned from sequences."""
    X = RNG.standard_normal((9, 6))
    y = X.sum(axis=1)
    table, array = quick().fit(X, y), quick().fit(X[..., None], y)
    assert (table.n_features_in_, array.n_features_in_) == (6, 1)
    assert_same_bits(table.predict(X), array.predict(X[..., None]))
    assert_same_bits(array.predict(X), array.predict(X[..., None]))
    series = [row[: 2 + i % 4] for i, row in enumerate(X)]
    ragged = quick().fit(series, y)
    assert_same_bits(ragged.predict(series), ragged.predict([one[:, None] for one in series]))


def test_names_of_a_table():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(RNG.standard_normal((9, 3)), columns=["jan", "feb", "mar"])
    model = quick().fit(X, X["jan"])
    assert list(model.feature_names_in_) == ["jan", "feb", "mar"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[["feb", "jan", "mar"]])


@pytest.mark.parametrize(
    ("y", "shape"),
    [(np.ones((8, 3)), (8, 3)), (np.ones((8, 1)), (8, 1)), (np.ones(8), (8,)), ([[1, 2]] * 8, (8, 2))],
)
def test_predictions_have_the_shape_of_targets(y, shape):
    assert quick().fit(RAGGED, y).predict(RAGGED).shape == shape
    quantiles = quick(quantiles=(0.9, 0.1)).fit(RAGGED, y)
    assert quantiles.predict(RAGGED).shape == shape
    assert quantiles.predict_quantiles(RAGGED).shape == (*shape, 2)


@pytest.mark.parametrize("form", ["array", "list", "table"])
@pytest.mark.parametrize("width", [0, 3])
def test_predictions_of_steps_have_the_form_of_sequences(form, width):
    X = {"array": np.ones((8, 4, 2)), "list": RAGGED, "table": np.ones((8, 4))}[form]
    shapes = [(len(one), width) if width else (len(one),) for one in X]
    model = quick(output="steps").fit(X, [np.ones(shape) for shape in shapes])
    predicted = model.predict(X)
    assert isinstance(predicted, list) == (form == "list")
    assert [one.shape for one in predicted] == shapes


MASKED = np.ma.masked_greater(RNG.standard_normal((8, 30, 2)), 1)
OBJECTS = np.empty(8, object)
OBJECTS[:] = [*RAGGED[:7], MASKED[7]]
WRONG = {
    "features that differ": (lambda: quick().fit([*RAGGED[:7], np.ones((2, 3))], NUMBERS), "X: expected as many"),
    "features of predict": (
        lambda: quick().fit(RAGGED, NUMBERS).predict(np.ones((2, 4, 3))),
        "X has 3 features, but RecurrentRegressor is expecting 2 features as input",
    ),
    "NaN": (lambda: quick().fit(np.full((8, 3, 2), np.nan), NUMBERS), "Input X contains NaN"),
    "infinity in y": (lambda: quick().fit(RAGGED, np.full(8, np.inf)), "Input y contains infinity"),
    "an empty sequence": (
        lambda: quick().fit([*RAGGED[:7], np.ones((0, 2))], NUMBERS),
        "X: expected a step or more in every sequence, got none in sequence 7",
    ),
    "no sequence": (lambda: quick().fit([], []), "X: expected at least one sequence"),
    "one sequence for many": (
        lambda: quick().fit(RAGGED, NUMBERS).predict(RAGGED[2]),
        "X: expected sequences of (time, 2) as in fit, got a table of (7, 2): give X[None]",
    ),
    "sequences for a table": (
        lambda: quick().fit(np.ones((8, 4)), NUMBERS).predict(RAGGED),
        "X: expected a table (n, 4) of series as in fit, got a list of sequences",
    ),
    "mixed axes": (lambda: quick().fit([np.ones((2, 2)), np.ones(2)], [1, 2]), "X: expected sequences of (time, fea"),
    "too few targets": (lambda: quick().fit(RAGGED, NUMBERS[:7]), "y: Found input variables with inconsistent"),
    "too few steps": (
        lambda: quick(output="steps").fit(RAGGED, [np.ones(2)] * 8),
        "y: expected one for each of the 3 steps of sequence 0, got 2",
    ),
    "a label for steps": (lambda: quick(output="steps").fit(RAGGED, NUMBERS), "got a single one; output='last'"),
    "steps for a label": (
        lambda: quick(RecurrentClassifier).fit(np.ones((8, 3, 2)), np.ones((8, 3), int)),
        "classes of steps need output='steps'",
    ),
    "numbers for classes": (lambda: quick(RecurrentClassifier).fit(RAGGED, NUMBERS), "continuous"),
    "an unknown cell": (lambda: quick(cell="lstmm").fit(RAGGED, NUMBERS), "got 'lstmm': did you mean 'lstm'?"),
    "an unknown optimizer": (lambda: quick(optimizer="adams").fit(RAGGED, NUMBERS), "optimizer: expected 'adam', "),
    "an unknown loss": (lambda: quick(loss="hubert").fit(RAGGED, NUMBERS), "did you mean 'huber'?"),
    "an unknown output": (lambda: quick(output="all").fit(RAGGED, NUMBERS), "output: expected 'last' or 'steps'"),
    "quantiles beyond 1": (lambda: quick(quantiles=(5, 95)).fit(RAGGED, NUMBERS), "quantiles: expected numbers betwee"),
    "no quantiles": (lambda: quick().fit(RAGGED, NUMBERS).predict_quantiles(RAGGED), "quantiles: expected some"),
    "no size": (lambda: quick().set_params(hidden_size=0).fit(RAGGED, NUMBERS), "hidden_size: expected a positive"),
    "too few to hold out": (
        lambda: quick(early_stopping=True, validation_fraction=0.01).fit(RAGGED, NUMBERS),
        "validation_fraction: expected one that leaves",
    ),
    "early stopping in parts": (
        lambda: quick(early_stopping=True).partial_fit(RAGGED, NUMBERS),
        "early_stopping: expected False",
    ),
    "no classes": (lambda: quick(RecurrentClassifier).partial_fit(RAGGED, LABELS), "classes must be passed on the fir"),
    "other classes": (
        lambda: quick(RecurrentClassifier).partial_fit(RAGGED, LABELS, classes=["low", "mid"]),
        "y: expected labels of classes",
    ),
    "balance of parts": (
        lambda: quick(RecurrentClassifier, class_weight="balanced").partial_fit(RAGGED, LABELS, classes=["low"]),
        "class_weight: expected None or a dict",
    ),
    "weights below 0": (lambda: quick().fit(RAGGED, NUMBERS, sample_weight=-np.ones(8)), "sample_weight: expected"),
    "groups of other rows": (lambda: quick().fit(np.ones((8, 2)), NUMBERS, groups=[1, 2]), "inconsistent numbers"),
    "no group": (lambda: quick(group="id").fit(np.ones((8, 2)), NUMBERS), "X: expected a pandas DataFrame"),
    "no such column": (lambda: quick(group="ID").fit(frame(), NUMBERS), "group: expected a column or an index level"),
    "a missing label": (lambda: quick().fit(np.ones((3, 2)), np.ones(3), groups=[1, np.nan, 2]), "groups: expected"),
    "a short series": (
        lambda: RecurrentForecaster(4, 9).fit(np.ones((3, 12))),
        "X: expected window + horizon = 13 steps or more, got 12 in series 0",
    ),
    "inputs of other length": (
        lambda: RecurrentForecaster(4).fit(np.ones(50), past=np.ones((49, 2))),
        "past: expected (50, 2), a row of inputs for each step, got (49, 2)",
    ),
    "inputs that weren't there": (
        lambda: RecurrentForecaster(4, max_epochs=1).fit(np.ones(50)).predict(known=np.ones((4, 2))),
        "known: expected no inputs as in fit, got 2",
    ),
    "masked X": (lambda: quick().fit(MASKED, NUMBERS), "X: expected plain arrays, got a masked one: fill it"),
    "a masked sequence": (lambda: quick().fit([*RAGGED[:7], MASKED[7]], NUMBERS), "X: expected plain arrays, got a"),
    "masked sequences in an array": (lambda: quick().fit(OBJECTS, NUMBERS), "X: expected plain arrays, got a masked"),
    "masked groups": (
        lambda: quick().fit(np.ones((4, 2)), np.ones(2), groups=np.ma.array([1, 1, 2, 2], mask=[0, 1, 0, 0])),
        "groups: expected plain arrays, got a masked one",
    ),
    "masked y": (lambda: quick().fit(RAGGED, MASKED[:, 0, 0]), "y: expected plain arrays, got a masked one"),
    "masked weights": (
        lambda: quick().fit(RAGGED, NUMBERS, sample_weight=MASKED[:, 0, 0]),
        "sample_weight: expected plain arrays, got a masked one",
    ),
    "a masked series": (lambda: RecurrentForecaster(1).fit(MASKED[0].T), "X: expected plain arrays, got a masked one"),
    "masked inputs": (
        lambda: RecurrentForecaster(4).fit(np.ones(50), known=np.ma.ones((54, 1))),
        "known: expected plain arrays, got a masked one",
    ),
    "a series of vectors": (lambda: RecurrentForecaster(4).fit(np.ones((3, 50, 2))), "X: expected series of one num"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case):
    call, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call()


@pytest.mark.parametrize("kind", [RecurrentClassifier, RecurrentRegressor])
def test_unfitted(kind):
    with pytest.raises(NotFittedError):
        kind().predict(RAGGED)
    with pytest.raises(NotFittedError):
        RecurrentForecaster().predict(NUMBERS)


def test_a_failed_fit_leaves_what_there_was():
    """Wrong parameters and arguments are seen before the network is made anew."""
    model = quick().fit(RAGGED, NUMBERS)
    before = model.predict(RAGGED)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(np.ones((8, 5, 4)), NUMBERS[:5])
    with pytest.raises(ValueError, match="hidden_size"):
        model.set_params(hidden_size=-1).fit(RAGGED, NUMBERS)
    assert_same_bits(model.predict(RAGGED), before)

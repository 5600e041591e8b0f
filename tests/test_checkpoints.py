"""Checkpoints: a training that is resumed is, to the bit, one that never stopped; what doesn't fit is refused."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from recurra import schedules
from recurra.training import generators
from refused import refused
from test_fit import F, make_batches, make_model

pytest.importorskip("safetensors")

from recurra.weights import tensor_file

EPOCHS = 7


def shuffled(epoch):
    rng = np.random.default_rng([1, epoch])
    batches = make_batches()
    return [batches[i] for i in rng.permutation(5)]


class Setup:
    """A training with everything on, made anew as another process would."""

    def __init__(self, kind="adam", dropout=0.4, seed=1):
        self.model = make_model(dropout, seed)
        optimizers = {
            "adam": lambda: recurra.Adam(self.model, lr=0.02, weight_decay=0.01),
            "sgd": lambda: recurra.SGD(self.model, lr=0.05, momentum=0.9, nesterov=True),
            "adamw": lambda: recurra.AdamW(self.model, lr=0.02),
        }
        self.optimizer = optimizers[kind]()
        self.options = {}

    def fit(self, epochs=EPOCHS, **options):
        arguments = {
            "epochs": epochs,
            "validation": make_batches(2, seed=7),
            "clip_norm": 0.5,
            "rng": 5,
            "metrics": {"largest": lambda y, t: float(np.abs(y - t).max())},
            "accumulate": 2,
            "patience": 50,
        }
        return recurra.fit(self.model, shuffled, recurra.mse, self.optimizer, **arguments | self.options | options)

    def states(self):
        schedule = self.options.get("schedule")
        states = [self.model.state_dict(), self.optimizer.state_dict(), schedule.state_dict() if schedule else {}]
        return [dict(sorted(state.items())) for state in states]


SCHEDULES = {
    "none": lambda _: {},
    "by epoch": lambda optimizer: {"schedule": schedules.ExponentialLR(optimizer, 0.8)},
    "by step": lambda optimizer: {"schedule": schedules.CosineAnnealingLR(optimizer, 30), "schedule_every": "step"},
    "plateau": lambda optimizer: {"schedule": schedules.ReduceLROnPlateau(optimizer, patience=0, threshold=0.2)},
    "warm-up": lambda optimizer: {
        "schedule": schedules.SequentialLR(
            optimizer, [schedules.LinearLR(optimizer), schedules.StepLR(optimizer, 1)], [3]
        )
    },
}


def make(kind="adam", schedule="none", **options):
    setup = Setup(kind, **options)
    setup.options = SCHEDULES[schedule](setup.optimizer)
    return setup


def assert_same_history(one, other):
    """But for the times."""
    for name in (
        "losses",
        "validation",
        "norms",
        "rates",
        "metrics",
        "validation_metrics",
        "best",
        "skipped",
        "stopped",
    ):
        assert getattr(one, name) == getattr(other, name), name
    assert len(one.seconds) == len(other.seconds)


@pytest.mark.parametrize("kind", ["adam", "sgd", "adamw"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_training_is_uninterrupted_training(tmp_path, kind, schedule):
    """Cut after two epochs and after five, each time gone on with by objects that have been made anew."""
    path = tmp_path / "run.safetensors"
    whole = make(kind, schedule)
    expected = whole.fit()
    for epochs in (2, 5, EPOCHS):
        part = make(kind, schedule, seed=3)  # its weights are replaced
        if epochs == 2:
            part = make(kind, schedule)
        history = part.fit(epochs, checkpoint=path, resume=True)
        assert len(history.losses) == epochs
    assert_same_bits(part.states(), whole.states())
    assert_same_history(history, expected)
    assert min(history.seconds) > 0
    again = make(kind, schedule, seed=3)
    assert_same_history(again.fit(resume=path), expected)  # nothing is left to do
    assert_same_bits(again.model.state_dict(), whole.model.state_dict())


def test_patience_is_counted_on(tmp_path):
    """The best weights, how long there has been none better, and the reason why it ends."""
    path, values = tmp_path / "run", [5.0, 3.0, 4.0, 3.5, 9.0, 1.0]

    def fit(setup, epochs, **options):
        calls = []

        def loss(y, t):
            value, gradient = recurra.mse(y, t)
            judged = any(t is target for _, target in validation)
            calls.append(judged)
            return (values[start + sum(calls) - 1] if judged else value), gradient

        validation = make_batches(1, seed=7)
        start = 3 if "resume" in options else 0
        arguments = {"epochs": epochs, "validation": validation, "patience": 3, "rng": 0}
        return recurra.fit(setup.model, shuffled, loss, setup.optimizer, **arguments | options)

    whole = make()
    expected = fit(whole, 9)
    assert expected.stopped == "patience"
    assert expected.validation == values[:5]
    assert expected.best == 3
    fit(make(), 3, checkpoint=path)
    part = make(seed=4)
    history = fit(part, 9, resume=path, checkpoint=path)
    assert_same_history(history, expected)
    assert_same_bits(part.model.state_dict(), whole.model.state_dict())
    done = make(seed=4)
    assert fit(done, 9, resume=path).stopped == "patience"
    assert_same_bits(done.model.state_dict(), whole.model.state_dict())


@pytest.mark.parametrize("generator", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_generators(tmp_path, generator):
    """Every kind that NumPy has; the caller's own is brought to its place, so what shares it goes on too."""
    path = tmp_path / "run"
    whole, rng = make(), np.random.Generator(generator(3))
    whole.fit(4, rng=rng)
    make().fit(2, rng=np.random.Generator(generator(3)), checkpoint=path)
    part, other = make(seed=2), np.random.Generator(generator(99))
    part.fit(4, rng=other, resume=path)
    assert_same_bits(part.states(), whole.states())
    assert rng.random() == other.random()


def test_shuffled_batches_go_on(tmp_path):
    """`recurra.batches` draws the order of an epoch from its number."""
    rng, path = np.random.default_rng(0), tmp_path / "run"
    sequences = [rng.standard_normal((n, F)).astype(np.float32) for n in rng.integers(1, 9, 40)]
    targets = [np.cumsum(sequence[:, :1], axis=0) for sequence in sequences]
    setups = make(), make(), make(seed=2)
    for setup, epochs, options in zip(setups, (5, 2, 5), ({}, {"checkpoint": path}, {"resume": path}), strict=True):
        data = recurra.batches(sequences, targets, 7, shuffle=True, group_by_length=True)
        recurra.fit(setup.model, data, recurra.mse, setup.optimizer, epochs=epochs, rng=1, **options)
    assert_same_bits(setups[2].states(), setups[0].states())


def test_when_it_is_written(tmp_path):
    """After every so many epochs and after the last, whatever made it the last; a callback comes before."""
    path, seen = tmp_path / "run", []

    def callback(history):
        seen.append(path.exists() and len(tensor_file.read_tensors(path)[0]["history/losses"]))
        return len(history.losses) == 6

    history = make().fit(9, checkpoint=path, checkpoint_every=2, callback=callback)
    assert history.stopped == "callback"
    assert seen == [False, False, 2, 2, 4, 4]
    assert len(tensor_file.read_tensors(path)[0]["history/losses"]) == 6
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    assert make().fit(7, resume=path, checkpoint=path, checkpoint_every=50).stopped == "epochs"
    assert len(tensor_file.read_tensors(path)[0]["history/losses"]) == 7


def test_rates_that_a_callback_sets(tmp_path):
    path = tmp_path / "run"

    def halves(setup):
        return lambda _: setattr(setup.optimizer, "lr", setup.optimizer.lr / 2)

    whole, begun, part = make(), make(), make()
    whole.fit(4, callback=halves(whole))
    begun.fit(2, callback=halves(begun), checkpoint=path)
    part.fit(4, callback=halves(part), resume=path)
    assert_same_bits(part.states(), whole.states())


KILLED = """
import sys
from test_checkpoints import make, shuffled
import recurra

def batches(epoch):
    for i, batch in enumerate(shuffled(epoch)):
        if epoch == 3 and i == 2:
            print("here", flush=True)
            sys.stdin.read()
        yield batch

setup = make("adam", "by step")
fit = setup.fit
recurra.fit, original = lambda model, _, *rest, **options: original(model, batches, *rest, **options), recurra.fit
fit(checkpoint=sys.argv[1])
"""


def test_a_process_that_is_killed(tmp_path):
    """In the midst of an epoch: the last whole one is there, and the rest makes the same weights."""
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout.readline() == "here\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    whole, part = make("adam", "by step"), make("adam", "by step", seed=8)
    expected = whole.fit()
    assert len(tensor_file.read_tensors(path)[0]["history/losses"]) == 3
    assert_same_history(part.fit(resume=True, checkpoint=path), expected)
    assert_same_bits(part.states(), whole.states())


def test_ctrl_c_leaves_the_last_whole_epoch(tmp_path):
    path = tmp_path / "run"

    def interrupted(epoch):
        yield from shuffled(epoch)[:3]
        if epoch == 2:
            raise KeyboardInterrupt
        yield from shuffled(epoch)[3:]

    whole, begun, part = make(), make(), make()
    expected = whole.fit()
    options = {"checkpoint": path, "rng": 5, "epochs": EPOCHS, "accumulate": 2, "clip_norm": 0.5, "patience": 50}
    options |= {"validation": make_batches(2, seed=7), "metrics": {"largest": lambda y, t: float(np.abs(y - t).max())}}
    assert recurra.fit(begun.model, interrupted, recurra.mse, begun.optimizer, **options).interrupted
    assert_same_history(part.fit(resume=path), expected)
    assert_same_bits(part.states(), whole.states())


def test_without_anything_but_weights(tmp_path):
    """Infinite and missing numbers: no epoch whose validation is finite, no patience, no dropout."""
    path, options = tmp_path / "run", {"patience": None, "validation": None, "rng": None, "metrics": None}
    whole, part = make(dropout=0.0), make(dropout=0.0, seed=2)
    whole.fit(3, **options)
    make(dropout=0.0).fit(2, **options, checkpoint=path)
    part.fit(3, **options, resume=path)
    assert_same_bits(part.states(), whole.states())
    nan = {"validation": make_batches(1, seed=7), "metrics": {"nan": lambda *_: math.nan}}
    history = make(dropout=0.0).fit(1, rng=None, checkpoint=path, **nan)
    assert math.isnan(history.metrics["nan"][0])
    again = make(dropout=0.0).fit(2, rng=None, resume=path, **nan)
    assert np.isnan(again.metrics["nan"]).all()
    assert again.validation[0] == history.validation[0]


def test_bare_layers_and_models_of_ones_own(tmp_path):
    x, target = make_batches(1)[0]
    for make_one in (lambda seed: recurra.GRU(F, 1, seed=seed), lambda seed: recurra.Linear(F, 1, seed=seed)):
        path = tmp_path / "run"
        whole, begun, part = make_one(0), make_one(0), make_one(1)
        recurra.fit(whole, [(x, target)], recurra.mse, recurra.Adam(whole), epochs=3)
        recurra.fit(begun, [(x, target)], recurra.mse, recurra.Adam(begun), checkpoint=path)
        recurra.fit(part, [(x, target)], recurra.mse, recurra.Adam(part), epochs=3, resume=path)
        assert_same_bits(part.state_dict(), whole.state_dict())


# ---- What doesn't fit


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        (np.random.MT19937, "state.pos", "625"),
        (np.random.MT19937, "state.pos", "2000000000"),  # NumPy takes it, and reads there
        (np.random.PCG64, "uinteger", "9" * 30),
        (np.random.PCG64, "state.state", "9" * 49),
        (np.random.Philox, "buffer_pos", "9" * 30),
    ],
)
def test_states_that_no_generator_has(kind, place, value):
    generator = np.random.Generator(kind(0))
    arrays, texts = generators.describe(generator)
    with refused(ValueError, "resume"):
        generators.described(generator, arrays, texts | {place: value})
    assert generator.random() == np.random.Generator(kind(0)).random()


def other_layers(setup):
    setup.model = recurra.Sequential(recurra.RNN(F, 24, seed=0), recurra.Linear(24, 1, seed=1))
    setup.optimizer = recurra.Adam(setup.model)


def other_shape(setup):
    setup.model = recurra.Sequential(recurra.GRU(F, 9, seed=0), recurra.Dropout(0.1), recurra.Linear(9, 1, seed=1))
    setup.optimizer = recurra.Adam(setup.model)


def other_dtype(setup):
    setup.model = recurra.Sequential(
        recurra.GRU(F, 8, dtype=np.float64), recurra.Dropout(), recurra.Linear(8, 1, seed=1, dtype=np.float64)
    )
    setup.optimizer = recurra.Adam(setup.model)


def fewer_parameters(setup):
    setup.model = recurra.Sequential(recurra.GRU(F, 8, bias=False), recurra.Dropout(), recurra.Linear(8, 1, seed=1))
    setup.optimizer = recurra.Adam(setup.model)


def fewer_optimized(setup):
    setup.optimizer = recurra.Adam(setup.model[0], lr=0.02)


def other_schedule(setup):
    setup.options = SCHEDULES["plateau"](setup.optimizer)


def other_optimizer(setup):
    setup.optimizer = recurra.AdamW(setup.model)


def nothing(_):
    pass


MT = np.random.MT19937
MISFITS = {  # what is other, options, and what the message says
    "layers": (other_layers, {}, r"RNN Linear, as in the call, got one with GRU Linear"),
    "shape": (other_shape, {}, r"this model, got weights with 0\.weight_ih_l0 .* \(24, 3\) instead of float32 \(27"),
    "dtype": (other_dtype, {}, r"0\.weight_ih_l0 float32 .* instead of float64"),
    "names": (fewer_parameters, {}, r"this model, got weights with also 0\.bias_.h_l0"),
    "optimizer": (other_optimizer, {}, r"AdamW, as in the call, got one with Adam"),
    "optimized": (fewer_optimized, {}, r"this optimizer, got another: .*also .*exp_avg\w*\.1\.\w+"),
    "schedule": (other_schedule, {}, r"ReduceLROnPlateau, as in the call, got one with no schedule"),
    "no rng": (nothing, {"rng": None}, r"without rng, as in the call, got one with it"),
    "other rng": (nothing, {"rng": np.random.Generator(MT(0))}, r"with rng of MT19937, .*got 'PCG64'"),
    "no clipping": (nothing, {"clip_norm": None}, r"no clip_norm, as in the call, got one with clip_norm"),
    "no validation": (nothing, {"validation": None, "patience": None}, r"no validation, .* with validation"),
    "metrics": (nothing, {"metrics": {"a": print}}, r"metrics \['a'\], as in the call, got \['largest'\]"),
    "no metrics": (nothing, {"metrics": None}, r"metrics \[\], as in the call, got \['largest'\]"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_checkpoints_of_something_else_are_refused(tmp_path, what):
    """With what differs, and nothing is changed."""
    change, options, message = MISFITS[what]
    path = tmp_path / "run"
    make().fit(2, checkpoint=path)
    setup = make(seed=5)
    change(setup)
    before, content = setup.states(), path.read_bytes()
    with pytest.raises(ValueError, match=rf"(?s)^resume: expected a checkpoint .*{message}"):
        setup.fit(resume=path, checkpoint=path, **options)
    assert_same_bits(setup.states(), before)
    assert path.read_bytes() == content


def test_a_schedule_that_refuses_takes_model_and_optimizer_back(tmp_path):
    path = tmp_path / "run"
    make("adam", "warm-up").fit(2, checkpoint=path)
    setup = make("adam", seed=5)
    inner = [schedules.LinearLR(setup.optimizer), schedules.CosineAnnealingLR(setup.optimizer, 5)]
    last = schedules.ReduceLROnPlateau(setup.optimizer)
    setup.options["schedule"] = schedule = schedules.SequentialLR(setup.optimizer, inner, [3])
    state = schedule.state_dict()
    arrays, metadata = tensor_file.read_tensors(path)
    arrays["schedule/last_epoch"] = np.array(-1)
    tensor_file.write_tensors(path, arrays, metadata)
    before = setup.states()
    with refused(ValueError, "resume", form=": expected a checkpoint of this schedule, got another"):
        setup.fit(resume=path)
    assert_same_bits(setup.states(), before)
    assert_same_bits(schedule.state_dict(), state)
    assert last.last_epoch == 0


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "run"
    make().fit(1, checkpoint=path)
    arrays, metadata = tensor_file.read_tensors(path)
    header = json.loads(metadata["recurra.fit"])
    content = path.read_bytes()

    def damaged(without=None, texts=None, **changed):
        kept = {name: array for name, array in arrays.items() if name != without} | changed
        tensor_file.write_tensors(path, kept, metadata if texts is None else {"recurra.fit": json.dumps(texts)})

    trials = [
        lambda: path.write_bytes(content[:-3]),
        lambda: path.write_bytes(b"nothing"),
        lambda: tensor_file.write_tensors(path, arrays, {}),
        lambda: damaged(texts=header | {"version": 2}),
        lambda: damaged(texts=header | {"waited": -1}),
        lambda: damaged(texts=header | {"metrics": [3]}),
        lambda: damaged(texts=header | {"rng": [3]}),
        lambda: damaged(texts=[1]),
        lambda: damaged("history/losses"),
        lambda: damaged("history/best"),
        lambda: damaged("history/metrics.0"),
        lambda: damaged(**{"history/norms": np.zeros(3)}),
        lambda: damaged(**{"history/norms": np.zeros((1, 1))}),
        lambda: damaged(**{"history/norms": np.zeros(1, np.float32)}),
    ]
    for trial in trials:
        trial()
        setup = make(seed=5)
        before = setup.states()
        with pytest.raises(recurra.FormatError, match=r"expected .*got"):
            setup.fit(resume=path)
        assert_same_bits(setup.states(), before)
    for texts in ({"state.state": "x"}, {"state.state": "9" * 400}, {"has_uint32": "-1"}, {"more": "1"}):
        damaged(texts=header | {"rng": header["rng"] | texts})
        with refused(ValueError, "resume"):
            make(seed=5).fit(resume=path)


def test_errors_of_arguments(tmp_path, monkeypatch):
    setup, path = make(), tmp_path / "run"
    before = setup.states()
    for name in ("checkpoint", "resume"):
        for wrong in (3, object()):
            with refused(TypeError, name):
                setup.fit(**{name: wrong})
    for error, wrong in ((TypeError, 1.5), (ValueError, 0)):
        with refused(error, "checkpoint_every"):
            setup.fit(checkpoint=path, checkpoint_every=wrong)
    with refused(ValueError, "resume"):
        setup.fit(resume=True)
    with refused(FileNotFoundError, "checkpoint"):
        setup.fit(checkpoint=tmp_path / "nowhere" / "run")
    with pytest.raises(FileNotFoundError):
        setup.fit(resume=path)

    class Bare:
        def step(self):
            pass

    class Odd(Bare):
        def state_dict(self):
            return {"a": None}

        def load_state_dict(self, state):
            pass

    for optimizer, form in ((Bare(), ": expected an optimizer with state_dict"), (Odd(), ": expected arrays in the")):
        for name in ("checkpoint", "resume"):
            with refused(TypeError, name, form=form):
                recurra.fit(setup.model, shuffled, recurra.mse, optimizer, rng=0, **{name: path})
    with monkeypatch.context() as context:
        context.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ImportError, match=r"^checkpoint: expected safetensors.*recurra\[safetensors\]"):
            setup.fit(checkpoint=path)
    assert_same_bits(setup.states(), before)
    assert not path.exists()

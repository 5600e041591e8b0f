"""fit: the loop by hand and fit give the same bits; its options one by one; Ctrl-C; History and its plot."""

from __future__ import annotations

import math
import pickle
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused

T, B, F = 6, 4, 3


def make_model(dropout=0.0, seed=1):
    return recurra.Sequential(
        recurra.GRU(F, 8, seed=seed), recurra.Dropout(dropout), recurra.Linear(8, 1, seed=seed + 1)
    )


def make_batches(count=5, seed=0):
    """The running mean of x's first feature is what is to be learned."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        x = rng.standard_normal((T, B, F)).astype(np.float32)
        mean = np.cumsum(x[..., :1], axis=0) / np.arange(1, T + 1)[:, None, None]
        batches.append((x, mean.astype(np.float32)))
    return batches


def train(model=None, batches=None, loss=recurra.mse, *, lr=0.01, **options):
    model = make_model() if model is None else model
    batches = make_batches() if batches is None else batches
    return recurra.fit(model, batches, loss, recurra.Adam(model, lr=lr), **options)


def test_is_the_loop_by_hand():
    """With everything on: dropout, clipping, carried state, lengths, validation."""
    lengths = np.array([6, 2, 0, 5])
    batches, validation = [(*batch, lengths) for batch in make_batches()], make_batches(2, seed=9)
    model, twin = make_model(0.3), make_model(0.3)
    history = train(
        model, batches, epochs=3, validation=validation, clip_norm=0.2, carry_state=True, rng=np.random.default_rng(5)
    )

    optimizer, rng = recurra.Adam(twin, lr=0.01), np.random.default_rng(5)
    losses, norms, validated = [], [], []
    for _ in range(3):
        state, values, sizes = None, [], []
        for x, target, lengths in batches:
            y, tape = twin.forward(x, state, lengths=lengths, rng=rng)
            value, gradient = recurra.mse(y, target, lengths=lengths)
            twin.zero_grad()
            twin.backward(tape, gradient)
            sizes.append(recurra.clip_grad_norm(twin, 0.2))
            optimizer.step()
            values.append(value)
            state = tape.state
        losses.append(sum(values) / len(values))
        norms.append(sum(sizes) / len(sizes))
        state, values = None, []
        for x, target in validation:
            y, state = twin.run(x, state)
            values.append(recurra.mse(y, target)[0])
        validated.append(sum(values) / len(values))
    assert_same_bits(model.state_dict(), twin.state_dict())
    assert (history.losses, history.norms, history.validation) == (losses, norms, validated)
    assert len(history.seconds) == 3
    assert min(history.seconds) > 0
    assert (history.stopped, history.interrupted) == ("epochs", False)


def test_it_learns():
    model = make_model()
    history = train(model, lr=0.02, epochs=40)
    assert history.losses[-1] < 0.1 * history.losses[0]
    assert history.losses[-1] == pytest.approx(np.mean([recurra.mse(model(x), t)[0] for x, t in make_batches()]), rel=1)
    assert (history.validation, history.norms) == ([], [])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: recurra.GRU(F, 1, seed=0),
        lambda: recurra.LSTM(F, 1, seed=0),
        lambda: recurra.Linear(F, 1, seed=0),
        lambda: recurra.Sequential(recurra.Sequential(recurra.RNN(F, 1, seed=0))),
    ],
)
def test_bare_layers(layer):
    """Are models as well, with all options that make sense for them."""
    model = layer()
    history = train(model, epochs=3, lr=0.05, clip_norm=1, carry_state=True, patience=2, validation=make_batches(1))
    assert history.losses[-1] < history.losses[0]
    assert len(model.leaves()) == 1


def test_tokens_to_logits():
    """A language model; each batch is (tokens, next tokens)."""
    model = recurra.Sequential(
        recurra.Embedding(5, 4, seed=0), recurra.LSTM(4, 16, seed=1), recurra.Linear(16, 5, seed=2)
    )
    text = np.tile([0, 1, 2, 0, 3, 4], 10)
    stream = [(text[at : at + 12, None], text[at + 1 : at + 13, None]) for at in range(0, 48, 12)]
    history = train(model, stream, recurra.cross_entropy, lr=0.05, epochs=20, carry_state=True)
    assert history.losses[-1] < 0.1 < history.losses[0]


def test_batches_may_be_a_function_of_the_epoch():
    seen = []

    def shuffled(epoch):
        seen.append(epoch)
        return (batch for batch in make_batches(seed=epoch))

    history = train(batches=shuffled, validation=lambda _: iter(make_batches(1)), epochs=3)
    assert seen == [0, 1, 2]
    assert len(history.losses) == len(history.validation) == 3
    assert len(train(batches=iter(make_batches())).losses) == 1  # an iterator serves one epoch


def test_patience():
    """Stops after so many epochs without a smaller loss, and goes back to the best weights; NaN is no smaller."""
    validated = iter([5.0, 3.0, 4.0, 3.0, math.nan, 1.0])
    model, seen = make_model(), []

    def loss(prediction, target):
        value, gradient = recurra.mse(prediction, target)
        return (next(validated) if target is expected else value), gradient

    expected = make_batches(1)[0][1]
    history = train(
        model,
        loss=loss,
        epochs=10,
        validation=[(make_batches(1)[0][0], expected)],
        patience=3,
        callback=lambda _: seen.append(model.state_dict()),
    )
    assert history.stopped == "patience"
    assert history.validation[:4] == [5, 3, 4, 3]
    assert math.isnan(history.validation[4])
    assert len(history.validation) == len(history.losses) == len(seen) == 5
    assert_same_bits(model.state_dict(), seen[1])


@pytest.mark.parametrize("how", ["epochs", "patience", "callback", "interrupted", "nonfinite"])
@pytest.mark.parametrize("options", [{}, {"carry_state": True}, {"rng": 0}], ids=["plain", "carried", "dropout"])
def test_without_validation_the_weights_kept_have_the_best_loss(options, how):
    """However it ends, and whatever a rate that is much too large has done: it is the loss of those very weights."""
    model, batches = make_model(0.3 if "rng" in options else 0.0), make_batches()
    optimizer = recurra.SGD(model, lr=0.05)

    def callback(history):
        optimizer.lr = 1e3 if len(history.losses) == 3 else 0.05
        if how == "interrupted" and len(history.losses) == 5:
            raise KeyboardInterrupt
        return how == "callback" and len(history.losses) == 5

    def loss(prediction, target):
        value, gradient = recurra.mse(prediction, target)
        calls.append(value)
        return (math.nan if how == "nonfinite" and len(calls) == 52 else value), gradient

    calls, patience = [], 2 if how == "patience" else 10
    history = recurra.fit(model, batches, loss, optimizer, epochs=8, patience=patience, callback=callback, **options)
    assert history.stopped == how
    assert len(history.validation) == len(history.losses)
    assert history.best == min(history.validation) == history.validation[2]
    assert history.best < 0.1 * history.validation[3]
    state, values = None, []
    for x, target in batches:
        y, after = model.run(x, state)
        state = after if "carry_state" in options else None
        values.append(recurra.mse(y, target)[0])
    assert history.best == sum(values) / len(values)


class Live:
    """A number that is its own prediction; its state_dict is the very array, as PyTorch's is."""

    def __init__(self, value=0.0):
        self.params, self.grads = {"w": np.array([value])}, {"w": np.zeros(1)}

    def __call__(self, x):
        return x * self.params["w"]

    def forward(self, x):
        return self(x), x

    def backward(self, tape, dy):
        self.grads["w"] += (tape * dy).sum()
        return dy * self.params["w"]

    def leaves(self):
        return [self]

    def zero_grad(self):
        self.grads["w"][:] = 0

    def state_dict(self):
        return self.params

    def load_state_dict(self, state):
        self.params["w"][:] = state["w"]


class Away:
    """Whose step takes the weight away from 0."""

    def __init__(self, model):
        self.weight = model.params["w"]

    def step(self):
        self.weight += 1


@pytest.mark.parametrize("within", [False, True])
def test_patience_restores_weights_that_a_model_shows_as_they_are(within):
    layer, x = Live(), np.ones((1, 1, 1))
    model = recurra.Sequential(layer) if within else layer
    history = recurra.fit(model, [(x, x)], recurra.mse, Away(layer), epochs=9, validation=[(x, x)], patience=2)
    assert history.validation == [0, 1, 4]
    assert history.best == 0
    assert layer.params["w"] == 1
    if within:
        assert not np.shares_memory(next(iter(model.state_dict().values())), layer.params["w"])


def test_patience_reads_the_batches_twice():
    """So an iterator won't do, and a function is called twice with the same epoch."""
    refuses(TypeError, "batches", batches=iter(make_batches()), patience=1)
    seen = []
    train(batches=lambda epoch: seen.append(epoch) or make_batches(), epochs=2, patience=5)
    assert seen == [0, 0, 1, 1]
    history = train(epochs=2)
    assert (history.validation, history.best) == ([], None)


def test_callback():
    """Called after every epoch with the history, which may be used to change the rate; something true ends it."""
    model, lengths = make_model(), []
    optimizer = recurra.SGD(model, lr=0.1)

    def callback(history):
        lengths.append(len(history.losses))
        assert len(history.seconds) == len(history.losses)
        assert history.stopped == ""
        optimizer.lr /= 2
        return len(lengths) == 3

    history = recurra.fit(model, make_batches(), recurra.mse, optimizer, epochs=9, callback=callback)
    assert lengths == [1, 2, 3]
    assert history.stopped == "callback"
    assert optimizer.lr == 0.1 / 8


def at_batch(number, value=math.nan, gradient=None):
    """mse, but in the call of that number with another value, or a gradient that is all so."""
    calls = []

    def loss(prediction, target):
        result, slope = recurra.mse(prediction, target)
        calls.append(result)
        if len(calls) != number:
            return result, slope
        return (result, np.full_like(slope, gradient)) if gradient is not None else (value, slope)

    return loss


NONFINITE = {
    "nan loss": lambda: at_batch(8, math.nan),
    "infinite loss": lambda: at_batch(8, -math.inf),
    "nan gradient": lambda: at_batch(8, gradient=math.nan),
    "gradient that overflows": lambda: at_batch(8, gradient=3e38),
}


class Overflowing:
    """An optimizer whose step of that number takes all weights to infinity."""

    def __init__(self, model, at):
        self.adam, self.model, self.at, self.steps = recurra.Adam(model, lr=0.01), model, at, 0

    def step(self):
        self.steps += 1
        self.adam.step()
        if self.steps == self.at:
            weights = self.model.state_dict()
            self.model.load_state_dict({name: np.full_like(value, np.inf) for name, value in weights.items()})


def after_batches(count, without=(), **options):
    """The weights after the first so many batches, one after another, but for some."""
    model, batches = make_model(), make_batches() * 2
    chosen = [batch for i, batch in enumerate(batches[:count]) if i not in without]
    train(model, chosen, **options)
    return model.state_dict()


@pytest.mark.parametrize("clip_norm", [None, 1e9])
@pytest.mark.parametrize("what", [*NONFINITE, "weights"])
def test_what_is_not_finite_ends_it(what, clip_norm):
    """With the weights from before that batch, the eighth: the third of the second epoch."""
    for nonfinite in ("stop", "raise"):
        model = make_model()
        loss = recurra.mse if what == "weights" else NONFINITE[what]()
        optimizer = Overflowing(model, 8) if what == "weights" else recurra.Adam(model, lr=0.01)
        arguments = (model, make_batches(), loss, optimizer)
        if nonfinite == "raise":
            with pytest.raises(FloatingPointError, match=r"^\w+: expected .*finite .*in batch 2 of epoch 1$"):
                recurra.fit(*arguments, epochs=3, clip_norm=clip_norm, nonfinite="raise")
        else:
            history = recurra.fit(*arguments, epochs=3, clip_norm=clip_norm)
            assert history.stopped == "nonfinite"
            assert (len(history.losses), len(history.seconds), history.skipped) == (1, 1, 0)
        assert_same_bits(model.state_dict(), after_batches(7))


@pytest.mark.parametrize("what", [*NONFINITE, "weights"])
def test_what_is_not_finite_is_skipped_where_asked_to(what):
    """As if the batch hadn't been there, also for carried states; the optimizer's own memory of it aside."""
    model = make_model()
    loss = recurra.mse if what == "weights" else NONFINITE[what]()
    optimizer = Overflowing(model, 8) if what == "weights" else recurra.Adam(model, lr=0.01)
    history = recurra.fit(model, make_batches() * 2, loss, optimizer, carry_state=True, nonfinite="skip", clip_norm=9)
    assert (history.stopped, history.skipped, len(history.losses)) == ("epochs", 1, 1)
    assert np.isfinite([history.losses[0], history.norms[0]]).all()
    assert all(np.isfinite(value).all() for value in model.params.values())
    if what != "weights":
        assert_same_bits(model.state_dict(), after_batches(10, without=[7], carry_state=True, clip_norm=9))


def test_an_epoch_without_a_finite_batch():
    history = train(loss=lambda y, _: (math.nan, y), nonfinite="skip", clip_norm=1)
    assert (history.skipped, history.stopped) == (5, "epochs")
    assert np.isnan([history.losses[0], history.norms[0]]).all()
    model = make_model()
    assert train(model, loss=lambda y, _: (math.nan, y)).losses == []
    assert_same_bits(model.state_dict(), make_model().state_dict())


def test_a_rate_that_is_much_too_large_leaves_finite_weights():
    model = recurra.Sequential(recurra.Linear(F, F, seed=0), recurra.Linear(F, 1, seed=1))
    history = recurra.fit(model, make_batches(), recurra.mse, recurra.SGD(model, lr=1e6), epochs=50)
    assert history.stopped == "nonfinite"
    assert all(np.isfinite(value).all() for value in model.params.values())


# ---- What an epoch's loss is the mean of


def test_the_loss_of_an_epoch_is_the_mean_of_its_samples():
    """With a smaller last batch 29/3, not the mean 9.5 of the batches' 10 and 9."""
    model = recurra.Linear(1, 1, seed=0)
    zeros = {name: np.zeros_like(value) for name, value in model.params.items()}
    model.load_state_dict(zeros)
    targets = np.sqrt([[8.0], [12.0], [9.0]]).astype(np.float32)
    batches = [(np.ones((2, 1), np.float32), targets[:2]), (np.ones((1, 1), np.float32), targets[2:])]
    optimizer = types.SimpleNamespace(step=lambda: None)
    history = recurra.fit(model, batches, recurra.mse, optimizer, validation=batches)
    assert history.losses[0] == pytest.approx(29 / 3)
    assert history.validation[0] == pytest.approx(29 / 3)


def lengths_mse(given):
    """A loss over real steps only, which notes what it was called with."""

    def loss(prediction, target, lengths=None, batch_first=False):
        given.append((lengths, batch_first))
        error = prediction - target
        if lengths is None:
            return float(np.mean(error**2)), 2 * error / error.size
        counts = (np.arange(T)[:, None] < lengths)[..., None]
        if batch_first:
            counts = counts.swapaxes(0, 1)
        size = counts.sum() * error.shape[-1]
        return float((error**2 * counts).sum() / size), (2 * error * counts / size).astype(error.dtype)

    return loss


@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_reach_a_loss_that_takes_them(batch_first):
    """So that padding doesn't count, in no batch and not between them; in validation too."""
    lengths = [np.array([6, 2, 0, 5]), np.array([1, 1, 2, 0])]
    batches = [(x, target, length) for (x, target), length in zip(make_batches(2), lengths, strict=True)]
    if batch_first:
        batches = [tuple(np.ascontiguousarray(a.swapaxes(0, 1)) for a in batch[:2]) + batch[2:] for batch in batches]
    model = recurra.Sequential(recurra.GRU(F, 8, batch_first=batch_first, seed=0), recurra.Linear(8, 1, seed=1))
    before, given = model.state_dict(), []
    optimizer = types.SimpleNamespace(step=lambda: None)
    history = recurra.fit(model, batches, lengths_mse(given), optimizer, validation=batches)
    assert [(length.tolist(), first) for length, first in given] == [(n.tolist(), batch_first) for n in lengths] * 2
    total = 0
    for x, target, length in batches:
        error = (model(x, lengths=length) - target)[..., 0]
        error = error.T if batch_first else error
        total += (error[np.arange(T)[:, None] < length] ** 2).sum()
    assert history.losses[0] == pytest.approx(total / 17, rel=1e-5)
    assert history.validation == history.losses
    assert_same_bits(model.state_dict(), before)


def test_lengths_stay_away_from_losses_of_whole_sequences():
    """A prediction without steps, or a loss that takes none."""
    lengths, given = np.array([6, 2, 0, 5]), []
    batches = [(x, target[-1], lengths) for x, target in make_batches(2)]
    model = recurra.Sequential(recurra.GRU(F, 8, seed=0), recurra.Last(), recurra.Linear(8, 1, seed=1))
    history = train(model, batches, lengths_mse(given))
    assert given == [(None, False)] * 2
    taken = []
    same = train(
        recurra.Sequential(recurra.GRU(F, 8, seed=0), recurra.Last(), recurra.Linear(8, 1, seed=1)),
        batches,
        lambda y, t: taken.append(y.shape) or recurra.mse(y, t),
    )
    assert taken == [(B, 1)] * 2
    assert same.losses == pytest.approx(history.losses, rel=1e-6)  # mse sums in another order
    first = recurra.GRU(F, 1, batch_first=True, seed=0)
    refuses(TypeError, "loss", model=first, optimizer=recurra.Adam(first), loss=lambda y, _, lengths: (lengths, y))


def test_a_loss_that_returns_no_gradient_is_told():
    for wrong in (0.5, (0.5,), (1, 2, 3, 4), None, np.float32(1)):
        with refused(TypeError, "loss", form=r": expected to return \(value, gradient\), .*got"):
            train(loss=lambda *_, wrong=wrong: wrong)
    with refused(TypeError, "loss", form=": expected a number as the value"):
        train(loss=lambda y, t: recurra.mse(y, t)[::-1])


# ---- Carried states


def test_carried_states_are_refused_where_they_cannot_be():
    """Before any step: a reverse direction has no use for the end of another batch."""
    for model in (
        recurra.Sequential(recurra.GRU(F, 2, bidirectional=True), recurra.Linear(4, 1)),
        recurra.LSTM(F, 1, bidirectional=True),
    ):
        with refused(ValueError, "carry_state", dict(model.params), form=": expected layers of one direction.*got"):
            train(model, carry_state=True)


def test_a_smaller_batch_with_carried_states_is_refused():
    batches = make_batches(2)
    smaller = [batches[0], tuple(array[:, :3] for array in batches[1])]
    form = ": expected as many sequences in each, as carry_state .*got 3 after 4: leave a smaller last batch out"
    for options in ({"batches": smaller}, {"validation": smaller}):
        with refused(ValueError, "batches", form=form):
            train(carry_state=True, **options)
    tokens = np.random.default_rng(0).integers(0, 5, (T, B))
    model = recurra.Sequential(recurra.Embedding(5, 4, seed=0), recurra.GRU(4, 5, seed=1))
    with refused(ValueError, "batches", form=form):
        train(model, [(tokens, tokens), (tokens[:, :3], tokens[:, :3])], recurra.cross_entropy, carry_state=True)
    shorter = [batches[0], tuple(array[:3] for array in batches[1])]
    assert train(batches=shorter, carry_state=True).stopped == "epochs"


@pytest.mark.parametrize("where", ["batch", "loss", "callback", "validation"])
def test_ctrl_c(where):
    """Ends it with the whole epochs so far, wherever it comes; the model goes on working."""
    model, count = make_model(), {"batch": 0, "loss": 0, "callback": 0, "validation": 0}

    def press(what, at):
        count[what] += 1
        if what == where and count[what] == at:
            raise KeyboardInterrupt

    def batches(_):
        for batch in make_batches():
            press("batch", 12)
            yield batch

    def validation(_):
        press("validation", 3)
        return make_batches(1)

    def loss(prediction, target):
        press("loss", 15)
        return recurra.mse(prediction, target)

    history = train(
        model, batches, loss, epochs=5, validation=validation, callback=lambda _: press("callback", 2), clip_norm=1
    )
    assert history.interrupted
    assert history.stopped == "interrupted"
    lists = (history.losses, history.validation, history.seconds, history.norms)
    assert [len(numbers) for numbers in lists] == [2] * 4
    assert train(model).stopped == "epochs"


INTERRUPTED = """
import numpy as np
import recurra

model = recurra.Sequential(recurra.LSTM(64, 256, seed=0), recurra.Linear(256, 1, seed=1))
x, target = np.zeros((300, 16, 64), np.float32), np.ones((300, 16, 1), np.float32)

def callback(history):
    print("ready", flush=True)

optimizer = recurra.Adam(model)
history = recurra.fit(model, [(x, target)], recurra.mse, optimizer, epochs=10**6, callback=callback, patience=10**6)
assert history.interrupted
assert history.losses
assert len(history.losses) == len(history.seconds) < 10**6
assert all(np.isfinite(value).all() for value in model.params.values())
print(recurra.fit(model, [(x[:5], target[:5])], recurra.mse, optimizer, epochs=2).stopped)
"""


def test_ctrl_c_inside_a_call():
    """The signal itself, sent to a process that is somewhere inside the kernels."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        for _ in range(2):
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 0, err
    assert out.split()[-1] == "epochs"


def test_progress(monkeypatch):
    """One bar for each epoch, over its batches; the loss so far is beside it."""
    bars = []

    def tqdm(items, *, desc, unit):
        bars.append((len(items), desc, unit))
        return iter(items)

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=tqdm))
    history = train(epochs=2, progress=True)
    assert bars == [(5, "epoch 1/2", "batch"), (5, f"epoch 2/2, loss {history.losses[0]:.4g}", "batch")]


def test_progress_needs_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    model = make_model()
    with pytest.raises(ImportError, match="tqdm"):
        train(model, progress=True)
    assert_same_bits(model.state_dict(), make_model().state_dict())
    assert train(model).stopped == "epochs"


def test_silent(capfd):
    train(epochs=2, validation=make_batches(1), patience=1)
    assert capfd.readouterr() == ("", "")


def refuses(error, name, **changed):
    """Whether fit, with these arguments other than usual, raises that error and changes nothing."""
    model, batches = make_model(), make_batches()
    arguments = {"model": model, "batches": batches, "loss": recurra.mse, "optimizer": recurra.Adam(model)}
    with refused(error, name, dict(model.params), dict(model.grads), batches):
        recurra.fit(**arguments | changed)


def test_errors_of_arguments():
    """Before anything is done."""
    for wrong in (None, 3, "model", [make_model()], lambda x: x):
        refuses(TypeError, "model", model=wrong)
    refuses(TypeError, "layers", model=recurra.GRUCell(3, 8))
    for wrong in (None, "mse", 3):
        refuses(TypeError, "loss", loss=wrong)
        refuses(TypeError, "optimizer", optimizer=wrong)
    for wrong in (None, 3):
        refuses(TypeError, "batches", batches=wrong)
    for name in ("batches", "validation"):
        refuses(TypeError, name, **{name: iter(make_batches())}, epochs=2)
    for wrong in (3, True):
        refuses(TypeError, "validation", validation=wrong)
        refuses(TypeError, "callback", callback=wrong)
    for name in ("epochs", "patience"):
        for wrong in (1.0, "1", True):
            refuses(TypeError, name, **{name: wrong})
        for wrong in (0, -1):
            refuses(ValueError, name, **{name: wrong})
    for wrong in (0, -1.0, math.nan, math.inf):
        refuses(ValueError, "clip_norm", clip_norm=wrong)
    refuses(TypeError, "clip_norm", clip_norm="1")
    for name in ("carry_state", "progress"):
        refuses(TypeError, name, **{name: 1})
    refuses(TypeError, "rng", rng="1")
    refuses(TypeError, "nonfinite", nonfinite=True)
    refuses(ValueError, "nonfinite", nonfinite="ignore")


def test_errors_of_batches():
    """When their turn comes."""
    x, target = make_batches()[0]
    for wrong in ([], lambda _: iter(())):
        refuses(ValueError, "batches", batches=wrong)
    for wrong in ((x, target), [x], [(x,)], [(x, target, None, None)], ["xy"]):
        refuses(TypeError, "batches", batches=wrong)
    refuses(TypeError, "x", batches=[(x.astype(float), target)])
    refuses(ValueError, "target", batches=[(x, target[1:])])
    with refused(ValueError, "rng"):
        train(make_model(0.5))
    with refused(ValueError, "validation"):
        train(make_model(), validation=[])


def test_history_is_plotted(tmp_path):
    pytest.importorskip("matplotlib")
    history = train(epochs=3, validation=make_batches(1), clip_norm=1)
    history.plot(tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    history.plot(str(tmp_path / "losses.svg"))
    drawing = (tmp_path / "losses.svg").read_text()
    assert "<svg" in drawing
    steep = recurra.History([100.0, 1.0, 0.01, math.nan, math.inf], [], [1.0] * 5, [], "epochs")
    steep.plot(tmp_path / "steep.png")
    assert (tmp_path / "steep.png").stat().st_size > 5000


def test_a_plot_needs_matplotlib_and_an_epoch(tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r"recurra\[plot\]"):
            train().plot(tmp_path / "losses.png")
    pytest.importorskip("matplotlib")
    with refused(ValueError, "history"):
        recurra.History().plot(tmp_path / "losses.png")
    assert not list(tmp_path.iterdir())


def test_an_optimizer_of_another_model_is_refused():
    model, other = recurra.Linear(2, 1, seed=0), recurra.Linear(2, 1, seed=1)
    batch = [(np.ones((3, 2), np.float32), np.ones((3, 1), np.float32))]
    with pytest.raises(ValueError, match="optimizer: expected one of the model's parameters"):
        recurra.fit(model, batch, recurra.mse, recurra.SGD([model, other], lr=0.1))


def test_an_optimizer_that_was_pickled_apart_is_refused_with_the_cure():
    model = make_model()
    together = pickle.loads(pickle.dumps((model, recurra.Adam(model))))
    assert recurra.fit(together[0], make_batches(), recurra.mse, together[1]).stopped == "epochs"
    apart = pickle.loads(pickle.dumps(recurra.Adam(model)))
    with refused(
        ValueError, "optimizer", form=r": expected one of the model's .*pickle\.dumps\(\(model, optimizer\)\)"
    ):
        recurra.fit(model, make_batches(), recurra.mse, apart)


@pytest.mark.parametrize("value", [None, "a", 10**400, 1j, np.ones(2), np.ma.masked])
def test_values_of_a_loss_that_are_none_are_named(value):
    with pytest.raises(TypeError, match=r"^loss: expected a number as the value"):
        train(loss=lambda y, _: (value, y))
    with pytest.raises(TypeError, match=r"^loss: expected an array as the gradient"):
        train(loss=lambda *_: (0.0, None))

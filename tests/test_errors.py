"""Every wrong argument of a layer is refused in the one form there is, before anything has changed.

Nothing has changed means: parameters, gradients, arguments and `out` have the bits they had, and a tape from before
still gives the gradients it gave. Errors of Linear, mse, Adam and functional are in their own files.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

import numpy as np
import pytest

import calls
import recurra
from configs import Config, assert_same_bits, make_data, make_layer
from recurra.definitions import FORMULAS
from refused import EXPECTED_GOT, describe, of_wrong_shape, of_wrong_type, refused

T, B, I, H, L, D = 7, 6, 3, 5, 2, 2  # noqa: E741
EITHER = (TypeError, ValueError)  # where the kind of error is a matter of taste
every_cell = pytest.mark.parametrize("cell", ["rnn_relu", "lstm", "gru", "gru_reset_before"])


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


class Scene:
    """A layer, right arguments of all its calls, a tape, and what the tape gives."""

    def __init__(self, cell, **options):
        names = ("input_size", "hidden_size", "num_layers", "bidirectional", "bias", "dtype", "batch_first", "lengths")
        defaults = dict(zip(names, (I, H, L, True, True, np.float32, False, True), strict=True))
        self.config = Config(cell, state=True, T=T, B=B, **(defaults | options))
        self.data = make_data(self.config, np.random.default_rng(0))
        self.layer = make_layer(self.config, self.data.params)
        self.lstm = self.config.has_cell_state
        self.results, self.tape, _ = calls.forward(self.layer, self.config, self.data)
        self.grads = {name: np.full_like(value, 2) for name, value in self.layer.params.items()}
        for gradient in self.layer.grads.values():
            gradient[...] = 3
        self.out = np.full((T, B, D * H), 4, self.config.dtype)
        self.expected = self.gradients()

    def gradients(self):
        return calls.backward(self.layer, self.config, self.data, self.tape, retain=True)[0]

    def forward(self, call="forward", **changes):
        """A call with right arguments but for the changes: x, h0, c0 or hx, and others by name."""
        right = {"x": self.data.x, "h0": self.data.h0, "c0": self.data.c0, "lengths": self.data.lengths} | changes
        x, h0, c0 = (right.pop(name) for name in ("x", "h0", "c0"))
        hx = right.pop("hx", (h0, c0) if self.lstm else h0)
        return (self.layer.forward if call == "forward" else self.layer)(x, hx, **right)

    def backward(self, tape=None, **changes):
        """The same for x's counterpart dy, dh_n, dc_n or dstate, and others by name."""
        right = {"dy": self.data.dy, "dh_n": self.data.dh_n, "dc_n": self.data.dc_n, "grads": self.grads} | changes
        dy, dh_n, dc_n = (right.pop(name) for name in ("dy", "dh_n", "dc_n"))
        dstate = right.pop("dstate", (dh_n, dc_n) if self.lstm else dh_n)
        return self.layer.backward(self.tape if tape is None else tape, dy, dstate, **right)

    @contextmanager
    def refuses(self, error, name, *more, form=EXPECTED_GOT):
        layer, outputs = self.layer, list(self.tape.outputs)
        watched = (dict(layer.params), dict(layer.grads), self.grads, self.out, vars(self.data), outputs, *more)
        with refused(error, name, *watched, form=form):
            yield
        assert_same_bits(self.gradients(), self.expected)


def wrong_arrays(scene, *names):
    """(argument, pattern of its name in the message, error, value) for each array of scene.data."""
    other = {"h0": "(h0|hx)", "dh_n": "(dh_n|dstate)"}  # where one state is all there is, it has two names
    for name in names:
        array = getattr(scene.data, name)
        if array is not None:
            array = array if name in {"h0", "c0", "dh_n", "dc_n"} else scene.config.layout(array)
            wrong = {TypeError: of_wrong_type(array), ValueError: of_wrong_shape(array)}
            yield from ((name, other.get(name, name), error, value) for error in wrong for value in wrong[error])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("call", ["plain", "forward"])
@every_cell
def test_input_and_state(cell, call, batch_first):
    scene = Scene(cell, batch_first=batch_first)
    right = {"x": scene.config.layout(scene.data.x)}
    scene.forward(call, **right)  # what is spoilt one by one below is right
    wrong = list(wrong_arrays(scene, "x", "h0", "c0"))
    wrong += [("x", "x", TypeError, None), ("x", "x", ValueError, zeros()), ("x", "x", ValueError, zeros(T, B, 0))]
    wrong += [("h0", "h0", ValueError, zeros(B, L * D, H)), ("h0", "h0", ValueError, zeros(L, B, D * H))]
    for argument, name, error, value in wrong:
        if argument == "x" and error is ValueError and value.ndim in {2, 3} and value.shape[-1] == I:
            continue  # another T or B is no fault of x
        with scene.refuses(error, name):
            scene.forward(call, **(right | {argument: value}))
    with scene.refuses(ValueError, "(h0|lengths)"):
        scene.forward(call, x=scene.config.layout(zeros(T, B + 1, I)))


@every_cell
def test_state_of_another_form(cell):
    scene = Scene(cell)
    h, c = scene.data.h0, scene.data.h0
    wrong = [np.stack([h, c]), h, (h,), (h, c, c), [], {"h": h, "c": c}, "hc"] if scene.lstm else [(h, c), (h,), [h]]
    for value in wrong:
        with scene.refuses(TypeError, "(hx|h0)"):
            scene.forward(hx=value)
        with scene.refuses(TypeError, "(hx|h0)"):
            scene.forward("plain", hx=value)
        with scene.refuses(TypeError, "(dstate|dh_n)"):
            scene.backward(dstate=value)


LENGTHS = [
    (TypeError, [2.0] * B),
    (ValueError, [T + 1] * B),
    (TypeError, T),
    (TypeError, np.full(B, 1.5)),
    (TypeError, np.full(B, 2.0)),
    (TypeError, np.full(B, True)),
    (TypeError, np.full(B, "2")),
    (TypeError, np.full(B, 2, object)),
    (ValueError, np.full(B, -1)),
    (ValueError, np.array([T] * (B - 1) + [-1], np.int8)),
    (ValueError, np.array([T + 1] + [T] * (B - 1))),
    (ValueError, np.full(B, 2**32)),  # 0 in 32 bits
    (ValueError, np.full(B, 2**64 - 1, np.uint64)),  # -1 in signed ones
    (ValueError, np.full(B + 1, T)),
    (ValueError, np.full((B, 1), T)),
    (ValueError, np.array(T)),
]


@pytest.mark.parametrize(("error", "value"), LENGTHS, ids=describe)
def test_lengths(error, value):
    scene = Scene("gru")
    for call in ("plain", "forward"):
        with scene.refuses(error, "lengths"):
            scene.forward(call, lengths=value)


@every_cell
def test_unbatched(cell):
    scene = Scene(cell)
    x, h, c = scene.data.x[:, 0], scene.data.h0[:, 0], scene.data.h0[:, 0]
    state = {"h0": h, "c0": c} if scene.lstm else {"h0": h}
    scene.forward(x=x, lengths=None, **state)
    for value in (np.array([T]), np.array(T)):
        with scene.refuses(ValueError, "lengths"):
            scene.forward(x=x, **state, lengths=value)
    for name in state:
        with scene.refuses(ValueError, name):
            scene.forward(x=x, lengths=None, **(state | {name: h[:, None]}))


@pytest.mark.parametrize("batch_first", [False, True])
def test_out(batch_first):
    scene = Scene("lstm", batch_first=batch_first)
    out, right = scene.config.layout(scene.out), {"x": scene.config.layout(scene.data.x)}
    scene.forward("plain", **right, out=out.copy())
    read_only = out.copy()
    read_only.flags.writeable = False
    wrong = [(TypeError, value) for value in of_wrong_type(out)]
    wrong += [(ValueError, value) for value in [*of_wrong_shape(out), out.swapaxes(0, 1), read_only]]
    for error, value in wrong:
        with scene.refuses(error, "out", value if error is ValueError else None):
            scene.forward("plain", **right, out=value)
    with scene.refuses(ValueError, "lengths", out):  # a fault elsewhere leaves a right `out` as it is
        scene.forward("plain", **right, out=out, lengths=np.full(B, T + 1))


@every_cell
def test_gradients(cell):
    scene = Scene(cell)
    scene.backward(retain=True, grads={name: g.copy() for name, g in scene.grads.items()})
    right, wrong = scene.data.dy, list(wrong_arrays(scene, "dy", "dh_n", "dc_n"))
    for name in ("doutputs", "dstates['c']") if scene.lstm else ("doutputs",):
        quoted = re.escape(name)
        spoilt = [(rf"{quoted}(\[1\])?", error, {1: value}) for _, _, error, value in wrong_arrays(scene, "dy")]
        spoilt += [(quoted, ValueError, {key: right}) for key in (L, -1, 2**70)]
        spoilt += [(quoted, EITHER, {key: right}) for key in ("0", None, 0.5)]
        spoilt += [(quoted, TypeError, [right] * L), (quoted, TypeError, right)]
        if name == "doutputs":
            wrong += [(name, *case) for case in spoilt]
        else:
            wrong += [("dstates", quoted, error, {"c": value}) for quoted, error, value in spoilt]
    wrong += [
        ("dstates", "dstates", ValueError, {name: {0: right}}) for name in ("h", "n", "c" if not scene.lstm else "")
    ]
    wrong += [("dstates", "dstates", TypeError, value) for value in ([right], {0: right}, right)]
    for argument, name, error, value in wrong:
        with scene.refuses(error, name):
            scene.backward(**{argument: value})
        with scene.refuses(error, name):  # with fewer results to compute there is no less to check
            scene.backward(**{argument: value}, need_dx=False, retain=True)


def test_dict_of_gradients():
    scene = Scene("gru")
    names = list(scene.grads)
    for name in (names[0], names[-1]):
        array = scene.grads[name]
        read_only = array.copy()
        read_only.flags.writeable = False
        strided = np.zeros([2 * n for n in array.shape], array.dtype)[(slice(None, None, 2),) * array.ndim]
        wrong = [(TypeError, value) for value in of_wrong_type(array)]
        wrong += [(ValueError, value) for value in [*of_wrong_shape(array), read_only, strided]]
        for error, value in wrong:
            with scene.refuses(error, rf"(grads.*|{name})"):
                scene.backward(grads=scene.grads | {name: value})
        missing = {key: value for key, value in scene.grads.items() if key != name}
        with scene.refuses(ValueError, "grads"):
            scene.backward(grads=missing)
    for error, value in ((ValueError, {}), (TypeError, list(scene.grads.values())), (TypeError, scene.out)):
        with scene.refuses(error, "grads"):
            scene.backward(grads=value)
    with scene.refuses(ValueError, r"(grads.*|weight_hh_l0)"):  # which nobody may write into
        scene.backward(grads=scene.grads | {"weight_hh_l0": scene.layer.params["weight_hh_l0"]})


@every_cell
def test_tapes_of_others(cell):
    scene, twin, other = Scene(cell), Scene(cell), Scene("lstm" if cell != "lstm" else "gru")
    linear, cell_layer = recurra.Linear(I, H, seed=0), recurra.LSTMCell(I, H, seed=0)
    foreign = [twin.tape, other.tape, linear.forward(zeros(2, I))[1], cell_layer.forward(zeros(2, I))[1]]
    for tape in foreign:
        with scene.refuses((RuntimeError, TypeError), "tape", form=": "):
            scene.backward(tape)
    assert_same_bits(twin.gradients(), twin.expected)
    for value in (scene.data.x, 0, "tape", (scene.tape,), scene.layer, object()):
        with scene.refuses(TypeError, "tape"):
            scene.backward(value)
    with refused(TypeError, "tape", dict(scene.layer.grads)):
        scene.layer.backward(None, scene.data.dy)


@every_cell
def test_consumed_tape(cell):
    scene = Scene(cell)
    scene.backward()
    arguments = scene.data.dy, scene.data.dh_n, scene.data.dc_n
    watched = (dict(scene.layer.params), dict(scene.layer.grads), scene.grads)
    for options in ({}, {"retain": True}, {"need_dx": False}, dict.fromkeys(("dy", "dh_n", "dc_n"))):
        with refused(RuntimeError, "tape", *watched, *arguments, form=": "):
            scene.backward(**options)
    for history in (scene.tape.outputs, *scene.tape.states.values()):
        with pytest.raises(RuntimeError, match=r"^tape: "):
            history[0]


@pytest.mark.parametrize("change", ["load", "load the same", "step"])
@every_cell
def test_outdated_tape(cell, change):
    scene = Scene(cell)
    opt = recurra.Adam(scene.layer)
    if change == "step":
        opt.step()
    else:
        scene.layer.load_state_dict({n: v * (1 if "same" in change else 2) for n, v in scene.data.params.items()})
    with refused(RuntimeError, "tape", dict(scene.layer.params), dict(scene.layer.grads), scene.grads, form=": "):
        scene.backward()
    _, tape, _ = calls.forward(scene.layer, scene.config, scene.data)
    scene.backward(tape)


@every_cell
def test_state_dict(cell):
    """A fault in the last array leaves the first as it was, and the tape valid."""
    scene = Scene(cell)
    new = {name: value + 1 for name, value in scene.data.params.items()}
    for name in (next(iter(new)), list(new)[-1], "weight_hh_l0_reverse"):
        wrong = [(TypeError, value) for value in [*of_wrong_type(new[name]), None]]
        wrong += [(ValueError, value) for value in of_wrong_shape(new[name])]
        for error, value in wrong:
            with scene.refuses(error, name):
                scene.layer.load_state_dict(new | {name: value})
        with scene.refuses(ValueError, "state_dict", form=f": expected .*{name}"):
            scene.layer.load_state_dict({key: value for key, value in new.items() if key != name})
    for surplus in ("weight_ih_l2", "weight_ih", 0):
        with scene.refuses(ValueError, "state_dict", form=f": expected .*got.*{surplus}"):
            scene.layer.load_state_dict(new | {surplus: zeros(2)})
    for value in (None, list(new.values()), 3):
        with scene.refuses(TypeError, "state_dict"):
            scene.layer.load_state_dict(value)


@every_cell
def test_messages_say_what_to_do(cell):
    scene = Scene(cell)
    blocks = len(FORMULAS[cell].gates)
    gates = f"{blocks}*hidden_size" if blocks > 1 else "hidden_size"
    rows = scene.data.params["weight_ih_l0"].shape[0]
    with pytest.raises(ValueError, match=r"^x: ") as error:
        scene.forward(x=zeros(T, B, 16))
    assert str(error.value).startswith(f"x: expected (T, B, input_size) = (T, B, {I})")
    assert str(error.value).endswith(f", got {(T, B, 16)}")
    with pytest.raises(TypeError, match=r"^x: ") as error:
        scene.forward(x=zeros(T, B, I, dtype=np.float64))
    cure = "pass x.astype(np.float32), or make the layer with dtype=np.float64"
    assert str(error.value) == "x: expected float32, got float64: " + cure
    with pytest.raises(ValueError, match=r"^weight_ih_l0: ") as error:
        scene.layer.load_state_dict(scene.data.params | {"weight_ih_l0": zeros(rows, 16)})
    expected = f"({gates}, input_size) = {(rows, I)}"
    assert str(error.value) == f"weight_ih_l0: expected {expected}, got {(rows, 16)}"
    with pytest.raises(ValueError, match=r"^hidden_size: ") as error:
        recurra.LSTM(3, 0)
    assert str(error.value) == "hidden_size: expected a positive integer, got 0"

"""Objects with an `__array__` or `__dlpack__` that isn't to be trusted: a result, or an error; no process ends."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import recurra
from configs import assert_same_bits
from refused import refused
from test_foreign_inputs import Array, Capsule, H, Once, X, floats


class Raises:
    def __init__(self, error):
        self.error = error

    def __array__(self):
        raise self.error


def test_what_an_array_raises_is_said_with_the_arguments_name():
    layer = recurra.LSTM(4, 5, seed=0)
    for call in (layer, recurra.Tanh(), recurra.Stream(layer).many):
        with pytest.raises(
            TypeError, match=r"^x: expected .*, got \S+\.Raises, which gives none \(KeyError: 'why'\)$"
        ) as e:
            call(Raises(KeyError("why")))
        assert isinstance(e.value.__cause__, KeyError)
        for error in (MemoryError, KeyboardInterrupt, RecursionError):
            with pytest.raises(error):
                call(Raises(error()))
    with refused(TypeError, "c0"):
        layer(X, (None, Raises(ValueError("x" * 1000))))


def test_objects_that_lie():
    layer, x = recurra.LSTM(4, 5, seed=0), X.copy()
    right = layer(x)

    class Frees:
        def __array__(self):
            x.resize(0, refcheck=False)
            return H[:1]

    class Recurses:
        def __array__(self):
            return layer(self)[0]

    class Shrinks:
        size = 6

        def __array__(self):
            self.size -= 1
            return X[: self.size]

    class Twice:
        used = None

        def __dlpack__(self, **_):
            self.used = self.used or X.__dlpack__()
            return self.used

        def __dlpack_device__(self):
            return (1, 0)

    class Lies(Capsule):
        def __dlpack__(self, **_):
            return 3

        def __dlpack_device__(self):
            return "everywhere"

    class Claims:
        @property
        def __class__(self):
            return np.ndarray

    with pytest.raises(ValueError, match=r"^x: expected .*, got \(0,\)"):
        layer(x, (Frees(), None))
    with pytest.raises(RecursionError):
        layer(Recurses())
    assert layer(Shrinks())[0].shape == (5, 3, 5)
    model = recurra.Sequential(recurra.Linear(4, 4, seed=0), layer)
    assert model(Shrinks(), lengths=[1, 2, 3]).shape == (5, 3, 5)
    twice = Twice()
    assert_same_bits(layer(twice)[0], right[0])
    for wrong in (
        twice,
        Lies(X),
        Array(X.tolist()),
        Array(None),
        Array(np.ma.array(X)),
        Array(X.astype(object)),
        Array,
    ):
        with refused(TypeError, "x"):
            layer(wrong)
        with refused(TypeError, "x"):
            recurra.ReLU()(wrong)
    with pytest.raises((TypeError, AttributeError)):
        layer(Claims())


def test_a_list_that_never_has_the_same_twice():
    class Anew(Array):
        def __array__(self):
            state[0] = Anew(self.array)
            return self.array

    state = [Anew(H), H]
    with refused(ValueError, "h0", form=": expected the same object when it is read again, got another"):
        recurra.LSTM(4, 5, seed=0)(X, state)


def test_random_trouble_ends_in_a_result_or_an_error():
    rng = np.random.default_rng(0)
    layer = recurra.Sequential(recurra.Linear(4, 4, seed=0), recurra.LSTM(4, 5, seed=1), recurra.Linear(5, 2, seed=2))
    victims = []

    class Trouble:
        def __array__(self):
            for array in victims:
                if rng.random() < 0.3:
                    array.resize(int(rng.integers(0, 80)), refcheck=False)
            match rng.integers(6):
                case 0:
                    return floats(*rng.integers(0, 7, rng.integers(0, 4)))
                case 1:
                    raise ValueError
                case 2:
                    return layer(X)
                case _:
                    victims.append(floats(*[(6, 3, 4), (1, 3, 5)][rng.integers(2)]))
                    return victims[-1]

    done = 0
    for _ in range(300):
        victims[:] = [floats(6, 3, 4), floats(1, 3, 5), np.array([1, 2, 3])]
        given = [Trouble() if rng.random() < 0.6 else array for array in (*victims, victims[1])]
        try:
            _, tape = layer.forward(given[0], [(given[1], given[3])], lengths=given[2])
            layer.backward(tape, Trouble())
        except (TypeError, ValueError):
            continue
        done += 1
    assert done < 300


def test_many_threads_at_once():
    layer, results = recurra.LSTM(4, 5, seed=0), []
    xs = [floats(6, 3, 4, seed=i) for i in range(4)]

    def work(x):
        y = [layer(Once(x), (Array(H[:1]), Capsule(H[1:])))[0] for _ in range(50)]
        results.append((x, y))

    threads = [threading.Thread(target=work, args=(x,)) for x in xs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for x, ys in results:
        expected, _ = layer(x, (H[:1], H[1:]))
        for y in ys:
            assert_same_bits(y, expected)


class Frees:
    """Gives an array, and takes the memory of another argument away."""

    def __init__(self, array, victim):
        self.array, self.victim = array, victim

    def __array__(self):
        self.victim.resize((0,), refcheck=False)
        return self.array


MUCH = (300, 200, 40)  # 10 MB, so that what is freed can't be read any more
FREEING = {
    "cross_entropy": lambda p: recurra.cross_entropy(p, np.zeros(MUCH[:2], int), Frees(np.ones(40), p)),
    "ctc": lambda p: recurra.ctc(p, Frees(np.ones((300, 5), int), p), batch_first=True),
    "ctc_decode": lambda p: recurra.ctc_decode(p, lengths=Frees(np.full(200, 3), p)),
    "gaussian_nll": lambda p: recurra.gaussian_nll(p, Frees(np.ones((300, 200, 20), np.float32), p)),
    "quantile": lambda p: recurra.quantile(
        p, np.ones(MUCH[:2], np.float32), [0.5] * 40, lengths=Frees(np.full(200, 3), p)
    ),
    "Last": lambda p: recurra.Last(batch_first=True)(p, lengths=Frees(np.full(300, 200), p)),
}


@pytest.mark.parametrize("call", FREEING.values(), ids=FREEING)
def test_what_frees_another_argument(call):
    with pytest.raises(ValueError, match=r": expected .*, got "):
        call(np.ones(MUCH, np.float32))


class Calls:
    """Gives an array, and calls something first."""

    def __init__(self, array, call):
        self.array, self.call = array, call

    def __array__(self):
        self.call()
        return self.array


def backward_twice(layer, *arguments):
    """A gradient that uses the tape while it is asked for; the layer's gradients are those of that one use."""
    y, *_, tape = layer.forward(*arguments)
    dy = np.ones_like(y)
    if layer.params:
        layer.zero_grad()
        layer.backward(layer.forward(*arguments)[-1], dy)
        once = {name: array.copy() for name, array in layer.grads.items()}
        layer.zero_grad()
    with pytest.raises(RuntimeError, match=r"^tape: expected an unused one"):
        layer.backward(tape, Calls(dy, lambda: layer.backward(tape, dy)))
    if layer.params:
        assert_same_bits(dict(layer.grads), once)


def test_a_gradient_that_uses_the_tape_itself():
    steps = floats(5, 2, 4)
    backward_twice(recurra.Attention(4, 4, seed=0), steps, steps)
    backward_twice(recurra.AttentionPooling(4, seed=0), steps)
    backward_twice(recurra.LayerNorm(4), steps)
    backward_twice(recurra.Tanh(), steps)


def test_a_gradient_that_changes_the_weights():
    layer, x = recurra.LayerNorm(4), floats(3, 4)
    _, tape = layer.forward(x)
    change = Calls(np.ones_like(x), lambda: layer.load_state_dict({"weight": np.full(4, 2, np.float32), "bias": x[0]}))
    with pytest.raises(RuntimeError, match=r"^tape: expected one made with the present weights"):
        layer.backward(tape, change)

"""Random configurations, data for them, and comparisons: what the tests of answers, gradients and bits share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

import recurra
from recurra.definitions import FORMULAS
from recurra.formula.operations import Role

if TYPE_CHECKING:
    from collections.abc import Callable

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before")
CLASSES = {  # the layer and the cell of each, and the options that make them so
    "rnn_tanh": (recurra.RNN, recurra.RNNCell, {"nonlinearity": "tanh"}),
    "rnn_relu": (recurra.RNN, recurra.RNNCell, {"nonlinearity": "relu"}),
    "lstm": (recurra.LSTM, recurra.LSTMCell, {}),
    "gru": (recurra.GRU, recurra.GRUCell, {"reset_after": True}),
    "gru_reset_before": (recurra.GRU, recurra.GRUCell, {"reset_after": False}),
}
VECTOR_WIDTHS = (4, 8, 16, 64)  # float64 and float32 of AVX2, float32 of AVX-512, a whole panel of the latter


def has_cell_state(cell: str) -> bool:
    """Whether a cell hands on c beside h, so that a state is (h, c)."""
    return "c" in FORMULAS[cell].states


@dataclass(frozen=True)
class Config:
    """One network and the shape of one call of it. Its repr is all that's needed to draw the case again."""

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    bidirectional: bool
    bias: bool
    dtype: type[np.floating]
    batch_first: bool
    lengths: bool  # given, or every sequence T long
    state: bool  # given, or zeros
    T: int
    B: int

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def has_cell_state(self) -> bool:
        return has_cell_state(self.cell)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters by PyTorch's names, in its order."""
        shapes = {}
        for layer in range(self.num_layers):
            inputs = self.directions * self.hidden_size if layer else self.input_size
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: self.directions]:
                columns = {Role.INPUT_WEIGHT: (inputs,), Role.RECURRENT_WEIGHT: (self.hidden_size,)}
                for parameter in FORMULAS[self.cell].layout.parameters:
                    if self.bias or parameter.role in columns:
                        shape = parameter.blocks * self.hidden_size, *columns.get(parameter.role, ())
                        shapes[parameter.name + suffix] = shape
        return shapes

    def layout(self, a: np.ndarray | None) -> np.ndarray | None:
        """Time-major <-> the layout of the user of this configuration, contiguous: its own inverse."""
        return np.ascontiguousarray(a.swapaxes(0, 1)) if self.batch_first and a is not None else a


@dataclass(frozen=True)
class Data:
    """Arguments of one forward and one backward call, time-major. Beyond a sequence's end stands NaN."""

    params: dict[str, np.ndarray]
    x: np.ndarray  # (T, B, I)
    lengths: np.ndarray | None  # (B,) int64
    h0: np.ndarray | None  # (L·D, B, H)
    c0: np.ndarray | None
    dy: np.ndarray  # (T, B, D·H)
    dh_n: np.ndarray  # (L·D, B, H)
    dc_n: np.ndarray | None
    doutputs: dict[int, np.ndarray]  # every layer -> (T, B, D·H)
    dstates: dict[str, dict[int, np.ndarray]]  # "c" -> the same where there is a cell state, else empty

    def astype(self, dtype: type[np.floating]) -> Data:
        """The same values in another precision, for the reference in float64."""

        def cast(value):
            if isinstance(value, dict):
                return {key: cast(item) for key, item in value.items()}
            return value.astype(dtype) if value is not None else None

        return replace(self, **{f.name: cast(getattr(self, f.name)) for f in fields(self) if f.name != "lengths"})


def is_prime(n: int) -> bool:
    return n > 1 and all(n % k for k in range(2, int(n**0.5) + 1))


def draw_size(rng: np.random.Generator, largest: int) -> int:
    """From 1..largest: more often odd, more often prime, most often a vector width, two of them, or one off that."""
    sizes = np.arange(1, largest + 1)
    edges = {width * factor + off for width in VECTOR_WIDTHS for factor in (1, 2) for off in (-1, 0, 1)}
    weights = np.array([1 + 2 * (n % 2) + 2 * is_prime(n) + 6 * (n in edges) for n in sizes.tolist()])
    return int(rng.choice(sizes, p=weights / weights.sum()))


def draw_config(rng: np.random.Generator, **fixed: object) -> Config:
    """A configuration at random but for the fields given. Empty and single steps and rows are 1 in 8 each."""

    def draw_count(largest: int) -> int:
        return int(rng.choice((0, 1))) if rng.random() < 0.25 else int(rng.integers(2, largest + 1))

    drawn = Config(
        cell=str(rng.choice(CELLS)),
        input_size=draw_size(rng, 70),
        hidden_size=draw_size(rng, 130),
        num_layers=int(rng.integers(1, 4)),
        bidirectional=rng.random() < 0.5,
        bias=rng.random() < 0.8,
        dtype=np.float32 if rng.random() < 0.5 else np.float64,
        batch_first=rng.random() < 0.5,
        lengths=rng.random() < 0.6,
        state=rng.random() < 0.6,
        T=draw_count(40),
        B=draw_count(33),
    )
    return replace(drawn, **fixed)


def make_data(config: Config, rng: np.random.Generator, lengths: list[int] | None = None) -> Data:
    """Weights uniform in ±1/√H, all else standard normal; lengths as given or uniform in 0..T, so often all below T."""
    assert config.lengths or lengths is None, "lengths for a configuration without"
    T, B, H = config.T, config.B, config.hidden_size
    states = (config.num_layers * config.directions, B, H)
    track = (T, B, config.directions * H)
    if config.lengths:
        lengths = rng.integers(0, T + 1, B) if lengths is None else np.array(lengths)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(config.dtype)

    def padded(*shape: int) -> np.ndarray:
        array = normal(*shape)
        if lengths is not None:
            array[np.arange(T)[:, None] >= lengths] = np.nan
        return array

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-1 / np.sqrt(H), 1 / np.sqrt(H), shape).astype(config.dtype)

    layers, cell_state = range(config.num_layers), config.has_cell_state
    return Data(
        params={name: uniform(*shape) for name, shape in config.shapes().items()},
        x=padded(T, B, config.input_size),
        lengths=lengths,
        h0=normal(*states) if config.state else None,
        c0=normal(*states) if config.state and cell_state else None,
        dy=padded(*track),
        dh_n=normal(*states),
        dc_n=normal(*states) if cell_state else None,
        doutputs={layer: padded(*track) for layer in layers},
        dstates={"c": {layer: padded(*track) for layer in layers}} if cell_state else {},
    )


def make_layer(config: Config, params: dict[str, np.ndarray]) -> recurra.RNN | recurra.LSTM | recurra.GRU:
    """The public layer of this configuration with these weights."""
    kind, _, options = CLASSES[config.cell]
    layer = kind(
        config.input_size,
        config.hidden_size,
        num_layers=config.num_layers,
        bias=config.bias,
        batch_first=config.batch_first,
        bidirectional=config.bidirectional,
        dtype=config.dtype,
        **options,
    )
    layer.load_state_dict(params)
    return layer


def make_cell(cell: str, input_size: int, hidden_size: int, **options: object) -> recurra.Module:
    """The public cell, which takes single steps, of this name."""
    _, kind, own = CLASSES[cell]
    return kind(input_size, hidden_size, **own, **options)


def near_kink(tape: recurra.reference.Tape, margin: float = 1e-5) -> bool:
    """Whether a pre-activation of this relu network is so near 0 that rounding may decide on its slope: draw again."""
    return tape.cell == "rnn_relu" and any((np.abs(a) < margin).any() for a in tape.preactivations)


def numeric_gradient(loss: Callable[[], float], array: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a loss by each element of a float64 array that it reads.

    The step balances truncation, step² times a third derivative, against rounding, 1e-16 of the loss over the step:
    both stay below 1e-9 for losses of the size of 10.
    """
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = loss()
        array[index] = value - step
        gradient[index] = (above - loss()) / (2 * step)
        array[index] = value
    return gradient


def slope_error(loss: Callable[[], float], array: np.ndarray, gradient: np.ndarray) -> float:
    """How far the gradient is off, by central differences along three directions of random signs through the array.

    An element that is wrong shows in each of them as much as by itself, for six losses instead of two by element.
    """
    assert gradient.shape == array.shape
    rng, before, step, worst = np.random.default_rng(0), array.copy(), 1e-5 / np.sqrt(max(1, array.size)), 0.0
    for _ in range(3):
        signs, ends = rng.choice([-1.0, 1.0], array.shape), []
        for way in (step, -step):
            array[...] = before + way * signs
            ends.append(loss())
        worst = max(worst, abs((ends[0] - ends[1]) / (2 * step) - np.sum(gradient * signs)))
        array[...] = before
    return worst


def max_error(got: np.ndarray, ref: np.ndarray) -> float:
    """Largest |got - ref| / max(1, largest |ref|), in float64; NaN, which passes no `<=`, if either holds one."""
    assert got.shape == ref.shape, f"shape {got.shape}, expected {ref.shape}"
    if not ref.size:
        return 0.0
    got, ref = got.astype(np.float64), ref.astype(np.float64)
    return float(np.max(np.abs(got - ref)) / np.maximum(1, np.max(np.abs(ref))))


def assert_same_bits(a: object, b: object, what: str = "result") -> None:
    """Equality bit for bit of arrays, or of tuples, lists and dicts of them: -0 isn't +0, and NaN may equal NaN."""
    assert type(a) is type(b), f"{what}: {type(a)} and {type(b)}"
    if isinstance(a, dict):
        assert list(a) == list(b), f"{what}: keys {list(a)} and {list(b)}"
        for key in a:
            assert_same_bits(a[key], b[key], f"{what}[{key!r}]")
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), f"{what}: {len(a)} and {len(b)} members"
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_bits(x, y, f"{what}[{i}]")
    elif a is not None:
        assert isinstance(a, np.ndarray | np.generic), f"{what}: {type(a)} isn't an array"
        assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{what}: {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        bits = f"u{a.itemsize}"
        differ = np.ascontiguousarray(a).view(bits) != np.ascontiguousarray(b).view(bits)
        if differ.any():
            at = np.unravel_index(int(differ.argmax()), a.shape)
            raise AssertionError(f"{what}: {differ.sum()} of {a.size} differ, first {at}: {a[at]!r} and {b[at]!r}")

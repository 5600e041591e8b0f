"""`from_keras` and `to_keras`: which layers of Keras 3 are which of ours, and what has no counterpart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import recurra
from recurra._checks import shown

from .keras_arrays import ours_from_keras
from .refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

# What `leave_out` may name, with what the model then is.
OMISSIBLE = {
    "softmax": "without a softmax at the end, so that y are logits, as cross_entropy takes them",
    "dropout": "without dropout on inputs and states of recurrent layers, which only training has",
    "mask_zero": "without masks: give `lengths` to calls, of sequences padded at their ends",
    "regularizers": "without regularizers and constraints, which only training has",
    "stateful": "beginning every call in zeros: hand the states on yourself, with `run`",
}
ACTIVATIONS = {"tanh": recurra.Tanh, "relu": recurra.ReLU, "sigmoid": recurra.Sigmoid}
KNOWN = (
    *("SimpleRNN", "LSTM", "GRU", "SimpleRNNCell", "LSTMCell", "GRUCell", "Bidirectional", "Dense", "Embedding"),
    *("LayerNormalization", "Dropout", "Activation", "ReLU", "Softmax", "TimeDistributed of Dense"),
)
REGULAR = ("kernel", "recurrent", "bias", "embeddings", "gamma", "beta")


def from_keras(model: Any, *, leave_out: Iterable[str] = ()) -> Any:
    """A layer or `Sequential` with the weights of one of Keras 3, copies of them, that computes the same.

    `LSTM`, `GRU` with either `reset_after`, `SimpleRNN`, `Bidirectional` of these with `merge_mode="concat"`, their
    cells, `Dense` with a linear, tanh, relu or sigmoid activation, `TimeDistributed` of one, `Embedding`,
    `LayerNormalization` of the last axis, `Dropout`, `Activation`, `ReLU`, and `keras.Sequential` of such, whatever
    Keras computes with. Layers read (B, T, features), as Keras's do: `batch_first` is True. A layer with
    `return_sequences=False` becomes a `Sequential` of itself and `Last`, one with an activation of itself and that,
    `go_backwards` becomes `reverse` with a `Last` behind, and `return_state=True` the bare layer, which returns all
    outputs and the states. Where Keras has one bias, ours is in `bias_ih`, and `bias_hh` is zero: both are trained, so
    that under Adam they move twice as fast. Left behind are gradients, names, initializers and which layers are frozen.
    Keras multiplies float64 as float32, so its answers are no better than that.

    Args:
        model: a layer or model that has been built, of float32 or float64.
        leave_out: what may be missing from the result, which is refused otherwise: `"softmax"` at the end, so that the
            model gives logits, as `cross_entropy` takes them; `"dropout"` on inputs and `recurrent_dropout` of gated
            cells, which draw other masks than ours; `"mask_zero"`, for which calls are given `lengths` of sequences
            padded at their ends; `"regularizers"` and constraints; `"stateful"`, so that every call begins in zeros:
            `run` takes and returns states.

    Returns:
        A layer or a `recurra.Sequential`.

    Raises:
        ImportError: without keras (`pip install 'recurra[keras]'`).
        TypeError: it is no layer, or of another class, a subclass of these included.
        ValueError: it isn't built, or an option has no counterpart here: another activation or merge_mode, mixed
            precision, or go_backwards with all outputs, which Keras hands on reversed.

    Example:
        >>> import keras
        >>> theirs = keras.Sequential([keras.layers.Input((None, 3)), keras.layers.LSTM(8), keras.layers.Dense(1)])
        >>> recurra.from_keras(theirs)
        Sequential(
            LSTM(3, 8, batch_first=True),
            Last(batch_first=True, bidirectional=False),
            Linear(8, 1),
        )
    """
    keras = _keras()
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model: expected a layer or model of Keras, got {shown(model)}")
    if isinstance(leave_out, str):
        raise TypeError(f"leave_out: expected a list of names, got {shown(leave_out)}")
    left = set(leave_out)
    if left - set(OMISSIBLE):
        raise ValueError(f"leave_out: expected some of {', '.join(OMISSIBLE)}, got {shown(sorted(left))}")
    if type(model) is keras.Sequential:
        return recurra.Sequential(*_Reader(keras, left, within=True).all_of(model))
    layers = _Reader(keras, left, within=False).layers_of(model, last=True)
    return layers[0] if len(layers) == 1 else recurra.Sequential(*layers)


def _keras() -> Any:
    try:
        import keras
    except ImportError:
        raise ImportError("keras: expected Keras 3, which is missing: pip install 'recurra[keras]'") from None
    if not keras.__version__.startswith("3."):
        raise ImportError(f"keras: expected Keras 3, got {keras.__version__}: pip install 'recurra[keras]'")
    return keras


class _Reader:
    """Makes our layers of Keras's, with what may be left out; `within` a model there is nobody to take states."""

    def __init__(self, keras: Any, left: set[str], within: bool) -> None:
        self.keras, self.left, self.within = keras, left, within
        self._done: dict[int, list[Any]] = {}

    def all_of(self, model: Any, ends: bool = True) -> list[Any]:
        """Those of a Sequential, which `ends` the whole model or not; of a layer that is in it twice, one twice."""
        layers: list[Any] = []
        for i, layer in enumerate(model.layers):
            last = ends and i == len(model.layers) - 1
            if type(layer) is self.keras.Sequential:
                layers.append(recurra.Sequential(*self.all_of(layer, last)))
                continue
            if id(layer) not in self._done:
                self._done[id(layer)] = self.layers_of(layer, last)
            layers += self._done[id(layer)]
        if not layers:
            raise ValueError(f"model: expected layers, got none in {model.name}")
        return layers

    def layers_of(self, layer: Any, last: bool) -> list[Any]:
        """One layer and what it has in it besides."""
        kinds, kind = self.keras.layers, type(layer)
        self._check(layer)
        if kind is kinds.Dropout:
            if layer.noise_shape is not None:
                raise refuse("noise_shape", layer.noise_shape, "None")
            made = [recurra.Dropout(layer.rate)]
        elif kind in {kinds.Activation, kinds.ReLU, kinds.Softmax}:
            made = self._activation(self._function(layer), last)
        elif kind is kinds.TimeDistributed and type(layer.layer) is kinds.Dense:
            made = self.layers_of(layer.layer, last)
        elif kind in {kinds.Dense, kinds.Embedding, kinds.LayerNormalization}:
            made = self._feedforward(layer, last)
        elif kind is kinds.Bidirectional:
            made = self._both(layer)
        elif kind in {kinds.SimpleRNN, kinds.LSTM, kinds.GRU}:
            if layer.go_backwards and (layer.return_sequences or layer.return_state):
                allowed = "False, or the final output alone, as Keras hands outputs on reversed: flip x instead"
                raise refuse("go_backwards", True, allowed)
            made = self._with_last(layer, self._recurrent(layer.cell, [layer.cell], layer.go_backwards), False)
        elif kind in {kinds.SimpleRNNCell, kinds.LSTMCell, kinds.GRUCell}:
            made = [self._recurrent(layer, None)]
        else:
            chain = ""
            if hasattr(layer, "layers"):
                chain = "; of a functional model that is a chain make keras.Sequential(model.layers)"
            raise TypeError(
                f"model: expected {', '.join(KNOWN)} or keras.Sequential, got {kind.__module__}.{kind.__name__}, "
                f"{layer.name!r}{chain}"
            )
        return made

    def _function(self, layer: Any) -> Any:
        """The function of an activation that is a layer."""
        kinds, functions = self.keras.layers, self.keras.activations
        if type(layer) is kinds.Activation:
            return layer.activation
        if type(layer) is kinds.ReLU:
            if layer.max_value is not None or layer.negative_slope or layer.threshold:
                raise refuse("ReLU", layer.get_config(), "max(x, 0)")
            return functions.relu
        if layer.axis != -1:
            raise refuse("axis", layer.axis, "-1")
        return functions.softmax

    def _check(self, layer: Any) -> None:
        """What all have: a dtype, weights, and additions to the loss."""
        if layer.compute_dtype not in {"float32", "float64"} or layer.variable_dtype != layer.compute_dtype:
            raise TypeError(f"dtype: expected float32 or float64, got {layer.dtype_policy.name} of {layer.name}")
        if not layer.built:
            raise ValueError(f"{layer.name}: expected a layer that is built, got one without weights: call it once")
        if getattr(layer, "lora_enabled", False):
            raise refuse("lora_rank", "low-rank additions", f"none in {layer.name}")
        if mode := getattr(layer, "quantization_mode", None):
            raise refuse("quantization_mode", mode, f"None of {layer.name}, whose weights are scaled")
        if getattr(layer, "stateful", False):
            self._omit("stateful", "stateful", f"True of {layer.name}")
        parts = [f"{part}_{what}" for part in REGULAR for what in ("regularizer", "constraint")]
        for name in [*parts, "activity_regularizer"]:
            if getattr(layer, name, None) is not None:
                self._omit("regularizers", name, f"one of {layer.name}")

    def _omit(self, what: str, name: str, got: str) -> None:
        """Raises unless the caller has said that this may be left out."""
        if what not in self.left:
            raise ValueError(
                f"{name}: expected none, got {got}; with leave_out=[{what!r}] the model is made {OMISSIBLE[what]}"
            )

    def _activation(self, function: Any, last: bool) -> list[Any]:
        name = self._name(function)
        if name == "linear":
            return []
        if name == "softmax" and last:
            self._omit("softmax", "activation", "softmax")
            return []
        if name not in ACTIVATIONS:
            raise refuse("activation", name, ", ".join(["linear", *ACTIVATIONS]))
        return [ACTIVATIONS[name]()]

    def _name(self, function: Any) -> str:
        """An activation's name, of Keras's own only."""
        known = ("linear", "tanh", "relu", "sigmoid", "softmax", "hard_sigmoid")
        return next((name for name in known if function is getattr(self.keras.activations, name)), shown(function))

    def _feedforward(self, layer: Any, last: bool) -> list[Any]:
        kinds = self.keras.layers
        if type(layer) is kinds.Dense:
            return [ours_from_keras("Linear", layer), *self._activation(layer.activation, last)]
        if type(layer) is kinds.Embedding:
            if layer.mask_zero:
                self._omit("mask_zero", "mask_zero", f"True of {layer.name}")
            return [ours_from_keras("Embedding", layer)]
        return [ours_from_keras("LayerNorm", layer)]

    def _recurrent(self, cell: Any, directions: list[Any] | None, reverse: bool = False) -> Any:
        """A layer of one direction or two whose cells have the options of the first; None: the cell itself."""
        name = self._name(cell.activation)
        gated = type(cell) is not self.keras.layers.SimpleRNNCell
        allowed = ("tanh",) if gated else ("tanh", "relu")
        if name not in allowed:
            raise refuse("activation", name, f"{' or '.join(allowed)}; a formula can have it (recurra.formula)")
        if gated and self._name(cell.recurrent_activation) != "sigmoid":
            other = self._name(cell.recurrent_activation)
            raise refuse("recurrent_activation", other, "sigmoid; a formula can have another (recurra.formula)")
        for one in directions or [cell]:
            if one.dropout:
                self._omit("dropout", "dropout", f"{one.dropout} on the inputs of {one.name}")
        if cell.recurrent_dropout and (gated or directions is None):
            self._omit("dropout", "recurrent_dropout", f"{cell.recurrent_dropout} of {cell.name}, a mask for each gate")
        kind = {"SimpleRNNCell": "RNN", "LSTMCell": "LSTM", "GRUCell": "GRU"}[type(cell).__name__]
        options: dict[str, Any] = {"bias": bool(cell.use_bias)}
        if kind == "RNN":
            options["nonlinearity"] = name
        if kind == "GRU":
            options["reset_after"] = cell.reset_after
        if directions is not None:
            options |= {"batch_first": True, "bidirectional": len(directions) == 2, "reverse": reverse}
            if not gated:
                options["recurrent_dropout"] = cell.recurrent_dropout
        return ours_from_keras(kind, cell, options, directions)

    def _both(self, layer: Any) -> list[Any]:
        first, second = layer.forward_layer, layer.backward_layer
        for part in (first, second):
            self._check(part)
        if layer.merge_mode != "concat":
            raise refuse("merge_mode", layer.merge_mode, "'concat'")
        if type(first) not in {self.keras.layers.SimpleRNN, self.keras.layers.LSTM, self.keras.layers.GRU}:
            raise refuse("layer", first, "a SimpleRNN, an LSTM or a GRU")
        if first.go_backwards or type(second) is not type(first) or self._same(first) != self._same(second):
            raise refuse("backward_layer", second, f"one like the forward one but backwards, {shown(first)}")
        return self._with_last(layer, self._recurrent(first.cell, [first.cell, second.cell]), True)

    @staticmethod
    def _same(layer: Any) -> list[Any]:
        """What both directions have in common."""
        names = ("units", "use_bias", "activation", "recurrent_activation", "reset_after", "recurrent_dropout")
        return [getattr(layer.cell, name, None) for name in names]

    def _with_last(self, layer: Any, recurrent: Any, bidirectional: bool) -> list[Any]:
        if self.within and layer.return_state:
            raise refuse("return_state", True, f"False of {layer.name}, which is in a model")
        if layer.return_sequences or layer.return_state:
            return [recurrent]
        if recurrent.reverse:
            return [recurrent, recurra.Last(batch_first=True, reverse=True)]
        return [recurrent, recurra.Last(batch_first=True, bidirectional=bidirectional)]


def to_keras(model: Any) -> Any:
    """A layer or `keras.Sequential` with the weights of one of ours, copies of them, that computes the same.

    `RNN`, `LSTM`, `GRU` and their cells, `Linear`, `Embedding`, `LayerNorm`, `Dropout`, `Tanh`, `ReLU`, `Sigmoid`,
    `Last` behind a recurrent layer, and `Sequential` of such. What is made reads (B, T, features), whatever
    `batch_first` says. A stack of several layers becomes a `keras.Sequential` of them; each returns sequences but one
    before a `Last`. Where Keras has one bias it is the sum of our two; from Keras and back the weights have the same
    bits.

    Args:
        model: a layer, a single step or a `Sequential`.

    Returns:
        A `keras.Layer` or `keras.Sequential`.

    Raises:
        ImportError: without keras (`pip install 'recurra[keras]'`).
        TypeError: it is a layer that Keras doesn't have, such as a formula's, a `Composite` or one of your own.
        ValueError: an option has no counterpart in Keras: `reverse` without a `Last`, `zoneout`, `learned_state`,
            `proj_size`, `padding_idx`, `tokens=True`, gated cells' `recurrent_dropout`; or a `Last` isn't behind a
            recurrent layer.

    Example:
        >>> model = recurra.Sequential(recurra.LSTM(3, 8, seed=0), recurra.Last(), recurra.Linear(8, 1, seed=1))
        >>> theirs = recurra.to_keras(model)
        >>> [type(layer).__name__ for layer in theirs.layers], theirs.output_shape
        (['LSTM', 'Dense'], (None, 1))
    """
    from .keras_writer import Writer

    keras = _keras()
    members = model._layers if type(model) is recurra.Sequential else [model]
    dtype = next((leaf.dtype.name for member in members for leaf in _leaves(member)), "float32")
    layers = Writer(keras, dtype).layers_of(members)
    if type(model) is not recurra.Sequential and len(layers) == 1:
        return layers[0]
    made = keras.Sequential(layers)
    first = members[0]
    while type(first) is recurra.Sequential:
        first = first._layers[0]
    features = getattr(first, "input_size", None) or getattr(first, "in_features", None)
    if type(first) is recurra.Embedding:
        made.build((None, None))
    elif features is not None:
        made.build((None, None, features))
    return made


def _leaves(layer: Any) -> list[Any]:
    leaves: list[Any] = layer.leaves() if callable(getattr(layer, "leaves", None)) else []
    return leaves

"""`to_keras`: our layers as Keras's."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import recurra
from recurra._checks import shown
from recurra.recurrent import Recurrent
from recurra.single_step import SingleStep

from .keras_arrays import arrays_for_keras
from .refusals import check_neutral, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {recurra.RNN: "SimpleRNN", recurra.LSTM: "LSTM", recurra.GRU: "GRU"}
CELLS = {recurra.RNNCell: "SimpleRNNCell", recurra.LSTMCell: "LSTMCell", recurra.GRUCell: "GRUCell"}
NEUTRAL: dict[str, object] = {"zoneout": 0.0, "learned_state": False, "proj_size": 0}
ELEMENTWISE = {recurra.Tanh: "tanh", recurra.ReLU: "relu", recurra.Sigmoid: "sigmoid"}
ZEROS = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}  # an orthogonal one takes long, for nothing


class Writer:
    """Makes Keras's layers of ours; those without parameters compute in `dtype` too."""

    def __init__(self, keras: Any, dtype: str) -> None:
        self.keras, self.dtype = keras, dtype

    def layers_of(self, layers: Sequence[Any]) -> list[Any]:
        """Of layers one after another; a Last is part of the recurrent layer before it."""
        made: list[Any] = []
        before: Any = None
        for layer, after in zip_longest(layers, layers[1:]):
            if type(layer) is recurra.Sequential:
                model = self.keras.Sequential(self.layers_of(layer._layers))
                made.append(model)
            elif type(layer) is recurra.Last:
                if not isinstance(before, Recurrent) or _directions(layer) != _directions(before):
                    raise refuse("model", layer, "Last behind a recurrent layer, taking its final states")
                made[-1] = self._recurrent(before, before.num_layers - 1, return_sequences=False)
            elif isinstance(layer, Recurrent):
                if layer.reverse and (layer.num_layers > 1 or type(after) is not recurra.Last):
                    raise refuse("reverse", True, "False, or one layer before Last, as Keras hands outputs on reversed")
                made += self._stack(layer)
            else:
                made.append(self._other(layer))
            before = layer
        return made

    def _stack(self, layer: Any) -> list[Any]:
        if type(layer) not in KINDS:
            raise TypeError(f"model: expected layers that Keras has, got {shown(layer)}")
        check_neutral(layer, NEUTRAL, "Keras")
        if layer.recurrent_dropout and type(layer) is not recurra.RNN:
            raise refuse("recurrent_dropout", layer.recurrent_dropout, "0, as Keras draws a mask for each gate")
        made = []
        for i in range(layer.num_layers):
            made.append(self._recurrent(layer, i, return_sequences=True))
            if layer.dropout and i + 1 < layer.num_layers:
                made.append(self.keras.layers.Dropout(layer.dropout, dtype=self.dtype))
        return made

    def _recurrent(self, layer: Any, number: int, return_sequences: bool) -> Any:
        """One layer of the stack, or a Bidirectional of it."""
        suffixes = [f"_l{number}", f"_l{number}_reverse"][: 1 + layer.bidirectional]
        features = layer.hidden_size * len(suffixes) if number else layer.input_size
        parts = []
        for suffix in suffixes:
            part = getattr(self.keras.layers, KINDS[type(layer)])(
                **self._options(layer),
                return_sequences=return_sequences,
                go_backwards=suffix.endswith("reverse") or layer.reverse,
                recurrent_dropout=layer.recurrent_dropout,
            )
            parts.append(part)
        made = parts[0]
        if layer.bidirectional:
            made = self.keras.layers.Bidirectional(parts[0], backward_layer=parts[1], dtype=layer.dtype.name)
            parts = [made.forward_layer, made.backward_layer]
        made.build((None, None, features))
        for part, suffix in zip(parts, suffixes, strict=True):
            part.set_weights(self._arrays(layer, suffix))
        return made

    def _options(self, layer: Any) -> dict[str, Any]:
        options = {"units": layer.hidden_size, "use_bias": layer.bias, "dtype": layer.dtype.name} | ZEROS
        if hasattr(layer, "nonlinearity"):
            options["activation"] = layer.nonlinearity
        if hasattr(layer, "reset_after"):
            options["reset_after"] = layer.reset_after
        return options

    @staticmethod
    def _arrays(layer: Any, suffix: str) -> list[Any]:
        kind = type(layer).__name__.removesuffix("Cell")
        return arrays_for_keras(kind, layer.state_dict(), suffix, getattr(layer, "reset_after", False))

    def _other(self, layer: Any) -> Any:
        kinds, kind = self.keras.layers, type(layer)
        if kind in ELEMENTWISE:
            return kinds.Activation(ELEMENTWISE[kind], dtype=self.dtype)
        if kind is recurra.Dropout:
            return kinds.Dropout(layer.p, dtype=self.dtype)
        state = layer.state_dict() if callable(getattr(layer, "state_dict", None)) else {}
        if kind is recurra.Linear:
            made = kinds.Dense(
                layer.out_features, use_bias=layer.bias, kernel_initializer="zeros", dtype=layer.dtype.name
            )
            made.build((None, layer.in_features))
            made.set_weights([state["weight"].T, *([state["bias"]] if layer.bias else [])])
        elif kind is recurra.Embedding:
            check_neutral(layer, {"padding_idx": None}, "Keras")
            made = kinds.Embedding(
                layer.num_embeddings, layer.embedding_dim, embeddings_initializer="zeros", dtype=layer.dtype.name
            )
            made.build((None, None))
            made.set_weights([state["weight"]])
        elif kind is recurra.LayerNorm:
            made = kinds.LayerNormalization(epsilon=layer.eps, dtype=layer.dtype.name)
            made.build((None, layer.features))
            made.set_weights([state["weight"], state["bias"]])
        elif isinstance(layer, SingleStep) and kind in CELLS:
            check_neutral(layer, NEUTRAL, "Keras")
            made = getattr(kinds, CELLS[kind])(**self._options(layer))
            made.build((None, layer.input_size))
            made.set_weights(self._arrays(layer, ""))
        else:
            raise TypeError(f"model: expected layers that Keras has, got {shown(layer)}")
        return made


def _directions(layer: Any) -> tuple[bool, bool]:
    """Whether there are both, and whether the one is the reverse one."""
    return bool(layer.bidirectional), bool(layer.reverse)

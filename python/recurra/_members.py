"""Which layers go together one after another, checked once, when a `Sequential` is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._checks import converter, is_listed, shown
from ._own_layer import check_leaf, dtypes_of, missing_of_layer
from .attention import AttentionPooling
from .embedding import Embedding
from .feedforward import Dropout, Last, ReLU, Sigmoid, Tanh
from .linear import Linear
from .module import identity_of, kind_of_layer
from .normalisation import LayerNorm
from .recurrent import Recurrent, is_layer_type
from .single_step import SingleStep

if TYPE_CHECKING:
    from collections.abc import Sequence

ELEMENTWISE = (Dropout, ReLU, Sigmoid, Tanh)
POOLING = (AttentionPooling, Last)  # (T, B, F) -> (B, F)


def check_kind(layer: Any) -> None:
    """Raises unless it is a layer that takes x alone, which a cell doesn't, or has the methods of one."""
    if isinstance(layer, (list, tuple)):
        raise TypeError(f"layers: expected one argument for each, got a {type(layer).__name__}: write *layers")
    if isinstance(layer, SingleStep):
        raise TypeError(f"layers: expected layers over sequences or single values, got a cell, {shown(layer)}")
    if is_layer_type(kind_of_layer(layer)) and layer.formula.declared.inputs:
        raise ValueError(
            f"layers: expected layers that take x alone, got {shown(layer)}, which needs inputs in each call "
            f"({', '.join(layer.formula.declared.inputs)}): call it yourself, or make a layer that gives them, of a "
            "subclass of recurra.Composite"
        )
    missing = missing_of_layer(layer)
    if missing or isinstance(layer, type):
        lacks = f", which has no {', '.join(missing)}" if missing and not isinstance(layer, type) else ""
        raise TypeError(
            "layers: expected layers over sequences or single values, or objects with their methods, such as those of "
            f"a subclass of recurra.Composite, got {shown(layer)}{lacks}{converter(layer)}"
        )
    if not is_listed(leaves := layer.leaves()):
        raise TypeError(f"layers: expected leaves() to return a list, got {shown(leaves)} of {type(layer).__name__}")


def check_parameters(layers: Sequence[Any]) -> None:
    """Raises unless all parameters are of one dtype, and no layer with parameters is there twice."""
    leaves = [leaf for layer in layers for leaf in layer.leaves()]
    for leaf in leaves:
        check_leaf(leaf)
    own = [identity_of(layer) for layer in layers if any(leaf is layer for leaf in layer.leaves())]
    if len(set(own)) < len(own):
        raise ValueError("layers: expected different layers, got one with parameters twice")
    if len({dtype for leaf in leaves for dtype in dtypes_of(leaf)}) > 1:
        dtypes = ", ".join(dtype.name for leaf in leaves for dtype in sorted(dtypes_of(leaf)))
        raise TypeError(f"layers: expected one dtype, got {dtypes}")


def batch_first_of(layers: Sequence[Any]) -> bool | None:
    """Whether they take (B, T, …); None if no layer says.

    Raises:
        ValueError: they don't agree.
    """
    said = [(flag, layer) for layer in layers for flag in _batch_firsts(layer)]
    for flag, layer in said:
        if flag != said[0][0]:
            one, other = (shown(layer) for layer in (said[0][1], layer))
            raise ValueError(f"layers: expected all with batch_first=True or all without, got {one} and {other}")
    return said[0][0] if said else None


def _batch_firsts(layer: Any) -> list[bool]:
    """What a layer says of itself, or, if it doesn't, what the recurrent layers in it say."""
    own = getattr(layer, "batch_first", None)
    if own is not None:
        return [own]
    return [leaf.batch_first for leaf in layer.leaves() if isinstance(leaf, Recurrent) and leaf is not layer]


def check_last(layers: Sequence[Any]) -> None:
    """Raises ValueError if something recurrent stands after a Last or a pooling, which leave no axis of time."""
    for i, layer in enumerate(layers):
        if isinstance(layer, POOLING) and any(_has_recurrence(later) for later in layers[i + 1 :]):
            names, kind = ", ".join(type(one).__name__ for one in layers), type(layer).__name__
            raise ValueError(f"layers: expected nothing recurrent after {kind}, which leaves no time axis, got {names}")


def _has_recurrence(layer: Any) -> bool:
    return any(isinstance(leaf, Recurrent) for leaf in layer.leaves())


def resolve_last(layers: Sequence[Any]) -> list[Any]:
    """The layers, with a Last() after a layer of both directions or the reverse one told so.

    Raises:
        ValueError: a Last that isn't told and can't know what its features are, or that is told what can't be.
    """
    halves: bool | None = None  # whether the features are one half of each direction; None: unknown
    mixed = False  # whether both directions have a part in each
    ends_first = False  # whether sequences have been read from their ends
    result = list(layers)
    for i, layer in enumerate(layers):
        if isinstance(layer, Last):
            result[i] = _resolved(layer, layers[i - 1] if i else None, halves, mixed, ends_first)
            halves, mixed, ends_first = False, False, False
        elif (halves or mixed or ends_first) and any(map(_begins_with_last, getattr(layer, "_branches", ()))):
            told = "reverse" if ends_first else "bidirectional"
            raise ValueError(
                f"layers: expected Last({told}=True), for the final states, or Last({told}=False), for the last step, "
                f"in {shown(layer)}, got Last()"
            )
        elif isinstance(layer, Recurrent):
            halves, mixed, ends_first = layer.bidirectional, False, layer.reverse
        elif kind_of_layer(layer) is Linear:
            halves, mixed = (None, True) if halves else (halves, mixed)
        elif type(layer) not in ELEMENTWISE:
            recurrent = [leaf for leaf in layer.leaves() if isinstance(leaf, Recurrent)]
            both = any(leaf.bidirectional or leaf.reverse or ends_first for leaf in recurrent)
            halves, mixed = None, both or mixed or bool(halves)
    return result


def _resolved(layer: Last, before: Any, halves: bool | None, mixed: bool, ends_first: bool) -> Last:
    """A Last that knows what its features are; see `resolve_last`, which the arguments are of."""
    after = f"after {shown(before)}, got {layer!r}"
    if layer.bidirectional and halves is False:
        raise ValueError(f"layers: expected a bidirectional layer before {layer!r}, got {shown(before)}")
    if layer.reverse and halves is not None and not ends_first:
        raise ValueError(f"layers: expected a layer with reverse=True before {layer!r}, got {shown(before)}")
    if layer.bidirectional is not None or layer.reverse is not None:
        return layer
    if mixed or (halves and type(layer) is not Last):
        raise ValueError(
            "layers: expected Last(bidirectional=True), for the final states of both directions, or "
            f"Last(bidirectional=False), for the last step, {after}"
        )
    if ends_first and type(layer) is not Last:
        raise ValueError(
            f"layers: expected reverse=True, for the final state, or reverse=False, for the last step, {after}"
        )
    if halves or ends_first:
        return Last(layer.batch_first, True if halves else None, True if ends_first else None)
    return layer


def _begins_with_last(branch: Any) -> bool:
    """Whether what it is handed comes to a Last that isn't told what the features are."""
    layers = [layer for _, layer in getattr(branch, "_members", ())]
    first = next((layer for layer in layers if type(layer) not in ELEMENTWISE), None)
    return isinstance(first, Last) and first.bidirectional is None and first.reverse is None


def check_features(layers: Sequence[Any]) -> int | None:
    """Raises ValueError unless each takes as many features as the one before it gives, as far as both are known.

    Returns how many the last one gives; None if that isn't known.
    """
    given: int | None = None
    for i, layer in enumerate(layers):
        kind = kind_of_layer(layer)
        names = ("features",) if kind in (AttentionPooling, LayerNorm) else ("in_features", "input_size")
        taken = next((name for name in names if hasattr(layer, name)), None)
        if taken and given not in (None, getattr(layer, taken)):
            raise ValueError(
                f"layers: expected layer {i}, {kind.__name__}, with {taken} = {given}, what the one before it gives, "
                f"got {getattr(layer, taken)}"
            )
        if kind is Linear:
            given = layer.out_features
        elif kind in (AttentionPooling, LayerNorm):
            given = layer.features
        elif kind is Embedding:
            given = layer.embedding_dim
        elif is_layer_type(kind):
            given = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
        elif kind not in (*ELEMENTWISE, Last):
            given = None  # somebody's own
    return given

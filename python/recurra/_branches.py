"""Layers beside each other in one model: each as a model of its own, under the names it has in the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .sequential import Sequential

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .module import Array


def as_branch(layer: Any) -> Sequential:
    """The layer, if it is a Sequential, else one of it alone."""
    return layer if isinstance(layer, Sequential) else Sequential(layer)


def branch_grads(
    layer: Any, branch: Sequential, prefix: str, grads: Mapping[str, Array] | None, aliases: Mapping[str, str]
) -> dict[str, Array] | None:
    """What a branch's backward is to be given of the whole's `grads`; `prefix` is that of the layer's names."""
    if grads is None:
        return None
    cut = 0 if branch is layer else 2  # "0." of the only member
    names = {name: prefix + name[cut:] for name in branch.params}
    return {name: grads[aliases.get(known, known)] for name, known in names.items()}

"""The network behind a module: its weights are, byte for byte, what the module's tensors hold at the time of a call.

Nothing that torch keeps about a tensor tells of every change: `_version` doesn't move with `.data`, with NumPy views of
it or in inference mode. So a network has copies of the weights, and each call compares them with the tensors (15 µs for
the 0.5 MB of an LSTM 128x128; packing them takes 50). Networks are never changed, so a tape, another thread or
`torch.func.functional_call` with other weights can't see anything but its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from recurra.recurrent import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recurra import _core
    from recurra.formula import Formula

    Network = _core.Network32 | _core.Network64

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class Kind(NamedTuple):
    """What the core needs to know of a module besides dtype and weights."""

    formula: Formula
    input_size: int
    hidden_size: int
    num_layers: int
    bidirectional: bool
    bias: bool
    single: bool
    proj_size: int = 0
    reverse: bool = False
    learned_state: bool = False


def empty_network(kind: Kind, dtype: Any) -> Network:
    """A network of this kind with weights of 0."""
    network: Network = NETWORKS[np.dtype(dtype)](
        kind.formula.core,
        kind.input_size,
        kind.hidden_size,
        kind.num_layers,
        2 if kind.bidirectional else 1,
        kind.bias,
        kind.single,
        False,
        kind.proj_size,
        kind.reverse,
        kind.learned_state,
    )
    return network


class Held:
    """A network, and where the tensors lay whose values it has."""

    __slots__ = ("arrays", "dtype", "names", "network", "places")

    names: tuple[str, ...]  # of the parameters, in the order of the core's table
    network: Network
    dtype: torch.dtype
    places: tuple[tuple[int, torch.Size], ...]  # of contiguous tensors: address and shape
    arrays: tuple[Any, ...]  # views of them, which keep their memory from being given to anything else

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of a module makes its own."""

    def __reduce__(self) -> Any:
        return nothing, ()


def nothing() -> None:
    """What is in a pickle in the place of a network."""


def tensors_of(module: Any, names: Sequence[str]) -> list[Any]:
    """The tensors that are the module's parameters now: whatever has been put in their place, too."""
    own = module._parameters
    try:
        return [own[name] for name in names]
    except KeyError:  # computed by a parametrization, or set as an attribute by weight_norm
        return [getattr(module, name) for name in names]


def in_place(held: Held, tensors: Sequence[Any]) -> bool:
    """Whether the tensors lie where those lay that the network was made of."""
    dtype = held.dtype
    for tensor, (pointer, shape) in zip(tensors, held.places, strict=True):
        if (
            tensor.data_ptr() != pointer
            or tensor.dtype is not dtype
            or not tensor.is_contiguous()
            or tensor.shape != shape
        ):
            return False
    return True


def network_of(module: Any, tensors: Sequence[Any]) -> Network:
    """The network with the weights that the tensors hold now.

    Raises:
        TypeError, ValueError, RuntimeError: they aren't all on the CPU, of float32 or of float64, and of the module's
            shapes.
    """
    held: Held = module._held
    if not held.places or not in_place(held, tensors):
        held = moved(module, held, tensors)
    if not held.network.holds(held.arrays):
        fresh = Held()
        fresh.names, fresh.dtype, fresh.places, fresh.arrays = held.names, held.dtype, held.places, held.arrays
        fresh.network = held.network.holding(held.arrays)
        module.__dict__["_held"] = held = fresh
    return held.network


def names_of(module: Any) -> tuple[str, ...]:
    """The names of the module's parameters in the order of the core's table."""
    held: Held | None = module.__dict__.get("_held")
    if held is None:
        held = Held()
        kind: Kind = module._kind()
        held.network = empty_network(kind, "float32")
        held.names, held.dtype, held.places, held.arrays = tuple(held.network.parameters.views()), torch.float32, (), ()
        module.__dict__["_held"] = held
    return held.names


def moved(module: Any, held: Held, tensors: Sequence[Any]) -> Held:
    """The same network, or one of another dtype, beside other tensors."""
    check_parameters(module, held.names, tensors)
    dtype = tensors[0].dtype
    fresh = Held()
    fresh.names, fresh.dtype, fresh.network = held.names, dtype, held.network
    if dtype is not held.dtype:
        fresh.network = empty_network(module._kind(), DTYPES[dtype])
    lying = [tensor.detach().contiguous() for tensor in tensors]
    fresh.arrays = tuple(tensor.numpy() for tensor in lying)
    fresh.places = tuple((tensor.data_ptr(), tensor.shape) for tensor in lying)
    module.__dict__["_held"] = fresh
    return fresh


def check_parameters(module: Any, names: Sequence[str], tensors: Sequence[Any]) -> None:
    """Tensors that the core can read, all of one dtype."""
    title, dtype = type(module).__name__, tensors[0].dtype
    for name, tensor in zip(names, tensors, strict=True):
        check_tensor(f"{title}.{name}", tensor)
        if tensor.dtype is not dtype:
            raise TypeError(f"{title}.{name}: expected {dtype}, as of {names[0]}, got {tensor.dtype}")


def check_tensor(name: str, tensor: Any) -> None:
    """A tensor that the core can read: on the CPU, dense, of float32 or float64."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.device.type != "cpu":
        raise RuntimeError(f"{name}: expected a tensor on the CPU, got one on {tensor.device}: recurra has no other")
    if tensor.dtype not in DTYPES:
        raise TypeError(
            f"{name}: expected torch.float32 or torch.float64, got {tensor.dtype}: call .float() or .double()"
        )
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got {tensor.layout}")

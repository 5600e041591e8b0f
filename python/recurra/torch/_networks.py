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
    from collections.abc import Collection, Sequence

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

    __slots__ = ("arrays", "dtype", "network", "places", "shapes")

    shapes: dict[str, tuple[int, ...]]  # of the parameters by name, in the order of the core's table
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


def tensors_of(module: Any, names: Collection[str]) -> list[Any]:
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
        fresh.shapes, fresh.dtype, fresh.places, fresh.arrays = held.shapes, held.dtype, held.places, held.arrays
        fresh.network = held.network.holding(held.arrays)
        module.__dict__["_held"] = held = fresh
    return held.network


def shapes_of(module: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the module's parameters by name, in the order of the core's table."""
    held: Held | None = module.__dict__.get("_held")
    if held is None:
        held = Held()
        kind: Kind = module._kind()
        held.network = empty_network(kind, "float32")
        held.shapes = {name: view.shape for name, view in held.network.parameters.views().items()}
        held.dtype, held.places, held.arrays = torch.float32, (), ()
        module.__dict__["_held"] = held
    return held.shapes


def moved(module: Any, held: Held, tensors: Sequence[Any]) -> Held:
    """The same network, or one of another dtype, beside other tensors."""
    check_parameters(module, held.shapes, tensors)
    dtype = tensors[0].dtype
    fresh = Held()
    fresh.shapes, fresh.dtype, fresh.network = held.shapes, dtype, held.network
    if dtype is not held.dtype:
        fresh.network = empty_network(module._kind(), DTYPES[dtype])
    lying = [tensor.detach().contiguous() for tensor in tensors]
    fresh.arrays = tuple(array_of(tensor) for tensor in lying)
    fresh.places = tuple((tensor.data_ptr(), tensor.shape) for tensor in lying)
    module.__dict__["_held"] = fresh
    return fresh


def check_parameters(module: Any, shapes: dict[str, tuple[int, ...]], tensors: Sequence[Any]) -> None:
    """Tensors that the core can read, of the module's shapes and all of one dtype.

    Before torch.nn's forward sees them, too, which reads beyond the end of a weight that is too small.
    """
    title, first = type(module).__name__, next(iter(shapes))
    for (name, shape), tensor in zip(shapes.items(), tensors, strict=True):
        check_tensor(f"{title}.{name}", tensor)
        if tensor.dtype is not tensors[0].dtype:
            raise TypeError(f"{title}.{name}: expected {tensors[0].dtype}, as of {first}, got {tensor.dtype}")
        if tensor.shape != shape:
            raise ValueError(f"{title}.{name}: expected {shape}, got {tuple(tensor.shape)}")
        check_memory(f"{title}.{name}", tensor)


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


def array_of(tensor: Any, name: str = "tensor") -> Any:
    """The tensor's own memory as an array."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if not torch.compiler.is_compiling():  # which traces what comes after a break in its graph, and not this
        check_memory(name, tensor)
    return tensor.resolve_neg().numpy()


def check_memory(name: str, tensor: Any) -> None:
    """A tensor whose storage hasn't been freed or cut under it, as `untyped_storage().resize_` does.

    torch's `numpy` makes an array of it all the same, which would be read beyond its end.
    """
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
        return  # which has no such storage, and no array either
    size, held = tensor.nbytes, tensor.untyped_storage().nbytes()
    if size <= held and tensor.is_contiguous() and not tensor.storage_offset():
        return
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    needed = (tensor.storage_offset() + last + 1) * tensor.element_size()
    if size and held < needed:
        raise RuntimeError(f"{name}: expected a tensor with a storage of {needed} bytes, got one of {held}")

"""`from_torch` and `to_torch`: layers of the same numbers here and in PyTorch, whose names for them are ours."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

import recurra
from recurra._checks import shown
from recurra.single_step import SingleStep

from .refusals import check_neutral, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
CELL = ("input_size", "hidden_size", "bias")
# Each class's arguments that both sides have, under their common names; those of LayerNorm differ.
SHARED: dict[str, tuple[str, ...]] = {
    "RNN": (*RECURRENT, "nonlinearity"),
    "LSTM": (*RECURRENT, "proj_size"),
    "GRU": RECURRENT,
    "RNNCell": (*CELL, "nonlinearity"),
    "LSTMCell": CELL,
    "GRUCell": CELL,
    "Linear": ("in_features", "out_features", "bias"),
    "Embedding": ("num_embeddings", "embedding_dim", "padding_idx", "sparse"),
    "LayerNorm": ("features", "eps"),
    "Dropout": ("p",),
    "Tanh": (),
    "ReLU": (),
    "Sigmoid": (),
    "Last": ("batch_first", "bidirectional", "reverse"),
}
# What one side alone has, and what that has to be: as if it weren't there.
TORCH_ONLY: dict[str, dict[str, object]] = {
    "Embedding": {"max_norm": None, "scale_grad_by_freq": False},
    "LayerNorm": {"elementwise_affine": True},
}
OURS_ONLY: dict[str, object] = {
    "reset_after": True,
    "reverse": False,
    "recurrent_dropout": 0.0,
    "zoneout": 0.0,
    "learned_state": False,
}


def from_torch(module: Any) -> Any:
    """A layer with the weights of a PyTorch module, copies of them to the bit, that computes the same.

    `torch.nn.RNN`, `LSTM`, `GRU`, their cells, `Linear`, `Embedding`, `LayerNorm` of one axis, `Dropout`, `Tanh`,
    `ReLU`, `Sigmoid`, `Sequential` of such, the modules of `recurra.torch`, and what `to_torch` returns. Names of
    parameters stay. A recurrent layer within a Sequential hands on its outputs alone. Left behind are the mode (here
    `forward` trains and a plain call doesn't), gradients, which parameters are frozen, and whether something is done
    in place. PyTorch's generator isn't drawn from.

    Args:
        module: one whose parameters are float32 or float64, on any device.

    Returns:
        A layer or a `recurra.Sequential`.

    Raises:
        ImportError: without torch (`pip install 'recurra[torch]'`).
        TypeError: it is no module, of another class, a subclass of these included, as that may compute something else;
            or of another dtype: `module.float()` converts bfloat16 and half to float32.
        ValueError: a forward hook, or an option such as `max_norm` or `scale_grad_by_freq`, has no counterpart here.

    Example:
        >>> import torch
        >>> theirs = torch.nn.LSTM(3, 8, num_layers=2)
        >>> ours = recurra.from_torch(theirs)
        >>> y, (h_n, c_n) = ours(np.ones((5, 2, 3), np.float32))
        >>> ours, y.shape, np.array_equal(ours.params["weight_hh_l1"], theirs.weight_hh_l1.detach())
        (LSTM(3, 8, num_layers=2), (5, 2, 8), True)
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {shown(module)}")
    return _layer(module, {})


def to_torch(model: Any) -> Any:
    """A PyTorch module with the weights of a layer or `Sequential`, copies of them to the bit, that computes the same.

    An LSTM becomes a `torch.nn.LSTM`, and so on for all that `from_torch` takes. A `Sequential` becomes a
    `torch.nn.Sequential`; with recurrent layers or `Last` in it, of a subclass that hands on a recurrent layer's
    outputs without its state. Names of parameters stay.

    Args:
        model: a layer, a single step or a `Sequential`.

    Returns:
        A `torch.nn.Module` on the CPU, of the model's dtype.

    Raises:
        ImportError: without torch (`pip install 'recurra[torch]'`).
        TypeError: it is a layer that PyTorch doesn't have, such as a formula's, a `Composite` or one of your own.
        ValueError: an option has no counterpart in PyTorch: `reset_after=False`, `zoneout`, `recurrent_dropout`,
            `learned_state`, `reverse`, or `tokens=True`, as modules aren't told whether integers are tokens.

    Example:
        >>> recurra.to_torch(recurra.Sequential(recurra.GRU(3, 8, seed=0), recurra.Linear(8, 1, seed=1)))
        Sequential(
          (0): GRU(3, 8)
          (1): Linear(in_features=8, out_features=1, bias=True)
        )
    """
    _torch()
    return _module(model, {})


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("torch: expected PyTorch, which is missing: pip install 'recurra[torch]'") from None
    return torch


def _classes() -> dict[str, tuple[type[Any], type[Any]]]:
    """Our class and theirs by name."""
    from . import torch_modules

    theirs = {name: getattr(_torch().nn, name, None) or getattr(torch_modules, name) for name in SHARED}
    return {name: (getattr(recurra, name), theirs[name]) for name in SHARED}


def _layer(module: Any, done: dict[int, Any]) -> Any:
    """The layer of a module; one module that is a member twice becomes one layer."""
    if id(module) not in done:
        done[id(module)] = _made_layer(module, done)
    return done[id(module)]


def _made_layer(module: Any, done: dict[int, Any]) -> Any:
    from . import torch_modules

    kind = type(module)
    own = kind.__module__.startswith("recurra.torch.")  # subclasses that compute what their bases do, but with ours
    if module._forward_hooks or module._forward_pre_hooks:
        raise refuse("module", f"{kind.__name__}, which has hooks", "one without, as they may change what it computes")
    if kind in {_torch().nn.Sequential, torch_modules.Sequential}:
        return recurra.Sequential(*(_layer(member, done) for member in module))
    for name, (ours, theirs) in _classes().items():
        if kind is theirs or (own and issubclass(kind, theirs)):
            return _converted(name, ours, module)
    if own and hasattr(kind, "layer_type"):  # of recurra.torch.as_module
        return _loaded(kind.layer_type, {name: getattr(module, name) for name in module.options}, module)
    whole = ""
    if next(module.children(), None) is not None:
        whole = ": convert its parts, from_torch(module.part), or let recurra.torch.accelerate(module) compute them"
    raise TypeError(
        f"module: expected one of torch.nn's {', '.join(n for n in _classes() if n != 'Last')}, Sequential, got "
        f"{kind.__module__}.{kind.__name__}{whole}"
    )


def _converted(name: str, ours: type[Any], module: Any) -> Any:
    for option, neutral in TORCH_ONLY.get(name, {}).items():
        if getattr(module, option) != neutral:
            raise refuse(option, getattr(module, option), f"{neutral}, as a recurra.{name} has no such option")
    options = {option: getattr(module, option, None) for option in SHARED[name]}
    if name == "LayerNorm":
        if len(module.normalized_shape) != 1:
            raise refuse("normalized_shape", module.normalized_shape, "one axis")
        if module.bias is None:
            raise refuse("bias", False, "True, as a recurra.LayerNorm has always a bias")
        options["features"] = module.normalized_shape[0]
    if name.endswith(("RNN", "LSTM", "GRU", "Cell", "Linear")):
        options["bias"] = bool(module.bias is not None and module.bias is not False)
    return _loaded(ours, options, module)


def _loaded(ours: type[Any], options: Mapping[str, Any], module: Any) -> Any:
    """Our layer of these options, with a module's numbers."""
    from recurra.torch._networks import check_memory

    tensors = {key: tensor.detach().cpu() for key, tensor in module.state_dict().items()}
    if not tensors:
        return ours(**options)
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    if kinds not in ({"float32"}, {"float64"}):
        raise TypeError(f"module: expected float32 or float64, got {', '.join(kinds)}: convert it with module.float()")
    seed = {"seed": 0} if "seed" in signature(ours).parameters else {}
    layer = ours(**options, dtype=np.dtype(kinds.pop()), **seed)
    for key, tensor in tensors.items():
        check_memory(f"module.{key}", tensor)
    layer.load_state_dict({key: np.array(tensor.resolve_neg().numpy(), order="C") for key, tensor in tensors.items()})
    return layer


def _module(layer: Any, done: dict[int, Any]) -> Any:
    if id(layer) not in done:
        done[id(layer)] = _made_module(layer, done)
    return done[id(layer)]


def _made_module(layer: Any, done: dict[int, Any]) -> Any:
    torch = _torch()
    if type(layer) is recurra.Sequential:
        from . import torch_modules

        members = [_module(member, done) for member in layer._layers]
        plain = not any(isinstance(member, torch_modules.SPECIAL) for member in members)
        return (torch.nn.Sequential if plain else torch_modules.Sequential)(*members)
    for name, (ours, theirs) in _classes().items():
        if type(layer) is ours:
            return _filled(name, theirs, layer, _options(name, layer))
    raise TypeError(f"model: expected {', '.join(_classes())} or Sequential, which PyTorch has, got {shown(layer)}")


def _options(name: str, layer: Any) -> dict[str, Any]:
    """The arguments of the module, or the refusal of a layer that no module is like."""
    if name != "Last":  # which is a module of ours, with all its options
        check_neutral(layer, OURS_ONLY, f"a torch.nn.{name}")
    if isinstance(layer, SingleStep) and layer.proj_size:
        raise refuse("proj_size", layer.proj_size, f"0, as a torch.nn.{name} has no projection")
    return {option: getattr(layer, option) for option in SHARED[name]}


def _filled(name: str, theirs: type[Any], layer: Any, options: Mapping[str, Any]) -> Any:
    torch = _torch()
    state = layer.state_dict()
    if not state:
        return theirs(**options)
    if name == "LayerNorm":
        options = {"normalized_shape": options["features"], "eps": options["eps"]}
    dtype = getattr(torch, layer.dtype.name)
    # On the device "meta" nothing is drawn, so that PyTorch's generator stays as it was.
    module = theirs(**options, dtype=dtype, device="meta").to_empty(device="cpu")
    module.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()})
    return module

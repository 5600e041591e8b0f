"""recurra's modules in the place of torch.nn's, within a model that is there already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .cells import GRUCell, LSTMCell, RNNCell
from .layers import GRU, LSTM, RNN

MODULES: dict[type, type] = {
    torch.nn.RNN: RNN,
    torch.nn.LSTM: LSTM,
    torch.nn.GRU: GRU,
    torch.nn.RNNCell: RNNCell,
    torch.nn.LSTMCell: LSTMCell,
    torch.nn.GRUCell: GRUCell,
}
ORIGINALS = {ours: theirs for theirs, ours in MODULES.items()}
RECURRENT = (torch.nn.RNNBase, torch.nn.RNNCellBase)


@dataclass
class Accelerated:
    """What `accelerate` or `restore` has done. Printed, it says so line by line.

    Attributes:
        swapped: by the module's name within the model ("" is the model itself), the class that it had before.
        left: by name, why a recurrent module stayed as it was.

    Example:
        >>> import torch, recurra.torch
        >>> class Own(torch.nn.GRU): ...
        >>> recurra.torch.accelerate(torch.nn.Sequential(torch.nn.LSTM(3, 8), Own(3, 8)))
        1 swapped, 1 left
          0: LSTM
          1 left: its class, Own, is derived from that of a layer
    """

    swapped: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for each module."""
        lines = [f"{len(self.swapped)} swapped, {len(self.left)} left"]
        lines += [f"  {name or 'the model'}: {kind}" for name, kind in self.swapped.items()]
        lines += [f"  {name or 'the model'} left: {reason}" for name, reason in self.left.items()]
        return "\n".join(lines)

    __repr__ = __str__


def accelerate(model: Any) -> Accelerated:
    """Lets recurra compute every torch.nn.RNN, LSTM, GRU, RNNCell, LSTMCell and GRUCell of a model.

    They become `recurra.torch`'s modules of these names in place: the same objects, wherever else they are referred to,
    with the same names, parameters, hooks, training flag. A model that is compiled or traced already keeps what it has.

    Left as they are: modules of classes derived from these, which may compute something else; those whose weights
    aren't on the CPU, or are neither float32 nor float64.

    Args:
        model: a torch.nn.Module, perhaps such a module itself.

    Returns:
        What was swapped, and what was left and why. `restore(model)` undoes it.

    Raises:
        TypeError: `model` isn't a torch.nn.Module.

    Example:
        >>> import torch, recurra.torch
        >>> model = torch.nn.LSTM(3, 8)
        >>> recurra.torch.accelerate(model).swapped
        {'': 'LSTM'}
        >>> y, (h_n, c_n) = model(torch.ones(5, 2, 3))
        >>> type(model).__module__, y.shape
        ('recurra.torch.layers', torch.Size([5, 2, 8]))
    """
    done = Accelerated()
    for name, module in modules_of(model):
        kind: Any = type(module)
        if kind in MODULES:
            reason = reason_against(module)
            if reason:
                done.left[name] = reason
            else:
                done.swapped[name] = kind.__name__
                module.__class__ = MODULES[kind]
        elif isinstance(module, RECURRENT) and kind not in ORIGINALS:
            done.left[name] = derived(kind)
    return done


def restore(model: Any) -> Accelerated:
    """Undoes `accelerate`: `recurra.torch`'s modules become torch.nn's of these names, in place.

    Left as they are: modules of classes derived from them, such as torch's parametrizations make.

    Args:
        model: a torch.nn.Module, perhaps such a module itself.

    Returns:
        What was swapped back, and what was left and why.

    Raises:
        TypeError: `model` isn't a torch.nn.Module.

    Example:
        >>> import torch, recurra.torch
        >>> model = recurra.torch.GRU(3, 8)
        >>> recurra.torch.restore(model)
        1 swapped, 0 left
          the model: GRU
        >>> type(model) is torch.nn.GRU
        True
    """
    done = Accelerated()
    for name, module in modules_of(model):
        kind: Any = type(module)
        if kind in ORIGINALS:
            done.swapped[name] = kind.__name__
            module.__dict__.pop("_held", None)
            module.__class__ = ORIGINALS[kind]
        elif isinstance(module, tuple(ORIGINALS)):
            done.left[name] = derived(kind)
    return done


def derived(kind: type) -> str:
    """Why a module isn't swapped whose class isn't the very one."""
    return f"its class, {kind.__name__}, is derived from that of a layer"


def modules_of(model: Any) -> list[tuple[str, Any]]:
    """All modules of a model, each once."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    return list(model.named_modules())


def reason_against(module: Any) -> str:
    """Why recurra can't compute it, or nothing."""
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.device.type != "cpu":
            return f"{name} is on {parameter.device}"
        if parameter.dtype not in {torch.float32, torch.float64}:
            return f"{name} is {str(parameter.dtype).removeprefix('torch.')}"
    return ""

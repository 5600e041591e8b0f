"""Optimizers: they change a model's parameters in place, from its `grads`."""

from __future__ import annotations

import math
import warnings
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from . import _core
from ._attributes import Attributes
from ._checks import check_array, check_flag, check_index, check_number, shown
from .module import Module, writeable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Self

    from .module import Array

    Moments = list[dict[str, Array]]  # of each layer, by the names of its parameters

INFINITY = float("inf")
FROM_0 = "a number from 0 up"


class Rate:
    """An attribute of an optimizer that may be set between steps; it is checked together with the others."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, optimizer: None, owner: type) -> Self: ...
    @overload
    def __get__(self, optimizer: Optimizer, owner: type) -> Any: ...
    def __get__(self, optimizer: Optimizer | None, owner: type) -> Any:
        return self if optimizer is None else optimizer._rates[self.name]

    def __set__(self, optimizer: Optimizer, value: object) -> None:
        optimizer._rates = optimizer._check_rates(optimizer._rates | {self.name: value})


class ParamGroup(MutableMapping[str, Any]):
    """The rates of some parameters, by name; `group["lr"] = 1e-4` is checked, and counts from the next step on.

    "initial_lr" is the rate before the first schedule, if there are any.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._initial: dict[str, float] = {}

    def __getitem__(self, name: str) -> Any:
        return self._initial[name] if name in self._initial else self._optimizer._rates[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "initial_lr":
            self._initial[name] = check_number(name, value, FROM_0, 0, INFINITY)
            return
        if name not in self._optimizer._rates:
            raise KeyError(name)
        setattr(self._optimizer, name, value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name}: expected to stay in the group, got a deletion")

    def __iter__(self) -> Iterator[str]:
        return iter((*self._optimizer._rates, *self._initial))

    def __len__(self) -> int:
        return len(self._optimizer._rates) + len(self._initial)


class Optimizer(Attributes):
    """What all have: the layers with parameters, rates that may be set between steps, and gradients to clear."""

    lr = Rate("The rate of the next step.")
    weight_decay = Rate("The decay at the next step.")

    _moment_names: ClassVar[tuple[str, ...]]  # PyTorch's

    def __init__(self, model: Any, **rates: object) -> None:
        self._layers = leaves_of(model)
        self._rates = self._check_rates(rates)
        self._groups = [ParamGroup(self)]
        self._count = [0]  # of steps; the core counts it up together with the step
        self._moments: dict[str, Moments | None] = dict.fromkeys(self._moment_names)  # None: zeros, not made yet

    def _check_rates(self, rates: dict[str, Any]) -> dict[str, Any]:
        """The same as plain numbers."""
        return rates | {name: check_number(name, rates[name], FROM_0, 0, INFINITY) for name in ("lr", "weight_decay")}

    @property
    def layers(self) -> list[Module]:
        """The layers with parameters."""
        return list(self._layers)

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups of parameters, each with its rates."""
        return list(self._groups)

    def step(self) -> None:
        """Changes every parameter by its gradient: all of them, or none after an error."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Sets every gradient to 0, in place."""
        if all(type(layer).zero_grad is Module.zero_grad for layer in self._layers):
            _core.zero_gradients(_gradients_of(self._layers))
        else:
            for layer in self._layers:
                layer.zero_grad()

    def state_dict(self) -> dict[str, Array]:
        """Copies of the number of steps, the rates and the moments, as arrays by name.

        A moment's name is PyTorch's, then the number of the layer in `layers`, then the parameter: exp_avg.0.weight.
        """
        state = {"step": np.array(self._count[0])} | {name: np.array(value) for name, value in self._rates.items()}
        for moment, layers in self._moments.items():
            for i, arrays in enumerate(layers or ()):
                state |= {f"{moment}.{i}.{name}": array.copy() for name, array in arrays.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave, of an optimizer of this kind of layers of the same shapes.

        If the layers have loaded theirs as well, training goes on as if it had never stopped, to the bit.

        Raises:
            TypeError, ValueError: a name is missing or unknown, or what it stands for is wrong; nothing is changed.
        """
        if not hasattr(state, "keys"):
            raise TypeError(f"state_dict: expected a dict of arrays by name, got {type(state).__name__}")
        given = {name: state[name] for name in state.keys()}  # noqa: SIM118 (all that has keys is a mapping here)
        kinds = [name for name in self._moment_names if any(str(key).startswith(f"{name}.") for key in given)]
        places = {
            f"{moment}.{i}.{name}": (moment, i, name)
            for moment in kinds
            for i, layer in enumerate(self._layers)
            for name in layer.params
        }
        names = ["step", *self._rates, *places]
        wrong = [f"no {name}" for name in names if name not in given]
        wrong += [f"also {shown(name)}" for name in given if name not in names]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            kind = type(self).__name__
            raise ValueError(f"state_dict: expected the names of this {kind}'s, got {', '.join(wrong[:5])}{more}")
        numbers = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in given.items()
            if name not in places
        }
        most = 2**53  # beyond it the bias corrections' exponents, which are doubles, would stand still
        count = check_index("step", numbers.pop("step"), "an integer from 0 up")
        if not 0 <= count <= most:
            raise ValueError(f"step: expected an integer in 0..2**53, got {count}")
        rates = self._check_rates(numbers)
        moments: dict[str, Moments | None] = dict.fromkeys(self._moment_names)
        moments |= {moment: [{} for _ in self._layers] for moment in kinds}
        for key, (moment, i, name) in places.items():
            like = self._layers[i].params[name]
            array = check_array(key, given[key], like.dtype)
            if array.shape != like.shape:
                raise ValueError(f"{key}: expected {like.shape}, got {array.shape}")
            if moment == "exp_avg_sq" and array.size and array.min() < 0:
                raise ValueError(f"{key}: expected means of squares, from 0 up, got {array.min()}")
            moments[moment][i][name] = np.array(array, order="C")  # type: ignore[index]
        self._count, self._rates, self._moments = [count], rates, moments

    def _moments_of(self, name: str) -> Moments:
        """The moments of all layers, made where there are none yet."""
        moments = self._moments[name]
        if moments is None:
            moments = [{name: np.zeros_like(p) for name, p in layer.params.items()} for layer in self._layers]
            self._moments[name] = moments
        return moments

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._moments = {
            name: layers and [writeable(arrays) for arrays in layers] for name, layers in self._moments.items()
        }


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's names and numbers.

        g = grad + weight_decay * p
        v = momentum * v + g        g = v, or g + momentum * v with nesterov        (only with momentum)
        p -= lr * g

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these.
        lr: the rate.
        momentum, nesterov, weight_decay: as above. All four may be set between steps.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.
    """

    momentum = Rate("The momentum of the next step.")
    nesterov = Rate("Whether the next step looks ahead.")

    _moment_names = ("momentum_buffer",)

    def __init__(
        self,
        model: Any,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def _check_rates(self, rates: dict[str, Any]) -> dict[str, Any]:
        rates = super()._check_rates(rates)
        rates["momentum"] = check_number("momentum", rates["momentum"], FROM_0, 0, INFINITY)
        rates["nesterov"] = check_flag("nesterov", rates["nesterov"])
        if rates["nesterov"] and not rates["momentum"]:
            raise ValueError("nesterov: expected a momentum above 0 beside it, got 0")
        return rates

    def step(self) -> None:
        """Changes every parameter by its gradient: all of them, or none after an error."""
        momentum = self.momentum
        velocities = self._moments_of("momentum_buffer") if momentum else [None] * len(self._layers)
        layers = [
            (layer._parameters, layer.grads, velocity, layer._frozen_row())
            for layer, velocity in zip(self._layers, velocities, strict=True)
        ]
        _core.sgd(layers, self._count, self.lr, momentum, self.weight_decay, self.nesterov)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with PyTorch's names and numbers.

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g             v = beta2 * v + (1 - beta2) * g²
        p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)          at step t = 1, 2, …

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these.
        lr: the rate.
        betas, eps, weight_decay: as above. The decay is part of the gradient (L2), as in torch.optim.Adam. All four may
            be set between steps.

    Raises:
        TypeError, ValueError: a number out of its range, or a model that has no parameters.
    """

    betas = Rate("The decays of the moments at the next step, a pair.")
    eps = Rate("What is added to the root of the second moment.")

    _moment_names = ("exp_avg", "exp_avg_sq")
    _decoupled = False

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _check_rates(self, rates: dict[str, Any]) -> dict[str, Any]:
        rates = super()._check_rates(rates)
        betas = rates["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas: expected a pair of numbers in [0, 1), got {shown(betas)}")
        rates["betas"] = tuple(check_number("betas", beta, "numbers in [0, 1)", 0, 1) for beta in betas)
        least = max(float(np.finfo(layer.dtype).tiny) for layer in self._layers)  # below it would be 0, and 0 / 0 NaN
        rates["eps"] = check_number("eps", rates["eps"], f"a number from {least:.3g} up", least, INFINITY)
        return rates

    def step(self) -> None:
        """Changes every parameter by its gradient: all of them, or none after an error."""
        layers = [
            (layer._parameters, layer.grads, means, squares, layer._frozen_row())
            for layer, means, squares in zip(
                self._layers, self._moments_of("exp_avg"), self._moments_of("exp_avg_sq"), strict=True
            )
        ]
        beta1, beta2 = self.betas
        _core.adam(layers, self._count, self.lr, beta1, beta2, self.eps, self.weight_decay, self._decoupled)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): p *= 1 - lr * weight_decay, beside Adam's step.

    Arguments and errors are those of `Adam`; the decay's default is PyTorch's, 0.01.
    """

    _decoupled = True

    def __init__(
        self,
        model: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(model, lr, betas, eps, weight_decay)


def clip_grad_norm(model: Any, max_norm: float, *, error_if_nonfinite: bool = False) -> float:
    """Scales all gradients of a model down together, if their common 2-norm is above max_norm.

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these. Their `grads` are
            scaled in place, all of them or none.
        max_norm: above 0.
        error_if_nonfinite: raise if the norm is infinite or NaN. Without it a RuntimeWarning says so, and the
            gradients stay as they are.

    Returns:
        The norm before clipping.

    Raises:
        TypeError, ValueError: max_norm out of range, a model without parameters, gradients that can't be scaled in
            place: read-only ones or others than C-contiguous ones.
        FloatingPointError: the norm isn't finite, with error_if_nonfinite; nothing is changed then.
    """
    limit = check_number("max_norm", max_norm, "a number above 0", 5e-324, INFINITY)
    check_flag("error_if_nonfinite", error_if_nonfinite)
    gradients = _gradients_of(leaves_of(model))
    norm = math.sqrt(_core.square_sum(gradients))
    if not math.isfinite(norm):
        if error_if_nonfinite:
            raise FloatingPointError(f"grads: expected a finite norm, got {norm}")
        warnings.warn(f"grads: expected a finite norm, got {norm}; they stay as they are", RuntimeWarning, stacklevel=2)
    elif norm > limit:
        _core.scale_gradients(gradients, limit / (norm + 1e-6))  # PyTorch's margin
    return norm


def leaves_of(model: Any) -> list[Module]:
    """The layers with parameters of a model, each once.

    Raises:
        TypeError: the model has no `leaves()`, nor do all of several.
        ValueError: it has no parameters, or has some twice.
    """
    several = not _has_leaves(model) and hasattr(model, "__iter__")
    models = list(model) if several else [model]
    if not models or not all(_has_leaves(one) for one in models):
        raise TypeError(f"model: expected a layer or several, or an object with leaves(), got {shown(model)}")
    layers = [leaf for one in models for leaf in one.leaves()]
    if not layers:
        raise ValueError(f"model: expected parameters, got none in {shown(model)}")
    for layer in layers:
        if not isinstance(layer, Module) or not hasattr(layer, "_parameters"):
            raise TypeError(f"model: expected leaves() to be layers with parameters, got {shown(layer)}")
    if len({id(layer._parameters) for layer in layers}) < len(layers):
        raise ValueError("model: expected different layers, got one twice")
    return layers


def _has_leaves(model: object) -> bool:
    return callable(getattr(model, "leaves", None)) and not isinstance(model, type)


def _gradients_of(layers: Iterable[Module]) -> list[Any]:
    return [(layer._parameters, layer.grads) for layer in layers]

"""What all optimizers share: groups with rates, moments, gradients to clear, and a state that can be saved."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from recurra import _core
from recurra._attributes import Attributes
from recurra._checks import check_number
from recurra.module import identity_of, writeable

from .groups import FROM_0, ParamGroup, given_groups, places_of
from .leaves import Leaf, leaves_of
from .state import checked_state, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from recurra.module import Array

    from .groups import Place

    Moments = list[dict[str, Array | None]]  # of each leaf, by the names of its parameters; None: zeros, not made yet


class Rate:
    """An attribute of an optimizer with one group that may be set between steps; it is checked with the others."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, optimizer: None, owner: type) -> Self: ...
    @overload
    def __get__(self, optimizer: Optimizer, owner: type) -> Any: ...
    def __get__(self, optimizer: Optimizer | None, owner: type) -> Any:
        return self if optimizer is None else self._group(optimizer)[self.name]

    def __set__(self, optimizer: Optimizer, value: object) -> None:
        self._group(optimizer)[self.name] = value

    def _group(self, optimizer: Optimizer) -> ParamGroup:
        if len(optimizer._groups) > 1:
            raise AttributeError(
                f"{self.name}: expected param_groups[i][{self.name!r}], as there are {len(optimizer._groups)} groups, "
                "got the optimizer's own"
            )
        return optimizer._groups[0]


class Optimizer(Attributes):
    """What `SGD`, `Adam` and `AdamW` share: groups of parameters with rates, moments, and a state that can be saved.

    Groups are a list of dicts in the place of a model::

        Adam([{"params": encoder, "lr": 1e-4}, {"params": [readout, head]}], lr=1e-3)
        Adam([{"params": model, "names": "*bias*", "weight_decay": 0}, {"params": model, "names": "*weight*"}])
        AdamW(recurra.optim.decay_groups(model, weight_decay=0.05), lr=1e-3)

    "params" is a model; "names" chooses from its parameters by their names in `model.params` (of several models with
    the model's number in front, "0.bias"): a name or a pattern as those of `fnmatch`, a list of these, or a function of
    a name. What a group doesn't say is as in the call. Parameters in no group stay as they are.

    A leaf may be an object of your own, with dicts `params` and `grads` of NumPy arrays by the same names, all float32
    or all float64. Its `params` are changed in place, so they must be writeable, C-contiguous and apart from each
    other; which arrays are in the dicts is looked up anew at every step.

    The row of an `Embedding`'s `padding_idx` stays as it is. Of sparse gradients (`SparseRows`) only the rows that are
    in them change, and their moments: SGD's step is that of a dense gradient, Adam's that of `torch.optim.SparseAdam`,
    which adds ε to √v as it is and not to the corrected one. Momentum and weight decay are refused for them;
    `decay_groups` sorts them out.

    Args:
        model: a layer, a `Sequential`, an object whose `leaves()` are layers, or several of these, or groups. A layer
            that several share, such as a cell's, is one.
        **rates: those of the optimizer, "lr" and "weight_decay" among them, by name.

    Raises:
        TypeError, ValueError: a rate out of its range; a model that is none, has no parameters or comes twice; names
            that no parameter has, or a parameter in two groups.

    Example:
        >>> model = recurra.Sequential(recurra.Linear(4, 3, seed=0), recurra.Linear(3, 2, seed=1))
        >>> adam = recurra.Adam([{"params": model[0], "lr": 1e-4}, {"params": model[1]}], lr=1e-3)
        >>> [(group["params"], group["lr"]) for group in adam.param_groups]
        [(['0.weight', '0.bias'], 0.0001), (['1.weight', '1.bias'], 0.001)]
        >>> adam.param_groups[0]["lr"] = 5e-4  # from the next step on
    """

    lr: Rate = Rate("The rate of the next step; AttributeError where there are several groups: see `param_groups`.")
    weight_decay: Rate = Rate("The decay at the next step, of one group as `lr`.")

    _moment_names: ClassVar[tuple[str, ...]]  # PyTorch's

    def __init__(self, model: Any, **rates: Any) -> None:
        given = given_groups(model, rates)
        chosen = [(places_of(one, names), own) for one, own, names in given]
        layers = {identity_of(layer): layer for one, _, _ in given for layer in leaves_of(one)}
        of: dict[Place, int] = {}
        for i, (places, _) in enumerate(chosen):
            for place in places:
                if of.setdefault(place, i) != i:
                    raise ValueError(
                        f"model[{i}]: expected parameters of no group before, got {place[1]}, of group {of[place]}"
                    )
        own = {key for key, _ in of}
        self._layers = [layer for key, layer in layers.items() if key in own]
        self._leaves = [Leaf(layer) for layer in self._layers]
        # By leaves: the group of each parameter by its name, -1 of one that stays as it is.
        self._places = [
            {name: of.get((identity_of(leaf.layer), name), -1) for name in leaf.names} for leaf in self._leaves
        ]
        self._groups = [ParamGroup(self, *self._members(i)) for i in range(len(chosen))]
        for group, (_, own_rates) in zip(self._groups, chosen, strict=True):
            group._rates = group._checked(own_rates)
        self._prepare()
        self._count = [0]  # of steps; the core counts it up together with the step
        self._moments: dict[str, Moments | None] = dict.fromkeys(self._moment_names)
        self._made: dict[str, set[int]] = {name: set() for name in self._moment_names}  # the groups that have some
        self._making = threading.RLock()  # a signal's handler may step as well

    def _members(self, group: int) -> tuple[list[str], bool]:
        """The names of a group's parameters, and whether some of their gradients are of some rows only."""
        leaves = list(zip(self._leaves, self._places, strict=True))
        names = [f"{i}.{name}" for i, (_, of) in enumerate(leaves) for name in of if of[name] == group]
        return names, any(leaf.sparse and group in of.values() for leaf, of in leaves)

    def _prepare(self) -> None:
        """How the core is told of the groups: by one number for a leaf that is all in one."""
        self._tags = [
            next(iter(of.values()), 0) if len(set(of.values())) < 2 else tuple(of.values()) for of in self._places
        ]

    def _check_rates(self, rates: dict[str, Any]) -> dict[str, Any]:
        """The same as plain numbers."""
        return rates | {name: check_number(name, rates[name], FROM_0, 0, math.inf) for name in ("lr", "weight_decay")}

    def __repr__(self) -> str:
        rates = [", ".join(f"{name}={value}" for name, value in group._rates.items()) for group in self._groups]
        groups = [f"group {i}: {one}" for i, one in enumerate(rates)] if len(rates) > 1 else rates
        return f"{type(self).__name__}({'; '.join(groups)})"

    @property
    def layers(self) -> list[Any]:
        """The layers with parameters; names in `param_groups` and `state_dict` begin with their numbers here."""
        return list(self._layers)

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups of parameters, a list of `ParamGroup`, mappings whose rates can be set between steps."""
        return list(self._groups)

    def step(self) -> None:
        """Changes every parameter by its layer's `grads`: all of them, or none after an error or without memory.

        Raises:
            TypeError, ValueError: a gradient is missing, or isn't an array of its parameter's shape and dtype.
        """
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Sets every gradient to 0, in place; of parameters that are in no group, it stays.

        Raises:
            ValueError: a gradient isn't a writeable C-contiguous array any more.
        """
        _core.zero_gradients(
            [
                (leaf.own or leaf.parameters, leaf.layer.grads, -1, tag)
                for leaf, tag in zip(self._leaves, self._tags, strict=True)
                if not leaf.clears_itself
            ]
        )
        for leaf in self._leaves:
            if leaf.clears_itself:
                leaf.layer.zero_grad()

    def state_dict(self) -> dict[str, Array]:
        """Copies of the number of steps, the rates and the moments, as arrays by name, which `numpy.savez` can write.

        Returns:
            A dict: "step", the rates ("lr", …), of several groups an array of those of each, and the moments, none
            before they are needed. A moment's name is PyTorch's, then the number of the layer in `layers`, then the
            parameter: "exp_avg.0.weight" (SGD: "momentum_buffer", Adam: "exp_avg" and "exp_avg_sq").
        """
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave, of an optimizer of this kind of layers of the same shapes.

        If the layers have loaded theirs as well, training goes on as if it had never stopped, to the bit.

        Args:
            state: arrays by exactly the names that `state_dict` has, a dict or what `numpy.load` gives.

        Raises:
            TypeError, ValueError: a name is missing or unknown, or what it stands for is wrong; nothing is changed.
        """
        count, rates, moments, made = checked_state(self, state)
        for group, own in zip(self._groups, rates, strict=True):
            group._rates = own
        self._count, self._moments, self._made = [count], moments, made

    def _moments_of(self, name: str, needed: Callable[[ParamGroup], object] = bool) -> Moments:
        """The moments of all leaves, made for the groups that need some and have none yet."""
        with self._making:  # of two first steps at once, the later would replace what the earlier has stepped
            moments = self._moments[name]
            if moments is None:
                moments = self._moments[name] = [dict.fromkeys(leaf.names) for leaf in self._leaves]
            if len(self._made[name]) < len(self._groups):
                self._make(name, moments, needed)
            return moments

    def _make(self, name: str, moments: Moments, needed: Callable[[ParamGroup], object]) -> None:
        missing = [i for i, group in enumerate(self._groups) if i not in self._made[name] and needed(group)]
        if missing:
            for leaf in self._leaves:
                _ = leaf.parameters  # which are looked at before moments of their shapes are made
            for leaf, of, arrays in zip(self._leaves, self._places, moments, strict=True):
                for key, p in leaf.layer.params.items():
                    if of[key] in missing:
                        arrays[key] = np.zeros(p.shape, p.dtype)  # pages of a table are made when they are touched
            self._made[name].update(missing)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in {"_leaves", "_tags", "_making"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._making = threading.RLock()
        self._leaves = [Leaf(layer) for layer in self._layers]
        self._prepare()
        self._moments = {
            name: moments and [dict.fromkeys(one) | _written(one) for one in moments]
            for name, moments in self._moments.items()
        }


def _written(arrays: dict[str, Any]) -> dict[str, Any]:
    return writeable({name: array for name, array in arrays.items() if array is not None})

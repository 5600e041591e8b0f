"""What all schedules share: the rates of an optimizer's groups, set step by step, and a state that can be saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import check_array, check_index, check_number, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.module import Array

FROM_0 = "a number from 0 up"


class RateSetter:
    """The rates of an optimizer's groups: what `step` sets, `last_lr` tells, and `state_dict` begins with."""

    __slots__ = ("_last_lr", "last_epoch", "optimizer")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = check_optimizer(optimizer)
        self.last_epoch = 0
        self._last_lr = self._rates()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, last_lr={self._last_lr})"

    @property
    def last_lr(self) -> list[float]:
        """The rate of each group of parameters, as of the last step; a list."""
        return list(self._last_lr)

    def _rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _set(self, rates: list[Any], name: str, epoch: int) -> None:
        """Sets the rate of every group, of none if one is wrong; `name` is what an error is about."""
        checked = [check_number(name, rate, f"{FROM_0} as a rate", 0, math.inf) for rate in rates]
        for group, rate in zip(self.optimizer.param_groups, checked, strict=True):
            group["lr"] = rate
        self._last_lr, self.last_epoch = checked, epoch

    def _numbers(self) -> dict[str, Any]:
        """The state by name, but for `last_epoch` and `last_lr`."""
        return {}

    def _take(self, numbers: dict[str, Any]) -> None:
        """Takes over checked numbers by those names."""

    def state_dict(self) -> dict[str, Array]:
        """The state as arrays by name, which `numpy.savez` can write. Arguments aren't in it, nor are functions.

        Returns:
            A dict: "last_epoch", "last_lr", (groups,), and what else the schedule counts.
        """
        numbers = {"last_epoch": self.last_epoch, "last_lr": self._last_lr} | self._numbers()
        return {name: np.array(value) for name, value in numbers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave, of a schedule made with the same arguments.

        The optimizer has the rates, so load its state as well, after its schedules have been made.

        Args:
            state: arrays by exactly the names that `state_dict` has, a dict or what `numpy.load` gives.

        Raises:
            TypeError, ValueError: a name is missing or unknown, or what it stands for is wrong; nothing is changed.
        """
        self._apply(self._checked(state))

    def _checked(self, state: Mapping[str, Any]) -> dict[str, Any]:
        if not hasattr(state, "keys"):
            raise TypeError(f"state_dict: expected a dict of arrays by name, got {type(state).__name__}")
        now = self.state_dict()
        wrong = [f"no {name}" for name in now if name not in state]
        wrong += [f"also {shown(name)}" for name in state.keys() if name not in now]  # noqa: SIM118 (any mapping)
        if wrong:
            raise ValueError(
                f"state_dict: expected the names of this {type(self).__name__}'s, got {', '.join(wrong[:5])}"
            )
        return {name: _like(name, state[name], array) for name, array in now.items()}

    def _apply(self, numbers: dict[str, Any]) -> None:
        self.last_epoch, self._last_lr = numbers.pop("last_epoch"), numbers.pop("last_lr")
        self._take(numbers)


class Schedule(RateSetter):
    """What schedules that count steps share: `step`, and a state that can be saved.

    Making one sets the rates of step 0. Factors are of each group's rate at that time, or of the one before its first
    schedule, which the group then has as "initial_lr".

    Args:
        optimizer: whose rates, such as `recurra.Adam(model)`: an object whose `param_groups` are mappings with "lr".

    Attributes:
        optimizer: the same.
        last_epoch: how many steps there were.

    Raises:
        TypeError: it is no optimizer.

    Example:
        >>> sgd = recurra.SGD(recurra.Linear(2, 1, seed=0), lr=1.0)
        >>> schedule = recurra.schedules.ExponentialLR(sgd, gamma=0.5)
        >>> for epoch in range(3):
        ...     schedule.step()  # after the epoch's steps of sgd
        >>> isinstance(schedule, recurra.schedules.Schedule), schedule.last_epoch, schedule.last_lr, sgd.lr
        (True, 3, [0.125], 0.125)
        >>> sorted(schedule.state_dict())
        ['base_lrs', 'last_epoch', 'last_lr']
    """

    __slots__ = ("_base",)

    def __init__(self, optimizer: Any) -> None:
        # Last thing in a subclass's constructor, as it sets the rates of step 0.
        super().__init__(optimizer)
        # Of several schedules on one optimizer all begin with the rates before the first of them.
        self._base = [float(group.setdefault("initial_lr", group["lr"])) for group in self.optimizer.param_groups]
        self._set([self._after(0, rate, base, i) for i, (rate, base) in self._pairs()], self._subject, 0)

    _subject = "lr"  # what an error about a rate names

    def _pairs(self) -> Any:
        return enumerate(zip(self._rates(), self._base, strict=True))

    def _at(self, step: int, base: float, group: int) -> float:
        """The rate of a step, if `base` is the one before all."""
        raise NotImplementedError

    def _after(self, step: int, rate: float, base: float, group: int) -> float:  # noqa: ARG002
        """The rate of a step, if `rate` is the present one, of the step before."""
        return self._at(step, base, group)

    def step(self) -> None:
        """Sets the next rates: after a step of the optimizer, or after an epoch, whatever the schedule counts.

        Raises:
            TypeError, ValueError: a rate would be none from 0 up; nothing is changed.
        """
        step = self.last_epoch + 1
        self._set([self._after(step, rate, base, i) for i, (rate, base) in self._pairs()], self._subject, step)

    def _begin(self) -> None:
        """Begins anew: the rates of step 0, whatever they are now."""
        self._set([self._at(0, base, i) for i, base in enumerate(self._base)], self._subject, 0)

    def _numbers(self) -> dict[str, Any]:
        return {"base_lrs": self._base}

    def _take(self, numbers: dict[str, Any]) -> None:
        self._base = numbers["base_lrs"]


def check_optimizer(value: Any) -> Any:
    """An object whose `param_groups` are mappings with a rate."""
    groups = [] if isinstance(value, type) else getattr(value, "param_groups", [])
    if not groups or not all("lr" in group for group in groups):
        raise TypeError(f"optimizer: expected one such as recurra.Adam(model), got {shown(value)}")
    return value


def check_factor(name: str, value: object, above: float = 0.0) -> float:
    """A number in [above, 1]."""
    what = f"a number in {'[0' if not above else '(0'}, 1]"
    return check_number(name, value, what, above, math.nextafter(1, 2))


def check_count(name: str, value: object, least: int = 0) -> int:
    """An integer from `least` up."""
    what = f"an integer from {least} up"
    number = check_index(name, value, what)
    if number < least:
        raise ValueError(f"{name}: expected {what}, got {number}")
    return number


def per_group(name: str, value: object, optimizer: Any, check: Callable[[Any], Any]) -> list[Any]:
    """One for each group: of a list, or the same for all."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [check(value)] * count
    if len(value) != count:
        raise ValueError(f"{name}: expected one for each of {count} groups, got {len(value)}")
    return [check(one) for one in value]


def _like(name: str, value: Any, like: Array) -> Any:
    """A number, or as many in a list, of the same kind as an array holds."""
    if isinstance(value, np.generic) or (like.ndim == 0 and isinstance(value, (int, float))):
        value = np.asarray(value, like.dtype if like.dtype.kind == "f" else None)
    if like.dtype.kind == "f":
        array = check_array(name, value, like.dtype)
    else:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "i":
            raise TypeError(f"{name}: expected an integer, got {shown(value)}")
        array = value
    if array.shape != like.shape:
        raise ValueError(f"{name}: expected {like.shape}, got {array.shape}")
    finite = name.endswith("best") or (np.isfinite(array).all() and (array >= 0).all())
    if not finite:
        raise ValueError(f"{name}: expected numbers from 0 up, got {shown(array.tolist())}")
    return array.tolist()

"""What all values of a formula share: operators, and refusals of what would need a value while tracing."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

from .arrays import NUMPY, compute

_UFUNCS = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide", "true_divide": "divide",
    "less": "less", "less_equal": "less_equal", "greater": "greater", "greater_equal": "greater_equal",
}  # fmt: skip


def apply(name: str, *values: Any) -> Any:
    """The function of this name for what its arguments are: traced values, tensors, arrays or Python's numbers."""
    args = tuple(v._value() if isinstance(v, Expression) else v for v in values)
    for v in args:
        if isinstance(v, Expression):
            return v.functions[name](*args)
    return compute(name, *args)


def _refusal(what: str, instead: str) -> TypeError:
    return TypeError(f"{what}: a formula's value is only known when a layer runs; {instead}")


# What to write for functions of NumPy and PyTorch that formulas have under another name, or not at all.
_INSTEAD = {
    "absolute": "abs(v)",
    "negative": "-v",
    "power": "v ** n",
    "float_power": "v ** n",
    "logical_and": "v & w",
    "logical_or": "v | w",
    "logical_not": "~v",
    "reciprocal": "1 / v",
    **dict.fromkeys(("matmul", "dot", "einsum", "inner"), "a.g(v) of a gate g, whose product has a weight of its own"),
    **dict.fromkeys(("sum", "average"), "recurra.formula.mean(v), the mean over the units"),
}


def _function_refusal(library: str, name: str) -> TypeError:
    """The error for a function of another library, with what formulas have for it."""
    if name in _INSTEAD:
        instead = f"write {_INSTEAD[name]}"
    elif name in NUMPY:
        instead = f"write recurra.formula.{name}"
    else:
        instead = f"write the functions of recurra.formula instead; it has no {name}"
    return _refusal(f"{library}.{name}", instead)


class Expression:
    """A value with the operators of a number, each of which is computed by `functions.apply`."""

    __slots__ = ()

    functions: ClassVar[Mapping[str, Callable[..., Any]]]  # of a subclass that isn't computed by those of arrays

    def _value(self) -> Any:
        """What functions compute with."""
        return self

    def __add__(self, other: object) -> Any:
        return apply("add", self, other)

    def __radd__(self, other: object) -> Any:
        return apply("add", other, self)

    def __sub__(self, other: object) -> Any:
        return apply("subtract", self, other)

    def __rsub__(self, other: object) -> Any:
        return apply("subtract", other, self)

    def __mul__(self, other: object) -> Any:
        return apply("multiply", self, other)

    def __rmul__(self, other: object) -> Any:
        return apply("multiply", other, self)

    def __truediv__(self, other: object) -> Any:
        return apply("divide", self, other)

    def __rtruediv__(self, other: object) -> Any:
        return apply("divide", other, self)

    def __pow__(self, exponent: object) -> Any:
        return apply("power", self, exponent)

    def __rpow__(self, other: object) -> NoReturn:
        raise _refusal("an exponent", "write recurra.formula.exp(v * math.log(base))")

    def __neg__(self) -> Any:
        return apply("negate", self)

    def __pos__(self) -> Any:
        return apply("identity", self)

    def __abs__(self) -> Any:
        return apply("abs", self)

    def __lt__(self, other: object) -> Any:
        return apply("less", self, other)

    def __le__(self, other: object) -> Any:
        return apply("less_equal", self, other)

    def __gt__(self, other: object) -> Any:
        return apply("greater", self, other)

    def __ge__(self, other: object) -> Any:
        return apply("greater_equal", self, other)

    def __and__(self, other: object) -> Any:
        return apply("logical_and", self, other)

    def __or__(self, other: object) -> Any:
        return apply("logical_or", self, other)

    def __invert__(self) -> Any:
        return apply("logical_not", self)

    def __eq__(self, other: object) -> Any:
        raise _refusal("==", "write recurra.formula.equal(v, w)")

    def __ne__(self, other: object) -> Any:
        raise _refusal("!=", "write recurra.formula.not_equal(v, w)")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise _refusal(
            "a truth value (if, and, or, not, max, min)",
            "write recurra.formula.where(condition, v, w), its maximum or minimum, or &, |, ~",
        )

    def __float__(self) -> float:
        raise _refusal("float() or a function of `math`", "write recurra.formula.exp and its like")

    def __int__(self) -> int:
        raise _refusal("int()", "write recurra.formula.where(condition, v, w)")

    def __index__(self) -> int:
        raise _refusal("an index", "write recurra.formula.where(condition, v, w)")

    def __len__(self) -> int:
        raise _refusal("len()", "equations are written for one unit, and hold for all")

    def __iter__(self) -> NoReturn:
        raise _refusal("iteration", "equations are written for one unit, and hold for all")

    def __getitem__(self, key: object) -> NoReturn:
        raise _refusal("v[...]", "equations are written for one unit, and hold for all")

    def __array__(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise _refusal("an array", "write the functions of recurra.formula instead of NumPy's")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: object, **kwargs: object) -> Any:
        name = _UFUNCS.get(ufunc.__name__)
        if name is None or method != "__call__" or kwargs:
            raise _function_refusal("numpy", ufunc.__name__)
        return apply(name, *inputs)

    def __array_function__(self, function: Any, *_arguments: object) -> NoReturn:
        raise _function_refusal("numpy", function.__name__)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)  # Python's own questions
        instead = _INSTEAD.get(name) or (f"recurra.formula.{name}(v)" if name in NUMPY else "functions of it")
        raise AttributeError(f".{name}: a value of a formula has operators, but no attributes; write {instead}")

    @classmethod
    def __torch_function__(cls, function: Any, _types: object, args: tuple[Any, ...] = (), _kw: object = None) -> Any:
        name: str = function.__name__.strip("_")
        name = {"sub": "subtract", "mul": "multiply", "div": "divide", "true_divide": "divide"}.get(name, name)
        if name in {"add", "subtract", "multiply", "divide"}:
            return apply(name, *args)
        raise _function_refusal("torch", name)

"""What a formula declares beside its function: names of gates, states, parameters and inputs."""

import keyword
import unicodedata
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, NamedTuple

from recurra._checks import check_size

from .operations import InputShape

ARGUMENTS = ("a", "s", "u", "x")
SHAPES = {"": InputShape.PER_UNIT, "step": InputShape.PER_STEP, "row": InputShape.PER_ROW}


class Declaration(NamedTuple):
    """The declared names, checked."""

    function: Callable[..., Any]
    name: str
    arguments: tuple[str, ...]  # of a, s, u, x, as the function has them
    gates: tuple[str, ...]
    reads: tuple[tuple[int, ...], ...]  # the states that each gate's product reads, in the order of `states`
    states: tuple[str, ...]
    units: dict[str, Any]  # initial values
    scalars: dict[str, Any]
    inputs: dict[str, InputShape]
    output: str
    heads: int
    recurrent_mask: str | None = None  # the input by which products' sources are multiplied

    @property
    def code(self) -> CodeType:
        """Of the function."""
        code: CodeType = self.function.__code__
        return code

    @property
    def place(self) -> str:
        """Where the function is, for a message."""
        return f'(file "{self.code.co_filename}", line {self.code.co_firstlineno})'


def _names(what: str, names: Any) -> tuple[str, ...]:
    try:
        listed = tuple(names.split()) if isinstance(names, str) else tuple(names)
    except TypeError:
        raise TypeError(f"{what}: expected names, got {type(names).__name__}") from None
    for name in listed:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ValueError(
                f"{what}: expected names (identifiers that don't begin with _) with blanks between, got {name!r}"
            )
        normal = unicodedata.normalize("NFKC", name)
        if normal != name:  # Python reads a.name so, and would not find it
            raise ValueError(f"{what}: expected names in Unicode's form NFKC, got {name!r}; write {normal!r}")
        if listed.count(name) > 1:
            raise ValueError(f"{what}: expected different names, got {name} twice")
    return listed


def _reads(gates: Any, number: int, states: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    if not isinstance(gates, Mapping):
        return ((0,),) * number
    result = []
    for gate, read in gates.items():
        names = _names(f"gates[{gate!r}]", read)
        for name in names:
            if name not in states:
                raise ValueError(f"gates[{gate!r}]: expected states ({', '.join(states)}), got {name}")
        result.append(tuple(k for k, name in enumerate(states) if name in names))
    return tuple(result)


def _inputs(inputs: Any) -> dict[str, InputShape]:
    result: dict[str, InputShape] = {}
    try:
        listed = tuple(inputs.split() if isinstance(inputs, str) else inputs)
    except TypeError:
        raise TypeError(f"inputs: expected names, got {type(inputs).__name__}") from None
    for declared in listed:
        name, _, kind = declared.partition(":") if isinstance(declared, str) else ("", "", "")
        if not name or kind not in SHAPES or declared.endswith(":"):
            raise ValueError(f"inputs: expected name, name:row or name:step, got {declared!r}")
        if name in result:
            raise ValueError(f"inputs: expected different names, got {name} twice")
        result[name] = SHAPES[kind]
    _names("inputs", result)
    if "x" in result:
        raise ValueError("inputs: expected another name than x, which is the layer's own input")
    return result


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(f"formula: expected a function of a, s, u, x, got {type(function).__name__}")
    arguments: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    unknown = [name for name in arguments if name not in ARGUMENTS]
    if unknown or code.co_kwonlyargcount or code.co_flags & 0x0C:
        got = ", ".join(unknown) or "*"
        raise TypeError(
            f"{function.__name__}: expected arguments of a, s, u, x, got {got} "
            f'(file "{code.co_filename}", line {code.co_firstlineno})'
        )
    return arguments


def _parameter_names(states: tuple[str, ...], own: tuple[str, ...]) -> None:
    weights = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"} | {f"weight_{z}h" for z in states[1:]}
    for name in own:
        if name in weights:
            raise ValueError(f"units and scalars: expected other names than those of weights, got {name}")
        if own.count(name) > 1:
            raise ValueError(f"units and scalars: expected different names, got {name} twice")


def declare(
    function: Callable[..., Any],
    gates: Any,
    states: Any,
    units: Mapping[str, Any],
    scalars: Mapping[str, Any],
    inputs: Any,
    output: str | None,
    heads: int,
    recurrent_mask: str | None = None,
) -> Declaration:
    """Check what is declared; see `recurra.formula.formula`.

    Raises:
        TypeError: The function has other arguments than a, s, u, x; a declaration is of the wrong type.
        ValueError: Names that aren't identifiers, clash or refer to nothing; heads isn't positive.
    """
    state_names = _names("states", states)
    if not state_names:
        raise ValueError("states: expected at least one name, got none")
    for name in state_names:
        if name in {"x", "i"} or (name == "h" and state_names[0] != "h"):
            listed = ", ".join(state_names)
            raise ValueError(f"states: expected other names than x and i, and h only as the first, got {listed}")
    gate_names = _names("gates", gates)
    for what, mapping in (("units", units), ("scalars", scalars)):
        if not isinstance(mapping, Mapping):
            raise TypeError(f"{what}: expected a mapping of names to initial values, got {type(mapping).__name__}")
        _names(what, mapping)
    _parameter_names(state_names, (*units, *scalars))
    if output is not None and output not in state_names:
        raise ValueError(f"output: expected one of the states ({', '.join(state_names)}), got {output}")
    heads = check_size("heads", heads, 2**31 - 1)  # the program's numbers have 32 bits
    return Declaration(
        function,
        function.__name__ if hasattr(function, "__name__") else type(function).__name__,
        _arguments(function),
        gate_names,
        _reads(gates, len(gate_names), state_names),
        state_names,
        dict(units),
        dict(scalars),
        _inputs(inputs),
        output or state_names[0],
        heads,
        recurrent_mask,
    )

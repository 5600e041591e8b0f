"""Nodes of a graph, held against the standard's schemas, and the table of operators that there are rules for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from recurra.weights.errors import FormatError

from .limits import text
from .package import onnx_package
from .tensors import array_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recurra.module import Array, Module

    from .external import External
    from .limits import Budget

NEWEST = 28  # the opset up to which the rules have been compared with the standard
OLDEST = 7
OPTIONAL = 1  # of FormalParameterOption


class Reading(NamedTuple):
    """What all nodes of a model share while it is read."""

    opset: int
    files: External | None
    budget: Budget
    made: dict[Any, Any]  # layers by what they were made of, so that tied weights stay tied
    names: set[str]  # of all values so far, those within bodies too, which differ in the whole model
    inside: bool = False  # of a body


class Scope(NamedTuple):
    """What the nodes of a graph may read: the names of its values so far, and those that are known already."""

    known: set[str]
    constants: dict[str, Array]


class Computation(NamedTuple):
    """What a node does at each run: arrays, or None for an input left out, to an array or a tuple of them."""

    run: Callable[..., Any]
    layers: tuple[Module, ...] = ()
    more: tuple[str, ...] = ()  # further values of the graph that a body reads, which `run` is given after the inputs


@dataclass(frozen=True, eq=False)
class Node:
    """A node whose number of inputs and outputs, and whose attributes, are as the standard has them."""

    op_type: str
    name: str
    inputs: tuple[str, ...]  # "" for one left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]  # with the standard's defaults; without those that have none and aren't given
    version: int  # of the operator: the opset that defined it so
    constants: tuple[Array | None, ...]  # inputs that are known when the model is read
    reading: Reading
    scope: Scope

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"{self.op_type} node {self.name!r}"

    def refuse(self, expected: str, got: object) -> NoReturn:
        """The error for a node that can't be computed."""
        raise FormatError(f"{self.label}: expected {expected}, got {got}")

    def constant(self, number: int) -> Array | None:
        """An input that is known when the model is read; None if it isn't, or is left out."""
        return self.constants[number] if number < len(self.constants) else None

    def has_input(self, number: int) -> bool:
        """Whether an input is given."""
        return number < len(self.inputs) and bool(self.inputs[number])


class Operator(NamedTuple):
    """How nodes of an operator are read."""

    rule: Callable[[Node], Computation]
    attributes: frozenset[str]  # that the rule honours
    bounded: bool  # whether the outputs together are no larger than the inputs, so that constants may be folded


OPERATORS: dict[str, Operator] = {}


def operator(
    name: str, attributes: str = "", *, bounded: bool = False
) -> Callable[[Callable[[Node], Computation]], Callable[[Node], Computation]]:
    """A decorator: makes of a function of the node the rule of an operator."""

    def register(rule: Callable[[Node], Computation]) -> Callable[[Node], Computation]:
        OPERATORS[name] = Operator(rule, frozenset(attributes.split()), bounded)
        return rule

    return register


def simple(name: str, run: Callable[..., Any], *, bounded: bool = False) -> None:
    """The rule of an operator without attributes."""
    OPERATORS[name] = Operator(lambda _: Computation(run), frozenset(), bounded)


@lru_cache(maxsize=4096)
def schema_of(op_type: str, opset: int) -> Any:
    """The standard's schema of an operator; None if there is none."""
    defs = onnx_package("from_onnx").defs
    try:
        return defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return None


@lru_cache(maxsize=4096)
def defaults_of(op_type: str, opset: int) -> dict[str, Any]:
    """The standard's defaults of an operator's attributes."""
    schema = schema_of(op_type, opset)
    values = {name: attribute.default_value for name, attribute in schema.attributes.items()}
    return {name: _value(proto, name, None) for name, proto in values.items() if proto.type}


def checked(proto: Any, scope: Scope, reading: Reading) -> tuple[Node, Operator]:
    """A NodeProto as a Node, and the operator.

    Raises:
        FormatError: an operator, an attribute or a number of inputs or outputs that isn't the standard's or ours.
    """
    op_type, name = text(proto.op_type, "op_type"), text(proto.name, "node")
    inputs, outputs = (tuple(text(n, f"{op_type[:80]} node") for n in names) for names in (proto.input, proto.output))
    name = name or next(filter(None, outputs), "")
    what = f"{op_type[:80]} node {name[:200]!r}"
    if proto.domain not in {"", "ai.onnx"}:
        raise FormatError(f"{what}: expected an operator of the domain ai.onnx, got one of {proto.domain[:80]!r}")
    schema = schema_of(op_type, reading.opset)
    if schema is None or schema.deprecated:
        raise FormatError(f"{what}: expected an operator of opset {reading.opset}, got {op_type[:80]!r}")
    found = OPERATORS.get(op_type)
    if found is None:
        raise FormatError(f"{what}: expected an operator that recurra computes, got {op_type!r}")
    if schema.since_version > NEWEST:
        raise FormatError(f"{what}: expected {op_type} as of opset {NEWEST} at most, got opset {schema.since_version}")
    attributes = _attributes(proto, schema, found, what, reading.files)
    attributes = defaults_of(op_type, reading.opset) | attributes
    for kind, names, formal, least, most in (
        ("inputs", inputs, schema.inputs, schema.min_input, schema.max_input),
        ("outputs", outputs, schema.outputs, schema.min_output, schema.max_output),
    ):
        if not least <= len(names) <= most:
            raise FormatError(f"{what}: expected {least} to {most} {kind}, got {len(names)}")
        for place, given in enumerate(names):
            if not given and formal[min(place, len(formal) - 1)].option.value != OPTIONAL:
                raise FormatError(f"{what}: expected {kind[:-1]} {place} to be given, got it left out")
    known = tuple(scope.constants.get(name) if name else None for name in inputs)
    node = Node(op_type, name, inputs, outputs, attributes, schema.since_version, known, reading, scope)
    return node, found


def _attributes(proto: Any, schema: Any, found: Operator, what: str, files: External | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for attribute in proto.attribute:
        name = text(attribute.name, f"{what}: attribute")
        if name not in schema.attributes:
            raise FormatError(f"{what}: expected attributes of {proto.op_type}, got {name[:80]!r}")
        if name in values or attribute.ref_attr_name:
            raise FormatError(f"{what}: expected {name} once and with a value of its own, got it otherwise")
        if int(attribute.type) != int(schema.attributes[name].type.value):
            expected = schema.attributes[name].type.name
            raise FormatError(f"{what}: expected {name} of type {expected}, got type {attribute.type} of ONNX")
        values[name] = _value(attribute, f"{what}: {name}", files)
        default = schema.attributes[name].default_value
        if name not in found.attributes and not (default.type and _value(default, name, None) == values[name]):
            raise FormatError(f"{what}: expected no attribute {name}, which recurra doesn't compute, got it")
    for name, attribute in schema.attributes.items():
        if attribute.required and name not in values:
            raise FormatError(f"{what}: expected an attribute {name}, got none")
    return values


def _value(attribute: Any, what: str, files: External | None) -> Any:
    """An AttributeProto's value; sequences as tuples."""
    kind = int(attribute.type)
    try:
        if kind == 3:
            return attribute.s.decode()
        if kind == 8:
            return tuple(s.decode() for s in attribute.strings)
    except UnicodeDecodeError:
        raise FormatError(f"{what}: expected text, got bytes that are none") from None
    if kind == 4:
        return array_of(attribute.t, what, files)
    if kind == 5:
        return attribute.g
    fields = {1: "f", 2: "i", 6: "floats", 7: "ints"}
    if kind not in fields:
        raise FormatError(f"{what}: expected numbers, text or a tensor, got type {kind} of ONNX")
    value = getattr(attribute, fields[kind])
    return value if kind < 6 else tuple(value)

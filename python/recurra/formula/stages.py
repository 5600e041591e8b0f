"""Stages of a step: which columns there are, which products complete them, and when."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .graph import Graph, Node, canonical_numbers, in_order
from .layout import HALF, Layout, is_old_state
from .operations import Kind, Size, Special

MAX_PRODUCT_COLUMNS = 4
ALWAYS = -1  # in the place of a stage: available in all of them


class Column(NamedTuple):
    """A chain per row and unit: biases, W_ih x, products."""

    gate: int
    part: int
    size: Size
    input_block: int
    recurrent_bias: int
    stage: int  # ALWAYS: no products
    reads: tuple[tuple[int, int], ...]  # (source, parameter)


class Product(NamedTuple):
    """Columns [column, column + len(blocks)) += rows of a weight times a source."""

    source: int
    parameter: int
    column: int
    blocks: tuple[int, ...]


@dataclass(eq=False, repr=False)
class Stages:
    """The structure of a step: all but its programs."""

    nodes: list[Node]  # of the graph whose gradients are taken
    numbers: dict[Node, int]
    stage: dict[Node, int]
    count: int
    sources: list[Node]  # staged vectors that products read
    columns: list[Column] = field(default_factory=list)
    column_nodes: list[Node] = field(default_factory=list)
    products: list[list[Product]] = field(default_factory=list)  # of each stage


def find_stages(layout: Layout, roots: Sequence[Node]) -> Stages:
    """Find the earliest stage of everything that `roots`, the states after the step, are made of."""
    nodes = in_order(roots)
    numbers = canonical_numbers(nodes)
    stage: dict[Node, int] = {}
    for node in nodes:
        before = max((stage[a] for a in node.args), default=ALWAYS)
        if node.op == Special.MEAN:
            before = max(before, 0) + 1
        elif node.op == Special.COLUMN:
            if node.args:
                before = 0 if is_old_state(node.args[0]) else max(before, 0) + 1
            else:
                before = 0 if layout.halves(*node.data) else ALWAYS
        stage[node] = before
    if layout.projects:
        stage[roots[0]] = max(0, *(stage[n] for n in nodes if n is not roots[0])) + 1
    columns = [n for n in nodes if n.op == Special.COLUMN]
    sources = list({n.args[0]: None for n in columns if n.args and not is_old_state(n.args[0])})
    sources.sort(key=lambda n: (max(stage[n], 0), numbers[n]))
    found = Stages(nodes, numbers, stage, max(0, *stage.values()) + 1, sources)
    described = sorted(((_column(layout, found, n), n) for n in columns), key=lambda pair: _column_order(pair[0]))
    found.columns = [column for column, _ in described]
    found.column_nodes = [node for _, node in described]
    found.products = [_products(layout, found.columns, at) for at in range(found.count)]
    return found


def _column(layout: Layout, found: Stages, node: Node) -> Column:
    gate, part = node.data
    at = found.stage[node]
    states = len(layout.declared.states)
    if gate == len(layout.declared.gates):
        source = states + found.sources.index(node.args[0])
        return Column(gate, part, Size.PROJECTED, -1, -1, at, ((source, layout.number["weight_hr"]),))
    reads = []
    for half in layout.halves(gate, part):
        source = half
        if node.args:
            v = node.args[0]
            source = v.data[1] if is_old_state(v) else states + found.sources.index(v)
        reads.append((source, layout.number[layout.weight(gate, half)]))
    input_block = layout.block("weight_ih", gate) if layout.has_input(part) else -1
    return Column(gate, part, Size.HIDDEN, input_block, layout.recurrent_bias(gate, part), at, tuple(sorted(reads)))


def _column_order(column: Column) -> tuple[int, ...]:
    group = 2 if column.input_block < 0 else 1 if column.reads else 0
    first = column.reads[0][0] if column.reads else -1
    return (int(column.size), group, column.stage, first, column.gate, column.part)


def _products(layout: Layout, columns: list[Column], stage: int) -> list[Product]:
    """The products of a stage: runs of columns that read the same rows of the same source, none too long."""
    reading: dict[tuple[int, int], list[int]] = {}
    for number, column in enumerate(columns):
        if column.stage == stage:
            for read in column.reads:
                reading.setdefault(read, []).append(number)
    products = []
    for (source, parameter), numbers in reading.items():
        name = layout.parameters[parameter].name
        for run in _runs(numbers):
            blocks = tuple(0 if name == "weight_hr" else layout.block(name, columns[c].gate) for c in run)
            products.append(Product(source, parameter, run[0], blocks))
    products.sort(key=lambda p: (p.source, p.column))
    return products


def _runs(numbers: list[int]) -> list[list[int]]:
    """Runs of consecutive numbers, split evenly where they are too long."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    split = []
    for run in runs:
        parts = -(-len(run) // MAX_PRODUCT_COLUMNS)
        size, longer = divmod(len(run), parts)
        at = 0
        for part in range(parts):
            end = at + size + (part < longer)
            split.append(run[at:end])
            at = end
    return split


def lowered(graph: Graph, nodes: Sequence[Node]) -> dict[Node, Node]:
    """What computes each of `nodes`: values with a rule for their gradient are just values."""
    made: dict[Node, Node] = {}
    for node in nodes:
        if node.op == Special.DERIVED:
            made[node] = made[node.args[0]]
        else:
            made[node] = graph.node(node.op, *(made[a] for a in node.args), data=node.data)
    return made


def projected(graph: Graph, layout: Layout, roots: list[Node]) -> list[Node]:
    """`roots` with the projection as a column.

    Raises:
        ValueError: Something but the first state is a projection, or reads h, whose size isn't that of the others.
    """
    place = layout.declared.place
    nodes = in_order(roots)
    first = roots[0]
    reading = [*roots[1:], *(a for n in nodes for a in n.args)]
    if any(n.op == Special.PROJECTION for n in reading):
        raise ValueError(f"project: expected to be the first state that is returned and nothing else {place}")
    if not layout.projects:
        return roots
    h = graph.operand(Kind.OLD, 0)
    if any(n is h for n in roots) or any(h in n.args and n.op != Special.COLUMN for n in nodes):
        raise ValueError(
            f"s.{layout.declared.states[0]}: expected to be read by gates only, since project() gives it "
            f"another size, got a use in element-wise mathematics {place}"
        )
    reads_h = {n.op == Special.COLUMN and (not n.args or n.args[0] is h) for n in nodes if _reads_weight_hh(layout, n)}
    if len(reads_h) > 1:
        raise ValueError(
            "weight_hh: expected gates that all read the projected state or all a computed vector, got both; "
            f"their rows would have different lengths {place}"
        )
    return [graph.node(Special.COLUMN, first.args[0], data=(len(layout.declared.gates), HALF)), *roots[1:]]


def _reads_weight_hh(layout: Layout, node: Node) -> bool:
    if node.op != Special.COLUMN:
        return False
    gate, part = node.data
    return any(layout.weight(gate, half) == "weight_hh" for half in layout.halves(gate, part))

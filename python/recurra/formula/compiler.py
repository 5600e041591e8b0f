"""From the traced function to the program: stages, reverse, schedule."""

from .contract import contract
from .declaration import Declaration
from .differentiate import Reverse, differentiate
from .graph import Graph, Node, in_order
from .layout import Layout, gate_uses, resolved
from .operations import Kind, Special
from .program import Program
from .schedule import Scheduler
from .stages import Stages, find_stages, lowered, projected
from .tape import Tape, kept_values, read_from_tape


def arrange(declared: Declaration, graph: Graph, roots: list[Node]) -> tuple[Layout, list[Node]]:
    """The parameters that the traced states after a step need, and these states made of columns.

    Raises:
        ValueError: A gate isn't used or is used in contradictory ways; see `gate_uses` and `projected`.
    """
    traced = in_order(roots)
    layout = Layout(declared, gate_uses(declared, traced), roots[0].op == Special.PROJECTION)
    if layout.projects and layout.order[0] != 0:
        raise ValueError(
            f"output: expected {declared.states[0]}, as it is projected, got {declared.output} {declared.place}"
        )
    made = resolved(graph, layout, traced)
    return layout, projected(graph, layout, [made[root] for root in roots])


def compile_formula(layout: Layout, graph: Graph, roots: list[Node]) -> Program:
    """Compile the states after the step.

    Raises:
        ValueError: The formula is larger than the compiled half allows.
    """
    stages = find_stages(layout, roots)
    low = lowered(graph, stages.nodes)
    staged = {source: n for n, source in enumerate(stages.sources)}
    reverse = differentiate(graph, layout, stages, roots, low, staged)
    new: dict[Node, int] = {}
    for state, root in enumerate(roots):
        new.setdefault(low[root], state)
    program, tape, kept = _forward(graph, layout, stages, roots, low, new, reverse)
    _backward(graph, stages, program, tape, kept, reverse)
    _assemble(program, stages, layout)
    program.check_limits(layout.declared.name)
    return program


def _reverse_roots(reverse: Reverse) -> list[Node]:
    return [node for _, _, node in reverse.deltas] + [node for _, node in reverse.outgoing]


def _forward(
    graph: Graph,
    layout: Layout,
    stages: Stages,
    roots: list[Node],
    low: dict[Node, Node],
    new: dict[Node, int],
    reverse: Reverse,
) -> tuple[Program, Tape, dict[Node, int]]:
    """Schedule the forward pass; also what it keeps, by slots."""
    sources = [low[source] for source in stages.sources]
    computed = set(in_order([*(low[root] for root in roots), *sources]))
    tape = Tape(new, sources, computed, set(low.values()))
    kept = kept_values(tape, _reverse_roots(reverse))
    kept = list(dict.fromkeys([*kept, *sources]))
    made = contract(graph, [*(low[root] for root in roots), *sources, *kept])
    targets = [(made[low[root]], Kind.NEW, state) for state, root in enumerate(roots)]
    targets += [(made[source], Kind.STAGED, n) for n, source in enumerate(sources)]
    targets += [(made[node], Kind.KEPT, -1) for node in kept]
    columns: dict[object, tuple[int, int]] = {
        node.data: (n, column.stage)
        for n, (node, column) in enumerate(zip(stages.column_nodes, stages.columns, strict=True))
    }
    forward = Scheduler(targets, columns, {}, stages.count, 0).programs
    slots = {node: forward.kept[made[node]] for node in kept}
    declared = layout.declared
    program = Program(
        states=len(declared.states),
        projects=layout.projects,
        raw=graph.operand(Kind.RAW, 0) in stages.numbers,
        parameters=[(p.role, p.blocks, p.heads) for p in layout.parameters],
        unit_count=len(declared.units),
        scalar_count=len(declared.scalars),
        columns=stages.columns,
        inputs=list(declared.inputs.values()),
        deltas=[(of, index) for of, index, _ in reverse.deltas],
        forward=forward,
        backward=forward,
        staged_kept=[slots[source] for source in sources] + [-1] * (forward.staged - len(sources)),
        order=layout.order,
    )
    return program, tape, slots


def _backward(
    graph: Graph, stages: Stages, program: Program, tape: Tape, kept: dict[Node, int], reverse: Reverse
) -> None:
    """Schedule the reverse."""
    roots = read_from_tape(graph, tape, kept, _reverse_roots(reverse))
    made = contract(graph, roots)
    base = int(program.projects)
    ready: dict[Node, int] = {}
    for state in range(program.states):
        ready[graph.operand(Kind.INCOMING, state)] = 0 if state == 0 else base
    for n, source in enumerate(stages.sources):
        ready[graph.operand(Kind.GRADIENT, program.states + n)] = stages.count - 1 - max(stages.stage[source], 0)
    places = [(Kind.DELTA, n) for n in range(len(reverse.deltas))]
    places += [(Kind.OUTGOING, state) for state, _ in reverse.outgoing]
    targets = [(made[root], kind, index) for root, (kind, index) in zip(roots, places, strict=True)]
    program.backward = Scheduler(targets, {}, ready, stages.count, base).programs


def _assemble(program: Program, stages: Stages, layout: Layout) -> None:
    states = len(layout.declared.states)
    read = {product.source for run in stages.products for product in run}
    sources = [[k for k in range(states) if k in read]]
    for back in range(1, stages.count):
        mirrored = stages.count - 1 - back
        sources.append([states + n for n, v in enumerate(stages.sources) if max(stages.stage[v], 0) == mirrored])
    program.assemble(stages.products, sources)

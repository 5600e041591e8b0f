"""What the reverse needs of the forward pass, and how it gets it: read where it is, kept, or computed again."""

from collections.abc import Iterable

from .graph import Graph, Node, in_order
from .operations import COSTLY, Kind, Special


class Tape:
    """Decides for each value of the forward pass."""

    def __init__(
        self, new: dict[Node, int], staged: Iterable[Node], computed: set[Node], all_values: set[Node]
    ) -> None:
        self._new = new
        self._staged = set(staged)
        self._computed = computed  # what the forward pass computes anyway
        self._all_values = all_values  # with what only a given slope is made of
        # Whether a value is a function of states, inputs and parameters alone, which are there in the reverse.
        self._available: dict[Node, bool] = {}
        for node in in_order(computed):
            self._available[node] = (
                node in new
                or node.op in {Special.OPERAND, Special.CONSTANT}
                or (node.op not in {Special.COLUMN, Special.MEAN} and all(self._available[a] for a in node.args))
            )

    def new_state(self, node: Node) -> int | None:
        """The state after the step that a value is."""
        return self._new.get(node)

    def keeps(self, node: Node) -> bool:
        """Whether the reverse, where it needs this value, reads it from the tape."""
        if node.op == Special.CONSTANT:
            return False
        if node in self._staged:
            return True
        if node.op in {Special.COLUMN, Special.MEAN}:
            return node in self._all_values
        return node in self._computed and node.op in COSTLY and not self._available[node]


def kept_values(tape: Tape, roots: Iterable[Node]) -> list[Node]:
    """The values that the reverse, whose results are `roots`, reads from the tape."""
    kept: dict[Node, None] = {}
    seen: set[Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == Special.OPERAND or tape.new_state(node) is not None:
            continue
        if tape.keeps(node):
            kept[node] = None
        else:
            waiting.extend(node.args)
    return list(kept)


def read_from_tape(graph: Graph, tape: Tape, kept: dict[Node, int], roots: list[Node]) -> list[Node]:
    """`roots` made of what is on the tape, where the kept values are in the slots of `kept`."""
    made: dict[Node, Node] = {}
    for node in in_order(roots):
        state = tape.new_state(node)
        if node.op == Special.OPERAND:
            made[node] = node
        elif state is not None:
            made[node] = graph.operand(Kind.NEW, state)
        elif tape.keeps(node) and node in kept:
            made[node] = graph.operand(Kind.KEPT, kept[node])
        else:
            made[node] = graph.node(node.op, *(made[a] for a in node.args), data=node.data)
    return [made[root] for root in roots]

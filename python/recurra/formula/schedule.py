"""From a graph to the programs of stages: what is computed when, and where it is put."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .graph import Node, canonical_numbers, in_order, ordered
from .operations import Kind, Operation, Special
from .stages import ALWAYS

# Where a number is: its kind and index. Constants have no index yet, but what float.hex says.
Place = tuple[Kind, int | str]

# Memory that can be read in later stages too, in the order of preference.
_LASTING = (Kind.NEW, Kind.OUTGOING, Kind.STAGED, Kind.HELD)


class Step(NamedTuple):
    """An instruction."""

    operation: Operation
    to: Place
    args: tuple[Place, ...]


@dataclass(eq=False, repr=False)
class Programs:
    """The programs of all stages of a pass."""

    steps: list[list[Step]]
    means: list[list[int]]  # staged vectors
    staged: int = 0
    held: int = 0
    temporaries: int = 0
    kept: dict[Node, int] = field(default_factory=dict)


class Scheduler:
    """Places the values of one pass.

    Args:
        targets: (value, kind, index) of what is to be written; the index of what is kept follows from the order.
        columns: The number and the stage of each column, by the data of its node.
        ready: The stages of operands that aren't available in all of them.
        count: How many stages there are.
        base: The first one whose vectors have hidden_size elements.
    """

    def __init__(
        self,
        targets: Sequence[tuple[Node, Kind, int]],
        columns: dict[object, tuple[int, int]],
        ready: dict[Node, int],
        count: int,
        base: int,
    ) -> None:
        self._columns = columns
        self._ready = ready
        self._base = base
        self._nodes = in_order([node for node, _, _ in targets])
        self._numbers = canonical_numbers(self._nodes)
        self._early: dict[Node, int] = {}
        self._place: dict[Node, int] = {}
        self._targets: defaultdict[Node, list[tuple[Kind, int]]] = defaultdict(list)
        self._readers: defaultdict[Node, list[Node]] = defaultdict(list)
        self._means: list[list[Node]] = [[] for _ in range(count)]
        self._leaves: list[list[Node]] = [[] for _ in range(count)]
        self._members: list[list[Node]] = [[] for _ in range(count)]
        self._where: dict[Node, Place] = {}
        self.programs = Programs([], [])
        for node, kind, index in targets:
            if (kind, index) not in self._targets[node]:
                self._targets[node].append((kind, index))
        self._place_all()
        self._stage_means()
        self._hold()
        for stage in range(count):
            self._emit(stage)

    @staticmethod
    def _is_leaf(node: Node) -> bool:
        return node.op >= Special.OPERAND

    def _place_all(self) -> None:
        early, place = self._early, self._place
        for node in self._nodes:
            before = max((early[a] for a in node.args), default=ALWAYS)
            if node.op == Special.OPERAND:
                before = self._ready.get(node, ALWAYS)
            elif node.op == Special.COLUMN:
                before = self._columns[node.data][1]
            elif node.op == Special.MEAN:
                before = max(before, self._base) + 1
            early[node] = before
            for arg in node.args:
                self._readers[arg].append(node)
        for node in reversed(self._nodes):
            place[node] = self._needed(node) if early[node] == ALWAYS or node.op == Special.MEAN else early[node]
        for node in reversed(self._nodes):
            place[node] = self._deferred(node)
        for node in self._nodes:
            if node.op == Special.MEAN:
                self._means[place[node]].append(node)
            (self._leaves if self._is_leaf(node) else self._members)[place[node]].append(node)
        for members in (*self._means, *self._leaves, *self._members):
            members.sort(key=self._numbers.__getitem__)

    def _needed(self, node: Node) -> int:
        """The stage of the first reader of a value that is available earlier."""
        first = [self._place[r] for r in self._readers[node] if r.op < Special.OPERAND]
        # Products and means of the next stage read it, too.
        if self._targets[node] or len(first) < len(self._readers[node]) or not first:
            first.append(max(self._early[node], self._base))
        return min(first)

    def _deferred(self, node: Node) -> int:
        """The stage of the first reader, if all that the value is computed from is still there then."""
        place = self._place
        readers = self._readers[node]
        if self._is_leaf(node) or self._targets[node] or any(self._is_leaf(r) for r in readers):
            return place[node]
        first = min(place[r] for r in readers)

        def lasts(arg: Node) -> bool:
            if self._is_leaf(arg) and self._early[arg] == ALWAYS:
                return True
            if any(kind in _LASTING for kind, _ in self._targets[arg]):
                return True
            return any(self._is_leaf(r) or place[r] >= first for r in self._readers[arg] if r is not node)

        return first if all(lasts(arg) for arg in node.args) else place[node]

    def _stage_means(self) -> None:
        """Means read staged vectors; some are staged for products already."""
        self.programs.staged = sum(kind == Kind.STAGED for kinds in self._targets.values() for kind, _ in kinds)
        vectors = {mean.args[0]: None for means in self._means for mean in means}
        for node in sorted(vectors, key=lambda n: (max(self._place[n], self._base), self._numbers[n])):
            if not any(kind == Kind.STAGED for kind, _ in self._targets[node]):
                self._targets[node].append((Kind.STAGED, self.programs.staged))
                self.programs.staged += 1
        for means in self._means:
            staged = [next(n for kind, n in self._targets[mean.args[0]] if kind == Kind.STAGED) for mean in means]
            self.programs.means.append(staged)

    def _hold(self) -> None:
        """What later stages read has to be where it lasts."""
        for node in sorted(self._nodes, key=lambda n: (self._place[n], self._numbers[n])):
            if self._is_leaf(node) and self._early[node] == ALWAYS:
                continue
            later = any(r.op < Special.OPERAND and self._place[r] > self._place[node] for r in self._readers[node])
            if later and not any(kind in _LASTING for kind, _ in self._targets[node]):
                self._targets[node].append((Kind.HELD, self.programs.held))
                self.programs.held += 1

    def _leaf(self, node: Node, stage: int) -> Place:
        if node.op == Special.OPERAND:
            kind, index = node.data
            return Kind(kind), index
        if node.op == Special.CONSTANT:
            return Kind.NUMBER, str(node.data)
        if node.op == Special.COLUMN:
            return Kind.COLUMN, self._columns[node.data][0]
        return Kind.MEAN, self._means[stage].index(node)

    def _read(self, node: Node, stage: int) -> Place:
        if self._is_leaf(node) and (self._early[node] == ALWAYS or self._place[node] == stage):
            return self._leaf(node, stage)
        return self._where[node]

    def _emit(self, stage: int) -> None:
        steps: list[Step] = []
        for node in self._leaves[stage]:
            if self._targets[node]:
                self._copy(steps, node, self._leaf(node, stage), self._written(node))
        for number, node in enumerate(self._members[stage]):
            written = self._written(node)
            lasting = [place for kind in _LASTING for place in written if place[0] == kind]
            read = any(r.op < Special.OPERAND for r in self._readers[node])
            if lasting:
                to: Place = lasting[0]
            elif read or len(written) != 1:
                to = (Kind.TEMPORARY, number)
            else:
                to = written[0]
            args = tuple(self._read(a, stage) for a in ordered(node, self._numbers))
            steps.append(Step(Operation(node.op), to, args))
            self._where[node] = to
            self._copy(steps, node, to, [place for place in written if place != to])
        self.programs.steps.append(self._allocated(steps))

    def _written(self, node: Node) -> list[Place]:
        """Where a value is written. Slots of the tape are numbered as they are come across."""
        places: list[Place] = []
        for kind, index in self._targets[node]:
            number = index
            if kind == Kind.KEPT:
                number = self.programs.kept[node] = len(self.programs.kept)
            places.append((kind, number))
        return places

    def _copy(self, steps: list[Step], node: Node, source: Place, places: list[Place]) -> None:
        for place in places:
            steps.append(Step(Operation.MOVE, place, (source,)))
            if place[0] in _LASTING:
                self._where.setdefault(node, place)

    def _allocated(self, steps: list[Step]) -> list[Step]:
        """Give temporaries numbers; one is free again as soon as its last reader reads it."""
        last = {place: at for at, step in enumerate(steps) for place in step.args if place[0] == Kind.TEMPORARY}
        numbers: dict[Place, Place] = {}
        free: list[int] = []
        used = 0
        result = []
        for at, step in enumerate(steps):
            args = tuple(numbers.get(place, place) for place in step.args)
            free += [int(numbers[place][1]) for place in dict.fromkeys(step.args) if last.get(place) == at]
            to = step.to
            if to[0] == Kind.TEMPORARY:
                slot = min(free, default=used)
                if slot == used:
                    used += 1
                else:
                    free.remove(slot)
                to = numbers[step.to] = (Kind.TEMPORARY, slot)
            result.append(Step(step.operation, to, args))
        self.programs.temporaries = max(self.programs.temporaries, used)
        return result

"""The numbers of kinds of memory, operations and roles, as csrc/program.h and csrc/cells.h have them."""

from enum import IntEnum


class Kind(IntEnum):
    """The memory that an operand is in."""

    TEMPORARY = 0
    COLUMN = 1
    GRADIENT = 2
    OLD = 3
    NEW = 4
    KEPT = 5
    HELD = 6
    STAGED = 7
    MEAN = 8
    UNIT = 9
    NUMBER = 10
    INPUT = 11
    RAW = 12
    INCOMING = 13
    OUTGOING = 14
    DELTA = 15


class Operation(IntEnum):
    """What an instruction computes."""

    MOVE = 0
    NEGATE = 1
    ABSOLUTE = 2
    ADD = 3
    SUBTRACT = 4
    MULTIPLY = 5
    DIVIDE = 6
    FMA = 7
    FMS = 8
    FNMA = 9
    MINIMUM = 10
    MAXIMUM = 11
    LESS = 12
    LESS_EQUAL = 13
    EQUAL = 14
    NOT_EQUAL = 15
    SELECT = 16
    SQUARE_ROOT = 17
    EXP = 18
    EXPM1 = 19
    LOG = 20
    LOG1P = 21
    SIGMOID = 22
    TANH = 23
    SIN = 24
    COS = 25
    ERF = 26


class Special(IntEnum):
    """Nodes of a graph that no instruction computes."""

    OPERAND = 100  # data: its kind and index
    CONSTANT = 101  # data: float.hex of it
    GATE = 102  # while tracing only; data: gate and part
    COLUMN = 103  # data: gate and part; the argument is the source, where it is computed in this step
    MEAN = 104  # over the units of a row
    PROJECTION = 105  # of the argument
    DERIVED = 106  # the value of the first argument, the gradient by a rule; data: the rule's name and numbers


class Size(IntEnum):
    """How many units an array has."""

    HIDDEN = 0
    PROJECTED = 1


class Role(IntEnum):
    """What a parameter is for."""

    INPUT_WEIGHT = 0
    RECURRENT_WEIGHT = 1
    INPUT_BIAS = 2
    RECURRENT_BIAS = 3
    PROJECTION = 4
    UNIT_VECTOR = 5
    SCALAR = 6


class DeltaOf(IntEnum):
    """What a gradient of one number per row and unit is of."""

    COLUMN = 0
    UNIT = 1
    SCALAR = 2
    INPUT = 3
    RAW = 4


class InputShape(IntEnum):
    """What an input array holds."""

    PER_UNIT = 0  # (T, B, H)
    PER_STEP = 1  # (T, B)
    PER_ROW = 2  # (B, H), the same at every step


# Functions that take so long that their results are kept for the reverse; everything else is computed again.
COSTLY = frozenset({Operation.DIVIDE, *(o for o in Operation if o >= Operation.SQUARE_ROOT)})

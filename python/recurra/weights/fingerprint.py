"""What a formula computes, in a few lines that can be kept in a file and compared."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from recurra._checks import shown

from .errors import FormatError

if TYPE_CHECKING:
    from recurra.formula import Formula
    from recurra.module import Array


def fingerprint(formula: Formula) -> dict[str, Any]:
    """Names, parameters, and digests of the compiled program and of the numbers in it, as JSON has them."""
    code, constants = formula.program.encode()
    return {
        "states": list(formula.states),
        "gates": list(formula.gates),
        "inputs": list(formula.declared.inputs),
        "parameters": list(formula.parameters),
        "program": _digest(code, "<i4"),
        "constants": _digest(constants, "<f8"),
    }


def check_fingerprint(name: str, saved: object, formula: Formula) -> None:
    """Raises FormatError, which says what differs, unless the formula is the one whose fingerprint was saved."""
    own = fingerprint(formula)
    if type(saved) is not dict or saved.keys() != own.keys():
        raise FormatError(f"{name}: expected a formula's fingerprint, got {shown(saved)}")
    differing = [key for key in own if own[key] != saved[key]]
    if differing:
        key = differing[0]
        raise FormatError(
            f"{name}: expected the formula that was saved, got one that differs in its {', '.join(differing)} "
            f"({key}: {shown(saved[key])} in the file, {shown(own[key])} here); load(path, into=model) takes the "
            "arrays alone"
        )


def _digest(array: Array, dtype: str) -> str:
    return hashlib.sha256(array.astype(dtype).tobytes()).hexdigest()[:32]

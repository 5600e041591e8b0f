"""Python's values as C: names, numbers, comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from recurra._checks import shown

if TYPE_CHECKING:
    from recurra.module import Array

LONGEST_NAME = 31  # C99 tells names apart by 63 characters, of which what follows the prefix takes up to 32
LINE = 120


def checked_name(name: object) -> str:
    """What all names of a header begin with.

    Raises:
        TypeError, ValueError: it is no identifier that C and C++ leave to programs.
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected a C identifier, got {shown(name)}")
    name = str.__str__(name)  # of a subclass, which may be written otherwise, the text itself
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or "__" in name + "_" or len(name) > LONGEST_NAME:
        raise ValueError(
            f"name: expected a C identifier of at most {LONGEST_NAME} letters, digits and single underscores within, "
            f"that begins with a letter, got {shown(name)}"
        )
    return name


def identifier(text: str, otherwise: str) -> str:
    """A name of Python's if C has it too, else another one."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) else otherwise


def comment(text: str) -> str:
    """Text that ends no comment and that every compiler can read."""
    return re.sub(r"[^A-Za-z0-9_ .,:;()\[\]{}<>=+\-'\"]", "_", text)


def literal(value: float) -> str:
    """A float32 that reads back as the same one; subnormal numbers are zeros, as in the kernels' mode."""
    number = np.float32(value)
    if np.isnan(number):
        return "%_of_bits(0x7fc00000u)"
    if np.isinf(number):
        return "%_of_bits(0x7f800000u)" if number > 0 else "%_of_bits(0xff800000u)"
    if abs(number) < np.finfo(np.float32).tiny:
        number = np.copysign(np.float32(0), number)
    return f"({number!s}f)" if np.signbit(number) else f"{number!s}f"


def array(kind: str, name: str, values: Array) -> str:
    """The definition of a constant array."""
    flat = values.ravel()
    if flat.dtype == np.float32:
        normal = np.abs(flat) >= np.finfo(np.float32).tiny
        items = [f"{text}f" for text in np.where(normal, flat, np.float32(0)).astype("U").tolist()]
    else:
        items = list(map(str, flat.tolist()))
    lines, line = [], "  "
    for item in items:
        if len(line) + len(item) + 2 > LINE:
            lines.append(line.rstrip())
            line = "  "
        line += f"{item}, "
    return "\n".join([f"static const {kind} {name}[{len(items)}] = {{", *lines, line.rstrip(" ,"), "};", ""])

"""`export_c`: a model as one C header with a function for a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra._files import checked_target, replace_file
from recurra.recurrent import Recurrent

from .header import Header, Value
from .layers import ELEMENT_WISE, WRITERS, size_after
from .members import checked_members, input_of
from .recurrent import write_recurrent
from .rendering import render
from .text import checked_name

if TYPE_CHECKING:
    import os


def export_c(model: Any, path: str | os.PathLike[str], name: str = "model") -> None:
    """Writes a model as one C99 header, whose `NAME_step` computes one step of one sequence.

    The header needs no heap, no file beside it and, but for square roots and sines, no library; it is C++ too. With
    hardware FMA it gives the bits of the model's own calls, and without it numbers within 2e-6. Dropout and zoneout are
    left out, as in a call, and `Last` is the step's own result.

    Args:
        model: a recurrent layer of any cell, Linear, Embedding, LayerNorm, or a Sequential of these, of activations,
            Dropout and Last; in one direction, of float32, or what `recurra.compress` has made of such a model.
        path: where to write the header; what was there is replaced once it is complete.
        name: what all its names begin with: `NAME_state`, `NAME_reset(state)`, `NAME_step(state, x, y)`, and
            `NAME_INPUT_SIZE`, `NAME_OUTPUT_SIZE` in capital letters. x is a token where the model's first layer is an
            Embedding or has `tokens=True`; inputs of a formula follow y.

    Raises:
        TypeError: the model, or a member of it, can't be exported, or an argument is something else.
        ValueError: `name` is no C identifier of up to 31 letters, digits and single underscores, a layer needs later
            steps (`bidirectional`, `reverse`) or isn't of float32, or a weight isn't finite. Nothing is written then.
        OSError: the file can't be written; what was there still is.

    Example:
        >>> model = recurra.Sequential(recurra.GRU(3, 8, seed=0), recurra.Linear(8, 1, seed=1))
        >>> recurra.export_c(model, "gru.h", name="gru")
        >>> from pathlib import Path
        >>> lines = Path("gru.h").read_text().splitlines()
        >>> print(*[line for line in lines if "_SIZE " in line or "gru_step(gru" in line], sep="\\n")
        #define GRU_INPUT_SIZE 3
        #define GRU_OUTPUT_SIZE 1
        static inline void gru_step(gru_state *state, const float *x, float *y)
    """
    target, mode = checked_target("path", path)
    name = checked_name(name)
    members = checked_members(model)
    tokens, features = input_of(members)
    header = Header()
    value = None if tokens else Value("x", features)
    for number, (label, kind, layer) in enumerate(members):
        params = layer.state_dict()
        if issubclass(kind, Recurrent):
            value = write_recurrent(header, layer, params, label, value)
            continue
        size = size_after(kind, layer, value)
        if all(later.kind in ELEMENT_WISE for later in members[number + 1 :]):
            y = Value("y", size, scratch=True)
        elif kind in ELEMENT_WISE and value is not None and value.scratch:
            y = value
        else:
            y = header.buffer(size)
        WRITERS[kind](header, layer, params, f"_{label}" if label else "", value, y)
        value = y
    assert value is not None
    if value.at != "y":
        header.steps.append(f"for (i = 0; i < {value.size}; ++i) y[i] = {value.at}[i];")
    text = render(header, name, model, features if tokens else None, features, value.size)
    replace_file(target, text.encode("ascii"), mode)

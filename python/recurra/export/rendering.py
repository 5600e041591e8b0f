"""The text of a header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import recurra

from .functions import FUNCTIONS
from .products import PRODUCTS
from .text import comment

if TYPE_CHECKING:
    from .header import Header

ALL = FUNCTIONS | PRODUCTS
BEGINNING = """\
#ifndef %_H_INCLUDED
#define %_H_INCLUDED

#include <stdint.h>
{math}
#if defined(__FAST_MATH__) || (defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2))
#error "%_: compile without -ffast-math and, on 32-bit x86, with -msse2 -mfpmath=sse: rounding is part of the numbers"
#endif

/* a b + c, rounded once where the machine can */
#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define %%_MULTIPLY_ADD(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define %%_MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif
"""


def render(header: Header, name: str, model: Any, tokens: int | None, features: int, outputs: int) -> str:
    """The whole header.

    Args:
        header: what its layers have written.
        name: what its names begin with.
        model: which is described in the head.
        tokens: how many there are, None of a model that takes x.
        features: of x.
        outputs: features of y.
    """
    state, state_bytes = _state(header)
    functions = [ALL[function] for function in _ordered(header.used)]
    math = "#include <math.h>\n" if any(function.math for function in functions) else ""
    text = "\n".join(
        [
            _head(header, model, state_bytes),
            BEGINNING.format(math=math),
            _sizes(tokens, features, outputs),
            state,
            *header.constants,
            *(function.text.lstrip("\n") for function in functions),
            *header.layers,
            _reset(header),
            _step(header, tokens),
            "#undef %%_MULTIPLY_ADD\n" + "#undef %%_DSP\n" * ("dsp" in _ordered(header.used)) + "\n#endif\n",
        ]
    )
    return text.replace("%%_", f"{name.upper()}_").replace("%_", f"{name}_")


def _head(header: Header, model: Any, state_bytes: int) -> str:
    described = "\n".join(f" *   {comment(line)}" for line in repr(model).splitlines())
    return f"""\
/* A step of a recurrent network in C99, written by recurra {comment(recurra.__version__)}:
 *
{described}
 *
 *   %_state state;
 *   %_reset(&state);          before each sequence
 *   %_step(&state, x, y);     for each step of it: reads x, writes y, which may not overlap
 *
 * {header.constant_bytes} bytes of constants, {state_bytes} of state and scratch memory. Include it in one C file.
 */"""


def _sizes(tokens: int | None, features: int, outputs: int) -> str:
    given = f"#define %%_TOKENS {tokens}" if tokens is not None else f"#define %%_INPUT_SIZE {features}"
    return f"{given}\n#define %%_OUTPUT_SIZE {outputs}\n"


def _state(header: Header) -> tuple[str, int]:
    """The struct, and its size in bytes."""
    lines = [f"  float {name}[{size}]; /* {what} */" for name, size, what in header.fields]
    scratch = [("work", header.work), ("a", header.buffers[0]), ("b", header.buffers[1])]
    lines += [f"  float {name}[{size}]; /* of a step */" for name, size in scratch if size]
    count = 4 * (sum(size for _, size, _ in header.fields) + sum(size for _, size in scratch))
    if header.quantised:
        lines.append(f"  int16_t q[{header.quantised}]; /* of a step */")
        count += 2 * header.quantised
        count += -count % 4
    if not lines:
        lines.append("  char nothing;")
        count = 1
    return "\n".join(["typedef struct %_state {", *lines, "} %_state;", ""]), count


def _ordered(used: list[str]) -> list[str]:
    """The functions that are used, each after those that it calls."""
    done: dict[str, None] = {}

    def add(name: str) -> None:
        for needed in ALL[name].needs:
            add(needed)
        done.setdefault(name)

    for name in used:
        add(name)
    return list(done)


def _reset(header: Header) -> str:
    lines = ["int i;", *header.resets] if header.resets else ["(void)state;"]
    return "static inline void %_reset(%_state *state)\n{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _step(header: Header, tokens: int | None) -> str:
    lines = list(header.steps)
    text = "\n".join(lines)
    if "i = 0" in text:
        lines.insert(0, "int i;")
    if "scale = " in text:
        lines.insert(0, "float scale;")
    if "state" not in text:
        lines.append("(void)state;")
    kind, given = "void", "const float *x"
    if tokens is not None:
        kind, given = "int", "int token"
        at = next(n for n, line in enumerate(lines) if not line.endswith(("int i;", "float scale;")))
        lines.insert(at, f"if (token < 0 || token >= {tokens}) return -1;")
        lines.append("return 0;")
    inputs = "".join(f", {kind}{' ' * (not kind.endswith('*'))}{name}" for name, kind in header.inputs.items())
    head = f"static inline {kind} %_step(%_state *state, {given}, float *y{inputs})"
    return head + "\n{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"

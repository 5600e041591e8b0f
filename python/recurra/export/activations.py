"""Sigmoid and tanh as C, and what the other functions share: the formulas of csrc/kernels/activations.h in float32.

Their constants are those of the kernels, digit for digit. With hardware FMA they give the kernels' bits, and without it
they are within 2e-7 of them. They need neither a table nor <math.h>.

In a text, %_ stands for the header's name in front of what is its own, and %%_ for that in front of macros.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np


class Function(NamedTuple):
    """A function of the header."""

    text: str
    needs: tuple[str, ...] = ()  # what stands before it
    math: bool = False  # whether it calls <math.h>


EXP = ("-0x1.fffffcp-2", "0x1.55548cp-3", "-0x1.555858p-5", "0x1.123da6p-7", "-0x1.6ac142p-10")


def polynomial(x: str, square: str, coefficients: tuple[str, ...]) -> str:
    """Its even and its odd powers by Horner's rule, as the kernels have it."""

    def chain(terms: tuple[str, ...]) -> str:
        text = terms[-1]
        for term in reversed(terms[:-1]):
            text = f"%%_MULTIPLY_ADD({square}, {text}, {term})"
        return text

    return f"%%_MULTIPLY_ADD({x}, {chain(coefficients[1::2])}, {chain(coefficients[::2])})"


def decimal(text: str) -> str:
    """The same with decimal constants: C++ has hexadecimal ones as of 2017 only."""

    def number(found: re.Match[str]) -> str:
        return f"{np.float32(float.fromhex(found[0]))!s}f"

    return re.sub(r"0x[0-9a-f.]+p[+-]\d+", number, text)


ACTIVATIONS: dict[str, Function] = {
    "bits": Function("""
static inline uint32_t %_bits(float x)
{
  union { float number; uint32_t bits; } both;
  both.number = x;
  return both.bits;
}
"""),
    "of_bits": Function("""
static inline float %_of_bits(uint32_t bits)
{
  union { float number; uint32_t bits; } both;
  both.bits = bits;
  return both.number;
}
"""),
    "exponential": Function(
        f"""
/* 2^shift e^-x = scale (1 - fall), scale a power of two. */
typedef struct {{ float scale, fall; }} %_exponential;

static inline %_exponential %_exponential_of(float x, float shift)
{{
  const float rounder = 0x1.8p+23 + 127.0f + shift;
  const float rounded = %%_MULTIPLY_ADD(x, -0x1.715476p+0, rounder);
  const float n = rounded - rounder;
  const float r = %%_MULTIPLY_ADD(n, 0x1.7f7d1cp-20, %%_MULTIPLY_ADD(n, 0x1.62e4p-1, x));
  const float square = r * r;
  %_exponential e;
  e.scale = %_of_bits(%_bits(rounded) << 23);
  e.fall = %%_MULTIPLY_ADD(square, {polynomial("r", "square", EXP)}, r);
  return e;
}}
""",
        ("bits", "of_bits"),
    ),
    "sigmoid": Function(
        """
/* 1 / (1 + e^-x), both sides of the fraction times 2^-24. */
static inline float %_sigmoid(float x)
{
  const float within = x < -104.0f ? -104.0f : x > 32.0f ? 32.0f : x;
  const %_exponential e = %_exponential_of(within, -24.0f);
  const float one = e.scale + 0x1.0p-24;
  return 0x1.0p-24 / %%_MULTIPLY_ADD(-e.scale, e.fall, one);
}
""",
        ("exponential",),
    ),
    "tanh": Function(
        """
/* (1 - e^-2|x|) / (1 + e^-2|x|), with the sign of x. */
static inline float %_tanh(float x)
{
  const uint32_t sign = %_bits(x) & 0x80000000u;
  const float size = %_of_bits(%_bits(x) & 0x7fffffffu), twice = size + size;
  const %_exponential e = %_exponential_of(twice > 20.0f ? 20.0f : twice, 0.0f);
  const float less = 1.0f - e.scale, more = 1.0f + e.scale;
  const float result = %%_MULTIPLY_ADD(e.scale, e.fall, less) / %%_MULTIPLY_ADD(-e.scale, e.fall, more);
  return %_of_bits(%_bits(result) | sign);
}
""",
        ("exponential",),
    ),
}

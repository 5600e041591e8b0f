"""Matrices as constant arrays, and what multiplies with them: one chain a row, in the kernels' order.

Rows lie in panels, depth by depth, so that one number of x meets all rows of a panel while their sums are in registers:
of float32 eight rows, as a Cortex-M4 has 32 registers for it, of int8 four, as it has 13 for integers. The rows that
are left follow one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .activations import Function

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recurra.module import Array

FULL, INT8, BFLOAT16, FLOAT16 = "float32", "int8", "bfloat16", "float16"
KINDS = {
    np.dtype(np.float32): FULL,
    np.dtype(np.int8): INT8,
    np.dtype(np.uint16): BFLOAT16,
    np.dtype(np.float16): FLOAT16,
}
PANEL = {FULL: 8, INT8: 4, BFLOAT16: 8, FLOAT16: 8}
WIDENED = {FULL: "{}", BFLOAT16: "%_of_bfloat16({})", FLOAT16: "%_of_float16({})"}
TYPES = {FULL: "float", INT8: "int8_t", BFLOAT16: "uint16_t", FLOAT16: "uint16_t"}
MOST_DEPTH = 8192  # the sum of so many products of 127 and 2047 fits 32 bits


@dataclass(frozen=True)
class Matrix:
    """A weight (rows, depth): float32, float16, bfloat16 as uint16, or int8 with a scale for each row."""

    values: Array
    scale: Array | None = None

    @property
    def kind(self) -> str:
        """What its numbers are."""
        return KINDS[self.values.dtype]

    @property
    def multiply(self) -> str:
        """The function that multiplies with it."""
        wide = self.kind == INT8 and self.values.shape[1] > MOST_DEPTH
        return f"multiply_{self.kind}{'_wide' * wide}"

    def parts(self, parts: Sequence[slice]) -> Matrix:
        """Some of its rows, one part after another."""
        scale = None if self.scale is None else np.concatenate([self.scale[part] for part in parts])
        return Matrix(np.concatenate([self.values[part] for part in parts]), scale)

    def packed(self) -> Array:
        """Its numbers, panel by panel."""
        (rows, depth), width = self.values.shape, PANEL[self.kind]
        whole = rows - rows % width
        panels = self.values[:whole].reshape(whole // width, width, depth)
        if self.kind == INT8:
            pairs = np.pad(panels, [(0, 0), (0, 0), (0, depth % 2)]).reshape(-1, 2, 2, (depth + 1) // 2, 2)
            panels = pairs.transpose(0, 3, 1, 4, 2)
        else:
            panels = panels.swapaxes(1, 2)
        return np.concatenate([panels.ravel(), self.values[whole:].ravel()])

    def by_column(self) -> Array:
        """Its numbers, column by column, for tokens."""
        return np.ascontiguousarray(self.values.T).ravel()


def matrix_of(params: Mapping[str, Array], name: str) -> Matrix:
    """A parameter that is a matrix, narrow or not."""
    return Matrix(params[name], params.get(f"{name}.scale"))


def _floating(kind: str) -> dict[str, Function]:
    """Products with a matrix of floating-point numbers."""
    width, of, widened = PANEL[kind], TYPES[kind], WIDENED[kind].format
    start = ",\n          ".join(f"s{i} = y[{i}], s{i + 1} = y[{i + 1}]" for i in range(0, width, 2))
    sums = "\n".join(f"      s{i} = %%_MULTIPLY_ADD({widened(f'w[{i}]')}, v, s{i});" for i in range(width))
    end = "\n".join(f"    y[{i}] = s{i};" for i in range(width))
    multiply = f"""
/* y += W x */
static inline void %_multiply_{kind}(const {of} *w, int rows, int depth, const float *x, float *y)
{{
  int k;
  for (; rows >= {width}; rows -= {width}, y += {width}) {{
    float {start};
    for (k = 0; k < depth; ++k, w += {width}) {{
      const float v = x[k];
{sums}
    }}
{end}
  }}
  for (; rows > 0; --rows, ++y, w += depth) {{
    float s = y[0];
    for (k = 0; k < depth; ++k) s = %%_MULTIPLY_ADD({widened("w[k]")}, x[k], s);
    y[0] = s;
  }}
}}
"""
    add = f"""
/* y += one column of W, which is what a token stands for */
static inline void %_add_{kind}(const {of} *w, int rows, float *y)
{{
  int row;
  for (row = 0; row < rows; ++row) y[row] += {widened("w[row]")};
}}
"""
    take = f"""
/* y = one row of W */
static inline void %_take_{kind}(const {of} *w, int count, float *y)
{{
  int i;
  for (i = 0; i < count; ++i) y[i] = {widened("w[i]")};
}}
"""
    needs = () if kind == FULL else (f"of_{kind}",)
    return {f"{name}_{kind}": Function(text, needs) for name, text in
            [("multiply", multiply), ("add", add), ("take", take)]}  # fmt: skip


def _integer(ending: str, of: str, step: str, needs: tuple[str, ...] = ()) -> Function:
    """Products with a matrix of int8, by sums of a type and what adds two terms to four of them."""
    text = f"""
/* y += (W q) scales scale, where the sums of W q are exact */
static inline void %_multiply_int8{ending}(const int8_t *w, const float *scales, int rows, int depth,
                                           const int16_t *q, float scale, float *y)
{{
  int k;
  for (; rows >= 4; rows -= 4, y += 4, scales += 4) {{
    {of} s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (k = 0; k < depth; k += 2, w += 8) {{
{step}
    }}
    y[0] = %%_MULTIPLY_ADD((float)s0, scales[0] * scale, y[0]);
    y[1] = %%_MULTIPLY_ADD((float)s1, scales[1] * scale, y[1]);
    y[2] = %%_MULTIPLY_ADD((float)s2, scales[2] * scale, y[2]);
    y[3] = %%_MULTIPLY_ADD((float)s3, scales[3] * scale, y[3]);
  }}
  for (; rows > 0; --rows, ++y, ++scales, w += depth) {{
    {of} s = 0;
    for (k = 0; k < depth; ++k) s += ({of})w[k] * q[k];
    y[0] = %%_MULTIPLY_ADD((float)s, scales[0] * scale, y[0]);
  }}
}}
"""
    return Function(text, needs)


def _sums(of: str) -> str:
    """Two terms of four rows."""
    lines = [f"      const {of} u = q[k], v = q[k + 1];"]
    lines += [f"      s{row} += w[{at}] * u + w[{at + 2}] * v;" for row, at in enumerate((0, 1, 4, 5))]
    return "\n".join(lines)


# What a Cortex-M4, M7 or M33 has for such sums: 13 instructions for 8 terms, where C's own loop takes 30.
DSP = """
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define %%_DSP
/* sums[0] and sums[1] += two terms each, of the four numbers at w, row beside row, and the two at q */
static inline void %_add_pairs(const int8_t *w, uint32_t q, int32_t *first, int32_t *second)
{
  uint32_t both, even, odd;
  __builtin_memcpy(&both, w, 4);
  __asm__("sxtb16 %0, %1" : "=r"(even) : "r"(both));
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(both));
  __asm__("smlad %0, %1, %2, %0" : "+r"(*first) : "r"(even), "r"(q));
  __asm__("smlad %0, %1, %2, %0" : "+r"(*second) : "r"(odd), "r"(q));
}
#endif
"""
BY_DSP = f"""#ifdef %%_DSP
      uint32_t pair;
      __builtin_memcpy(&pair, q + k, 4);
      %_add_pairs(w, pair, &s0, &s1);
      %_add_pairs(w + 4, pair, &s2, &s3);
#else
{_sums("int32_t")}
#endif"""

PRODUCTS = {
    **_floating(FULL),
    **_floating(BFLOAT16),
    **_floating(FLOAT16),
    "dsp": Function(DSP),
    "multiply_int8": _integer("", "int32_t", BY_DSP, ("dsp",)),
    "multiply_int8_wide": _integer("_wide", "int64_t", _sums("int64_t")),
    "add_int8": Function("""
/* y += one column of W, which is what a token stands for */
static inline void %_add_int8(const int8_t *w, const float *scales, int rows, float *y)
{
  int row;
  for (row = 0; row < rows; ++row) {
    const float sum = (float)(2047 * w[row]);
    y[row] = %%_MULTIPLY_ADD(sum, scales[row] * (1.0f / 2047.0f), y[row]);
  }
}
"""),
    "take_int8": Function("""
/* y = one row of W */
static inline void %_take_int8(const int8_t *w, float scale, int count, float *y)
{
  int i;
  for (i = 0; i < count; ++i) y[i] = (float)w[i] * scale;
}
"""),
    "quantise": Function(
        """
/* v is q times the scale that is returned; the largest |v|, or floor if that is more, makes 2047. q[count] is 0. */
static inline float %_quantise(const float *v, int count, float floor, int16_t *q)
{
  float most = floor, inverse = 0.0f, scale = 0.0f;
  int i;
  for (i = 0; i < count; ++i) {
    const float size = v[i] < 0.0f ? -v[i] : v[i];
    if (size > most || size != size) most = size;
  }
  if (!(most < %_of_bits(0x7f800000u))) {
    scale = %_of_bits(0x7fc00000u);
    most = 0.0f;
  } else if (most >= 1e-30f) {
    scale = most / 2047.0f;
    inverse = 2047.0f / most;
  }
  for (i = 0; i < count; ++i) {
    const float level = v[i] * inverse, rounded = level + 12582912.0f; /* 1.5 * 2^23: to nearest even */
    q[i] = most >= 1e-30f ? (int16_t)(rounded - 12582912.0f) : (int16_t)0;
  }
  q[count] = 0;
  return scale;
}
""",
        ("of_bits",),
    ),
    "of_bfloat16": Function(
        """
static inline float %_of_bfloat16(uint16_t bits)
{
  return %_of_bits((uint32_t)bits << 16);
}
""",
        ("of_bits",),
    ),
    "of_float16": Function(
        """
static inline float %_of_float16(uint16_t bits)
{
  const float size = %_of_bits((bits & 0x7fffu) << 13) * 5.192296858534828e+33f; /* 2^112 */
  return bits & 0x8000u ? -size : size;
}
""",
        ("of_bits",),
    ),
}

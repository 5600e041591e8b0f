"""Matrices as constant arrays, and what multiplies with them: one chain a row, in the kernels' order.

Rows lie in panels, depth by depth, so that one number of x meets all rows of a panel while their sums are in registers:
of float32 eight rows, as a Cortex-M4 has 32 registers for it, of int8 four, as it has 13 for integers. The rows that
are left follow one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .functions import FUNCTIONS, Function

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
        rows, width = len(self.values), PANEL[self.kind]
        whole = rows - rows % width
        panels = self.values[:whole].reshape(whole // width, width, self.values.shape[1]).swapaxes(1, 2)
        return np.concatenate([panels.ravel(), self.values[whole:].ravel()])

    def by_column(self) -> Array:
        """Its numbers, column by column, for tokens."""
        return np.ascontiguousarray(self.values.T).ravel()


def matrix_of(params: Mapping[str, Array], name: str) -> Matrix:
    """A parameter that is a matrix, narrow or not."""
    return Matrix(params[name], params.get(f"{name}.scale"))


def _at(i: int) -> str:
    return f"row + {i}" if i else "row"


def _floating(kind: str) -> dict[str, Function]:
    """Products with a matrix of floating-point numbers."""
    width, of, widened = PANEL[kind], TYPES[kind], WIDENED[kind].format
    start = ",\n          ".join(f"s{i} = y[{_at(i)}], s{i + 1} = y[{_at(i + 1)}]" for i in range(0, width, 2))
    sums = "\n".join(f"      s{i} = %%_FMA({widened(f'w[{i}]')}, v, s{i});" for i in range(width))
    end = "\n".join(f"    y[{_at(i)}] = s{i};" for i in range(width))
    multiply = f"""
/* y += W x */
static inline void %_multiply_{kind}(const {of} *w, int rows, int depth, const float *x, float *y)
{{
  int row, k;
  for (row = 0; row + {width} <= rows; row += {width}) {{
    float {start};
    for (k = 0; k < depth; ++k, w += {width}) {{
      const float v = x[k];
{sums}
    }}
{end}
  }}
  for (; row < rows; ++row, w += depth) {{
    float s = y[row];
    for (k = 0; k < depth; ++k) s = %%_FMA({widened("w[k]")}, x[k], s);
    y[row] = s;
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


def _integer(ending: str, of: str, widened: str) -> Function:
    """Products with a matrix of int8, by sums of a type."""
    width = PANEL[INT8]
    start = ", ".join(f"s{i} = 0" for i in range(width))
    sums = "\n".join(f"      s{i} += {widened}w[{i}] * v;" for i in range(width))
    end = "\n".join(
        f"    y[{_at(i)}] = %%_FMA((float)s{i}, scales[{_at(i)}] * scale, y[{_at(i)}]);" for i in range(width)
    )
    text = f"""
/* y += (W q) scales scale, where the sums of W q are exact */
static inline void %_multiply_int8{ending}(const int8_t *w, const float *scales, int rows, int depth,
                                           const int16_t *q, float scale, float *y)
{{
  int row, k;
  for (row = 0; row + {width} <= rows; row += {width}) {{
    {of} {start};
    for (k = 0; k < depth; ++k, w += {width}) {{
      const {of} v = q[k];
{sums}
    }}
{end}
  }}
  for (; row < rows; ++row, w += depth) {{
    {of} s = 0;
    for (k = 0; k < depth; ++k) s += {widened}w[k] * q[k];
    y[row] = %%_FMA((float)s, scales[row] * scale, y[row]);
  }}
}}
"""
    return Function(text)


PRODUCTS = {
    **_floating(FULL),
    **_floating(BFLOAT16),
    **_floating(FLOAT16),
    "multiply_int8": _integer("", "int32_t", ""),
    "multiply_int8_wide": _integer("_wide", "int64_t", "(int64_t)"),
    "add_int8": Function("""
/* y += one column of W, which is what a token stands for */
static inline void %_add_int8(const int8_t *w, const float *scales, int rows, float *y)
{
  int row;
  for (row = 0; row < rows; ++row) {
    const float sum = (float)(2047 * w[row]);
    y[row] = %%_FMA(sum, scales[row] * (1.0f / 2047.0f), y[row]);
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
/* v as integers of 12 bits times the scale that is returned: of the largest |v|, which is taken to be floor at least. */
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
FUNCTIONS.update(PRODUCTS)

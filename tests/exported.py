"""Compiles exported headers and runs them."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import recurra

COMPILER = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
FUSED = recurra.build_info()["isa"] != "baseline"  # else recurra itself has no FMA, and bits of its own
FMA = ["-mfma"] if FUSED and recurra.build_info()["isa"].startswith("avx") else []

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")


def wrapper(name, inputs=()):
    """C that runs a sequence; inputs of a formula are (pointer, how far apart its steps are)."""
    given = "".join(f", {'const float *' if size else 'const float *'}in{k}" for k, (_, size) in enumerate(inputs))
    passed = "".join(
        f", in{k}[t]" if kind == "step" else f", in{k} + t * {size}" for k, (kind, size) in enumerate(inputs)
    )
    tokens = f"""
#ifdef {name.upper()}_TOKENS
void run_{name}(const int *x, int steps, float *y{given})
{{
  static {name}_state state;
  int t;
  {name}_reset(&state);
  for (t = 0; t < steps; ++t) (void){name}_step(&state, x[t], y + t * {name.upper()}_OUTPUT_SIZE{passed});
}}
#else
void run_{name}(const float *x, int steps, float *y{given})
{{
  static {name}_state state;
  int t;
  {name}_reset(&state);
  for (t = 0; t < steps; ++t)
    {name}_step(&state, x + t * {name.upper()}_INPUT_SIZE, y + t * {name.upper()}_OUTPUT_SIZE{passed});
}}
#endif
unsigned long size_of_{name}(void);
unsigned long size_of_{name}(void) {{ return sizeof({name}_state); }}
"""
    return f'#include "{name}.h"\n{tokens}'.replace("void run_", f"void run_", 1)


def compiled(models, folder, flags=(), inputs=()):
    """A library of all the models, by name."""
    source = []
    for name, model in models.items():
        recurra.export_c(model, folder / f"{name}.h", name=name)
        source.append(wrapper(name, inputs))
    (folder / "all.c").write_text("\n".join(source))
    library = folder / f"all{len(list(folder.iterdir()))}.so"
    command = [COMPILER, *STRICT, "-O1", *flags, "-shared", "-fPIC", "all.c", "-o", library.name, "-lm"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not result.returncode, result.stderr
    assert not result.stderr
    return ctypes.CDLL(library)


def run(library, name, x, features, *inputs):
    """y (T, features) of one sequence from the beginning."""
    x = np.ascontiguousarray(x, np.int32 if x.dtype.kind in "iu" else np.float32)
    y = np.full((len(x), features), np.nan, np.float32)
    given = [np.ascontiguousarray(value, np.float32) for value in inputs]
    getattr(library, f"run_{name}")(
        x.ctypes.data_as(ctypes.c_void_p),
        len(x),
        y.ctypes.data_as(ctypes.c_void_p),
        *(value.ctypes.data_as(ctypes.c_void_p) for value in given),
    )
    return y

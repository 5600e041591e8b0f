"""Compiles exported headers and runs them."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import recurra
from recurra.formula.operations import InputShape

COMPILER = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
# Where recurra has FMA, the machine has, and then the numbers of a header that uses it are recurra's to the bit.
FUSED = recurra.build_info()["isa"] != "baseline"
FMA = ["-mfma"] if recurra.build_info()["isa"].startswith("avx") else []

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")

RUN = """
#include "{name}.h"

void run_{name}(const {of} *x, int steps, float *y{parameters});
void run_{name}(const {of} *x, int steps, float *y{parameters})
{{
  static {name}_state state;
  int t;
  {name}_reset(&state);
  for (t = 0; t < steps; ++t) {{
    (void){name}_step(&state, {x}, y + t * {macro}_OUTPUT_SIZE{arguments});
  }}
}}
"""


def run_source(name, model, tokens):
    """C that includes a header and runs a sequence from the beginning; inputs of a formula are arrays too."""
    declared = model.formula.declared.inputs if hasattr(model, "formula") else {}
    places = {
        InputShape.PER_UNIT: "in{} + t * " + str(getattr(model, "hidden_size", 0)),
        InputShape.PER_STEP: "in{}[t]",
        InputShape.PER_ROW: "in{}",
    }
    return RUN.format(
        name=name,
        macro=name.upper(),
        of="int" if tokens else "float",
        x="x[t]" if tokens else f"x + t * {name.upper()}_INPUT_SIZE",
        parameters="".join(f", const float *in{k}" for k in range(len(declared))),
        arguments="".join(f", {places[shape]}".format(k) for k, shape in enumerate(declared.values())),
    )


def compile_c(folder, text, *options, compiler=COMPILER, language="-std=c99"):
    """Compiles a text that includes headers of the folder; returns the path of what comes out."""
    number = len(list(folder.iterdir()))
    file, made = folder / f"source{number}.c", folder / f"made{number}"
    file.write_text(text)
    command = [compiler, language, *STRICT, *options, file.name, "-o", made.name]
    command += [] if "-c" in options else ["-lm"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not result.returncode, result.stderr
    assert not result.stderr
    return made


class Exported:
    """Models as one library of C.

    Args:
        folder: where the files go.
        models: by the names of their headers.
        options: of the compiler.
    """

    def __init__(self, folder, models, *options):
        self.models = models
        self.folder = folder
        self.texts, self.tokens = {}, {}
        for name, model in models.items():
            recurra.export_c(model, folder / f"{name}.h", name=name)
            self.tokens[name] = f"#define {name.upper()}_TOKENS " in (folder / f"{name}.h").read_text()
            self.texts[name] = run_source(name, model, self.tokens[name])
        self.library = self.built(*options)

    def source(self, names):
        """C of what runs some of the models."""
        return "".join(self.texts[name] for name in names)

    def built(self, *options, names=None):
        """The library, or one of some models, compiled with other options."""
        return ctypes.CDLL(compile_c(self.folder, self.source(names or self.models), "-shared", "-fPIC", *options))

    def run(self, name, x, *inputs, library=None):
        """y (T, features) of a sequence x (T, features), or tokens (T,), and the arrays of a formula's inputs."""
        features = int(self.macro(name, "OUTPUT_SIZE"))
        x = np.ascontiguousarray(x, np.int32 if self.tokens[name] else np.float32)
        y = np.full((len(x), features), np.nan, np.float32)
        given = [np.ascontiguousarray(value, np.float32) for value in inputs]
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, y, *given)]
        getattr(library or self.library, f"run_{name}")(pointers[0], len(x), *pointers[1:])
        return y

    def macro(self, name, which):
        """What a macro of a header says."""
        text = (self.folder / f"{name}.h").read_text()
        return text.split(f"#define {name.upper()}_{which} ")[1].split()[0]


def answer(model, x, inputs=None):
    """What the model's own call makes of one sequence."""
    y = model(x, inputs=inputs) if inputs else model(x)
    return y[0] if isinstance(y, tuple) else y


def same_bits(a, b):
    """Whether two arrays are equal to the bit, NaN for NaN."""
    return a.shape == b.shape and bool(((a.view(np.int32) == b.view(np.int32)) | (np.isnan(a) & np.isnan(b))).all())

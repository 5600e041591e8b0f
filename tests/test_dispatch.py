"""Which build of the kernels is chosen, and what the package says of itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zlib
from importlib import metadata, resources
from pathlib import Path

import pytest

import recurra

CSRC = Path(__file__).parents[1] / "csrc"
INFO = recurra.build_info()


def import_with(isa: str | None) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that imports recurra under RECURRA_ISA and prints build_info() as JSON."""
    environment = {name: value for name, value in os.environ.items() if name != "RECURRA_ISA"}
    if isa is not None:
        environment["RECURRA_ISA"] = isa
    code = "import json, recurra; print(json.dumps(recurra.build_info()))"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_build_info_says_what_was_built():
    assert set(INFO) == {"version", "compiler", "flags", "isas", "isas_available", "isa", "threads", "threading"}
    assert INFO["version"] == recurra.__version__ == metadata.version("recurra")
    assert re.fullmatch(r"(GNU|AppleClang|Clang) \d+[.\d]*", INFO["compiler"])
    assert [isa for isa in INFO["isas"] if isa in INFO["isas_available"]] == INFO["isas_available"]
    assert INFO["isa"] in INFO["isas_available"]
    assert INFO["threading"] in {"OpenMP", "std", "none"}
    assert INFO["threads"] == recurra.get_num_threads() >= 1


def test_an_architecture_has_all_its_builds():
    builds = {"x86_64": ["baseline", "avx2", "avx512", "avx512vnni"], "aarch64": ["neon"], "arm64": ["neon"]}
    assert INFO["isas"] == builds.get(re.split(r"[-.]", sysconfig.get_platform())[-1], ["baseline"])


def test_flags_keep_ieee_arithmetic_and_older_cpus():
    assert "-O3" in INFO["flags"]
    assert "-ffp-contract=off" in INFO["flags"]
    for forbidden in ("-march=native", "-mcpu=native", "-ffast-math", "-Ofast"):
        assert forbidden not in INFO["flags"]


def test_the_best_available_isa_is_the_default():
    for unset in (None, ""):
        result = import_with(unset)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["isa"] == INFO["isas_available"][-1]


@pytest.mark.parametrize("isa", INFO["isas_available"])
def test_a_forced_isa_is_in_use(isa):
    result = import_with(isa)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["isa"] == isa


@pytest.mark.parametrize(
    "isa", ["sse9", "AVX2", "avx2 ", *(i for i in INFO["isas"] if i not in INFO["isas_available"])]
)
def test_an_unknown_or_unavailable_isa_is_refused_at_import(isa):
    result = import_with(isa)
    assert result.returncode != 0
    error = result.stderr.splitlines()[-1]
    assert error.startswith(
        f"RuntimeError: RECURRA_ISA: expected one of {', '.join(INFO['isas_available'])}, got {isa!r}"
    )


# dispatch.cpp itself beside empty tables, so that one machine can play every other: each line of standard input is
# CPUID leaf 1 ECX, leaf 7 EBX and ECX, XCR0 (all hexadecimal) and a wish or "-"; the answer is the choice or the error.
PROBE = """
#include "dispatch.cpp"

#include <iostream>

namespace recurra {
#define TABLES(isa) namespace isa { \\
const KernelTable &kernel_table() { static const KernelTable table{}; return table; } \\
const NarrowFloatKernels &narrow_float_kernels() { static const NarrowFloatKernels table{}; return table; } \\
const Kernels<float> &int8_kernels() { static const Kernels<float> table{}; return table; } }
TABLES(isa_baseline)
TABLES(isa_avx2)
TABLES(isa_avx512)
namespace isa_avx512vnni { const Kernels<float> &int8_kernels() { return isa_avx512::int8_kernels(); } }
}

int main() {
    recurra::CpuState cpu;
    std::string wish;
    while (std::cin >> std::hex >> cpu.leaf1_ecx >> cpu.leaf7_ebx >> cpu.leaf7_ecx >> cpu.xcr0 >> wish) {
        try {
            std::cout << recurra::choose(cpu, wish == "-" ? nullptr : wish.c_str()).name << std::endl;
        } catch (const std::runtime_error &error) {
            std::cout << error.what() << std::endl;
        }
    }
}
"""

FMA, OSXSAVE, AVX, F16C = 1 << 12, 1 << 27, 1 << 28, 1 << 29
LEAF1 = FMA | OSXSAVE | AVX | F16C
AVX2, AVX512F, AVX512DQ, AVX512BW, AVX512VL = 1 << 5, 1 << 16, 1 << 17, 1 << 30, 1 << 31
LEAF7 = AVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL
VNNI = 1 << 11  # of ECX
XMM, YMM, MASKS, ZMM_LOW, ZMM_HIGH = 2, 4, 32, 64, 128
XCR0 = XMM | YMM | MASKS | ZMM_LOW | ZMM_HIGH


@pytest.fixture(scope="module")
def choose(tmp_path_factory):
    """choose([(leaf1, leaf7, leaf7_ecx, xcr0, wish), …]) -> what dispatch.cpp answers on CPUs that say so."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    folder = tmp_path_factory.mktemp("dispatch")
    (folder / "probe.cpp").write_text(PROBE)
    texts = [f'-DRECURRA_{name}="none"' for name in ("VERSION", "COMPILER", "FLAGS")]
    builds = [f"-DRECURRA_HAVE_{isa}" for isa in ("BASELINE", "AVX2", "AVX512", "AVX512VNNI")]
    command = [compiler, "-std=c++17", *builds, *texts]
    subprocess.run([*command, "-I", CSRC, "-o", folder / "probe", folder / "probe.cpp"], check=True)

    def ask(questions):
        lines = "".join(" ".join([*(f"{number:x}" for number in numbers), wish]) + "\n" for *numbers, wish in questions)
        return subprocess.run(
            [folder / "probe"], input=lines, capture_output=True, text=True, timeout=60, check=True
        ).stdout.splitlines()

    return ask


def test_every_cpu_gets_what_it_and_its_operating_system_support(choose):
    everything = [(LEAF1, LEAF7, VNNI, XCR0, "-")]
    no_avx2 = [(LEAF1 & ~bit, LEAF7, VNNI, XCR0, "-") for bit in (FMA, OSXSAVE, AVX, F16C)]
    no_avx2 += [(LEAF1, LEAF7 & ~AVX2, VNNI, XCR0, "-")]
    no_avx2 += [(LEAF1, LEAF7, VNNI, XCR0 & ~bit, "-") for bit in (YMM, XMM)]
    no_avx2 += [(0, 0, 0, 0, "-"), (LEAF1, LEAF7, VNNI, 0, "-")]
    no_avx512 = [(LEAF1, LEAF7 & ~bit, VNNI, XCR0, "-") for bit in (AVX512F, AVX512DQ, AVX512BW, AVX512VL)]
    no_avx512 += [(LEAF1, LEAF7, VNNI, XCR0 & ~bit, "-") for bit in (MASKS, ZMM_LOW, ZMM_HIGH)]
    assert choose(everything) == ["avx512vnni"]
    assert choose([(LEAF1, LEAF7, 0xFFFFFFFF & ~VNNI, XCR0, "-")]) == ["avx512"]
    assert choose(no_avx2) == ["baseline"] * len(no_avx2)
    assert choose(no_avx512) == ["avx2"] * len(no_avx512)


def test_a_wish_is_granted_or_refused_with_the_reason(choose):
    masked = XMM | YMM  # an operating system that doesn't save the AVX-512 registers
    for isa in ("baseline", "avx2", "avx512", "avx512vnni"):
        assert choose([(LEAF1, LEAF7, VNNI, XCR0, isa)]) == [isa]
    refused = "RECURRA_ISA: expected one of baseline, avx2, got "
    lacks = ", which this build has, but this CPU or its operating system doesn't support"
    assert choose([(LEAF1, LEAF7, VNNI, masked, "avx512")]) == [refused + "'avx512'" + lacks]
    assert choose([(LEAF1, LEAF7, VNNI, masked, "neon")]) == [refused + "'neon', which this build doesn't have"]


def test_the_package_is_typed_small_and_needs_only_numpy():
    package = resources.files("recurra")
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()
    required = [text for text in metadata.requires("recurra") or [] if "extra ==" not in text]
    assert required == ["numpy>=1.26"]
    assert metadata.metadata("recurra")["License-Expression"] == "MIT"
    compressed = len(zlib.compress(Path(recurra._core.__file__).read_bytes()))
    assert compressed <= 1_900_000  # leaves the Python files 100 kB of a wheel's 2 MB


if sysconfig.get_config_var("Py_GIL_DISABLED"):

    def test_importing_leaves_the_gil_off():
        code = "import sys, recurra; print(sys._is_gil_enabled())"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
        command = [sys.executable, "-W", "error", "-c", code]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert result.stdout.strip() == "False", result.stderr

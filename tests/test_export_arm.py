"""Exported headers on an emulated Cortex-M4, where they give the bits that the model gives here."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import recurra
from exported import FUSED, STRICT, answer, same_bits

TARGET = ["-std=c99", *STRICT, "-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
EMULATOR = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]
SEMIHOSTING = ["-semihosting-config", "enable=on,target=native"]  # so that printf and the end of main reach us
needs_arm = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None or shutil.which(EMULATOR[0]) is None,
    reason="needs arm-none-eabi-gcc, newlib for it and qemu-system-arm",
)

START = """
void _start(void);
static void reset(void);
__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {(void (*)(void))0x20400000, reset};
static void reset(void)
{
  *(volatile unsigned *)0xE000ED88u |= 0xFu << 20; /* the floating-point unit on */
  __asm__ volatile("dsb\\n isb");
  _start();
}
"""
MAIN = """
#include <stdio.h>
#include "m.h"
static const float x[][M_INPUT_SIZE] = {%s};
static m_state state;
int main(void)
{
  float y[M_OUTPUT_SIZE];
  unsigned t;
  int i;
  m_reset(&state);
  for (t = 0; t < sizeof x / sizeof x[0]; ++t) {
    m_step(&state, x[t], y);
    for (i = 0; i < M_OUTPUT_SIZE; ++i) printf("%%08lx\\n", (unsigned long)m_bits(y[i]));
  }
  return 0;
}
"""
STEP = """
#include "m.h"
void step(m_state *state, const float *x, float *y);
void step(m_state *state, const float *x, float *y)
{
  m_step(state, x, y);
}
"""


def command(folder, *words):
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


@needs_arm
@pytest.mark.parametrize("level", ["-O2", pytest.param("-Os", marks=pytest.mark.exhaustive)])
def test_a_microcontroller_gives_the_same_bits(level, tmp_path):
    model = recurra.Sequential(
        recurra.GRU(6, 17, seed=0), recurra.LSTM(17, 8, seed=1), recurra.Linear(8, 3, seed=2), recurra.Sigmoid()
    )
    x = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    check_on_arm(model, x, level, tmp_path)


def check_on_arm(model, x, level, folder):
    recurra.export_c(model, folder / "m.h", name="m")
    rows = ", ".join("{" + ", ".join(f"{value!s}f" for value in row) + "}" for row in x)
    for name, text in (("start", START), ("main", MAIN % rows), ("step", STEP)):
        (folder / f"{name}.c").write_text(text)
    command(folder, "arm-none-eabi-gcc", *TARGET, level, "-c", "step.c")
    print(command(folder, "arm-none-eabi-size", "step.o"))
    text, data, bss = map(int, command(folder, "arm-none-eabi-size", "step.o").splitlines()[1].split()[:3])
    said, state = map(int, re.search(r"(\d+) bytes of constants, (\d+) of", (folder / "m.h").read_text()).groups())
    assert (data, bss) == (0, 0)
    assert said < text < said + 4000
    assert state < 2000
    link = ["--specs=rdimon.specs", "-Wl,--section-start=.vectors=0", "-o", "m.elf"]
    command(folder, "arm-none-eabi-gcc", *TARGET, "-Wno-pedantic", level, "main.c", "start.c", *link)
    printed = command(folder, *EMULATOR, *SEMIHOSTING, "-kernel", "m.elf").split()
    expected = answer(model, x)
    got = np.array([int(word, 16) for word in printed], np.uint32).view(np.float32).reshape(expected.shape)
    assert not FUSED or same_bits(got, expected)
    np.testing.assert_allclose(got, expected, atol=2e-6)

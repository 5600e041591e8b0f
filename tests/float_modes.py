"""The floating-point mode of the calling thread, read and set: MXCSR on x86-64, FPCR on AArch64.

Python has no way to it, so a few bytes of machine code do it.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from contextlib import contextmanager

MACHINE = platform.machine() if sys.platform == "linux" else None

# get() -> value, set(value), and collect(address), which ors the value into *address: of many threads at once.
CODE = {
    "x86_64": (
        "0fae5c24f8 8b4424f8 c3",  # stmxcsr [rsp-8]; mov eax, [rsp-8]; ret
        "897c24f8 0fae5424f8 c3",  # mov [rsp-8], edi; ldmxcsr [rsp-8]; ret
        "0fae5c24f8 8b4424f8 f00907 c3",  # stmxcsr [rsp-8]; mov eax, [rsp-8]; lock or [rdi], eax; ret
    ),
    "aarch64": (
        "00443bd5 c0035fd6",  # mrs x0, fpcr; ret
        "00441bd5 c0035fd6",  # msr fpcr, x0; ret
        "01443bd5 027c5f88 4200012a 027c0388 a3ffff35 c0035fd6",  # mrs x1, fpcr; ldxr, orr, stxr until it works; ret
    ),
}
MODES = {
    "x86_64": {"usual": 0x1F80, "flush": 0x9FC0, "down": 0x3F80, "up": 0x5F80, "to zero": 0x7F80},
    "aarch64": {"usual": 0, "flush": 1 << 24, "down": 2 << 22, "up": 1 << 22, "to zero": 3 << 22},
}.get(MACHINE, {})
FLAGS = 0x3F if MACHINE == "x86_64" else 0  # of exceptions that have happened, which are no mode
FLUSH = MODES.get("flush", 0) & ~MODES.get("usual", 0)
TRAPPING = {"x86_64": 0x1000}.get(MACHINE)  # all exceptions but "inexact" end the process


def _function(code, result, *arguments):
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(bytes.fromhex(code))
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    function = ctypes.CFUNCTYPE(result, *arguments)(address)
    function.memory = memory  # kept as long as the function
    return function


if MODES:
    _get = _function(CODE[MACHINE][0], ctypes.c_uint32)
    _set = _function(CODE[MACHINE][1], None, ctypes.c_uint32)
    collect = _function(CODE[MACHINE][2], None, ctypes.POINTER(ctypes.c_uint32))


def get_mode():
    return _get() & ~FLAGS


def set_mode(value):
    _set(value)
    assert get_mode() == value


@contextmanager
def caller_mode(value):
    """Within it this thread computes so; at the end it must still."""
    before = get_mode()
    set_mode(value)
    try:
        yield
        assert get_mode() == value, f"{get_mode():#x} is left of {value:#x}"
    finally:
        set_mode(before)

"""bpf(2) without a compiler or a library: an assembler of the instructions that we need, maps, and loading.

Instructions are those of Documentation/bpf/standardization/instruction-set.rst, eight bytes each. Runs on the host; the
standard library alone. Every call raises OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
MAP_CREATE, MAP_UPDATE, PROG_LOAD, RAW_TRACEPOINT_OPEN, MAP_FREEZE = 0, 2, 5, 17, 22
ARRAY, RINGBUF, RAW_TRACEPOINT = 2, 27, 17
RDONLY_PROG = 1 << 7
MAP_FD, MAP_VALUE = 1, 2
LICENCE = b"Dual BSD/GPL"
ATTR = 144
MOV64_REG, MOV64, ADD64, LD64, LDXW, LDXH, LDXDW = 0xBF, 0xB7, 0x07, 0x18, 0x61, 0x69, 0x79
STXW, STXDW, STDW, JA, JEQ64, JNE32, CALL, EXIT = 0x63, 0x7B, 0x7A, 0x05, 0x15, 0x56, 0x85, 0x95
ADD64_REG = 0x0F


def bpf(command: int, attributes: bytes) -> int:
    number = SYSCALL.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, f"the number of bpf(2) on {os.uname().machine} is not known here")
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes.ljust(ATTR, b"\0"), ATTR)
    result: int = libc.syscall(number, command, buffer, ATTR)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"bpf({command}): {os.strerror(code)}")
    return result


def pointer(data: bytes) -> tuple[int, Any]:
    """The address of a copy, and the copy, which has to outlive the call."""
    kept = ctypes.create_string_buffer(data, len(data))
    return ctypes.addressof(kept), kept


class Program:
    """Instructions with labels: ``jump`` names one, ``label`` puts it."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int, int]] = []
        self._jumps: dict[int, str] = {}
        self._labels: dict[str, int] = {}

    def add(self, op: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self._code.append((op, dst, src, off, imm))

    def jump(self, label: str, op: int = JA, dst: int = 0, imm: int = 0) -> None:
        self._jumps[len(self._code)] = label
        self.add(op, dst, imm=imm)

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def address(self, dst: int, fd: int, kind: int) -> None:
        """A map, or (``MAP_VALUE``) the first value of an array, into a register: two instructions."""
        self.add(LD64, dst, kind, imm=fd)
        self.add(0)

    def call(self, helper: int) -> None:
        self.add(CALL, imm=helper)

    def assembled(self) -> bytes:
        out = b""
        for at, (op, dst, src, off, imm) in enumerate(self._code):
            if at in self._jumps:
                off = self._labels[self._jumps[at]] - at - 1
            out += struct.pack("=BBhI", op, src << 4 | dst, off, imm & 0xFFFFFFFF)
        return out

    def load(self, kind: int = RAW_TRACEPOINT) -> int:
        """The descriptor. What the verifier says is in the error."""
        code = self.assembled()
        instructions, _code = pointer(code)
        licence, _licence = pointer(LICENCE + b"\0")
        fields = struct.pack("=IIQQ", kind, len(code) // 8, instructions, licence)
        try:
            return bpf(PROG_LOAD, fields)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                raise
            log = ctypes.create_string_buffer(1 << 16)
            try:
                return bpf(PROG_LOAD, fields + struct.pack("=IIQ", 1, len(log), ctypes.addressof(log)))
            except OSError as again:
                lines = log.value.decode(errors="replace").strip().splitlines()
                raise OSError(again.errno, f"the verifier: {' / '.join(lines[-3:])}"[:300]) from None


def ring(size: int) -> int:
    """A ring buffer of ``size`` bytes, a power of two of at least a page."""
    return bpf(MAP_CREATE, struct.pack("=IIIII", RINGBUF, 0, 0, size, 0))


def constant(text: bytes) -> int:
    """A map that holds one text, which programs may read and nobody may change."""
    value = text + b"\0" * (8 - len(text) % 8)
    fd = bpf(MAP_CREATE, struct.pack("=IIIII", ARRAY, 4, len(value), 1, RDONLY_PROG))
    key, _key = pointer(bytes(4))
    data, _data = pointer(value)
    bpf(MAP_UPDATE, struct.pack("=IIQQQ", fd, 0, key, data, 0))
    bpf(MAP_FREEZE, struct.pack("=I", fd))
    return fd


def attach(program: int, tracepoint: str) -> int:
    """Until the descriptor that comes back is closed."""
    name, _name = pointer(tracepoint.encode() + b"\0")
    return bpf(RAW_TRACEPOINT_OPEN, struct.pack("=QI", name, program))

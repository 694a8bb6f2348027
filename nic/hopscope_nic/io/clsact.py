"""Programs at the ingress of ports by a clsact qdisc: kernels before 6.6, which have no tcx links.

A filter of tc outlives whoever made it, and one that drops what user space should have is worse than none. So a child
waits for this process to end, in whatever way, and takes away what was put there; a clean stop goes the same way.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from typing import Any, Dict, List, Sequence

from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io.libbpf import Library

_INGRESS = 1  # enum bpf_tc_attach_point
_INGRESS_AND_EGRESS = 3  # both: the qdisc itself goes
_HANDLE, _PRIORITY = 1, 1


class _Hook(ctypes.Structure):
    """struct bpf_tc_hook (libbpf.h)."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    )


class _Options(ctypes.Structure):
    """struct bpf_tc_opts (libbpf.h)."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("program", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("program_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


def _hook(ifindex: int, point: int = _INGRESS) -> Any:
    return ctypes.byref(_Hook(ctypes.sizeof(_Hook), ifindex, point, 0))


def _options(program: int = 0) -> Any:
    return ctypes.byref(_Options(ctypes.sizeof(_Options), program, 0, 0, _HANDLE, _PRIORITY))


class Filters:
    """Programs on ports, from `attach` until `close` or the end of this process."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._pipe = -1
        self._child = 0

    def attach(self, programs: Dict[int, int]) -> None:
        """Run programs (descriptors) on what comes in, by ifindex. EnvironmentFault when one cannot; then none does."""
        made: List[int] = []
        for ifindex in programs:
            code = self._library.bpf_tc_hook_create(_hook(ifindex))
            if code == 0:
                made.append(ifindex)
            elif code != -errno.EEXIST:
                self._remove((), made)
                raise EnvironmentFault(f"a clsact qdisc: {os.strerror(abs(code))}")
        self._watch(tuple(programs), made)
        for ifindex, program in programs.items():
            code = self._library.bpf_tc_attach(_hook(ifindex), _options(program))
            if code:
                self.close()
                raise EnvironmentFault(f"a filter on a clsact qdisc: {os.strerror(abs(code))}")

    def close(self) -> None:
        """Returns when nothing is attached any more."""
        if self._child:
            os.close(self._pipe)
            os.waitpid(self._child, 0)
            self._child = 0

    def _watch(self, attached: Sequence[int], made: Sequence[int]) -> None:
        read, self._pipe = os.pipe()
        self._child = os.fork()
        if self._child:
            os.close(read)
            return
        try:
            os.setsid()  # what ends this process may be meant for its whole group
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.dup2(read, 0)
            os.closerange(1, os.sysconf("SC_OPEN_MAX"))  # nobody shall wait for the end of our output
            os.read(0, 1)
            self._remove(attached, made)
        finally:
            os._exit(0)

    def _remove(self, attached: Sequence[int], made: Sequence[int]) -> None:
        for ifindex in attached:
            self._library.bpf_tc_detach(_hook(ifindex), _options())
        for ifindex in made:
            self._library.bpf_tc_hook_destroy(_hook(ifindex, _INGRESS_AND_EGRESS))

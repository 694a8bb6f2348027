"""libbpf.so.1 by ctypes: an object file loaded from bytes, its maps and its programs.

The library comes with iproute2 on every distribution that links it; nothing is needed from pip, and no bpffs. What is
loaded lives as long as its descriptors, so a process that ends in whatever way leaves nothing in the kernel.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, List, Optional, Tuple

from hopscope_nic.errors import EnvironmentFault

BPF_TCX_INGRESS = 46  # enum bpf_attach_type (linux/bpf.h, Linux 6.6)
_BPF_ANY = 0
_POINTERS = ("bpf_object__open_mem", "bpf_object__find_map_by_name", "bpf_object__find_program_by_name")
_SIGNATURES: Tuple[Tuple[str, Tuple[Any, ...]], ...] = (
    ("bpf_object__open_mem", (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)),
    ("bpf_object__load", (ctypes.c_void_p,)),
    ("bpf_object__close", (ctypes.c_void_p,)),
    ("bpf_object__find_map_by_name", (ctypes.c_void_p, ctypes.c_char_p)),
    ("bpf_object__find_program_by_name", (ctypes.c_void_p, ctypes.c_char_p)),
    ("bpf_map__fd", (ctypes.c_void_p,)),
    ("bpf_map__set_max_entries", (ctypes.c_void_p, ctypes.c_uint32)),
    ("bpf_program__fd", (ctypes.c_void_p,)),
    ("bpf_map_update_elem", (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)),
    ("bpf_map_lookup_elem", (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    ("bpf_map_delete_elem", (ctypes.c_int, ctypes.c_void_p)),
    ("bpf_map_lookup_and_delete_elem", (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)),
    ("bpf_prog_test_run_opts", (ctypes.c_int, ctypes.c_void_p)),
    ("bpf_link_create", (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)),
    ("bpf_tc_hook_create", (ctypes.c_void_p,)),
    ("bpf_tc_hook_destroy", (ctypes.c_void_p,)),
    ("bpf_tc_attach", (ctypes.c_void_p, ctypes.c_void_p)),
    ("bpf_tc_detach", (ctypes.c_void_p, ctypes.c_void_p)),
)


class TestRun(ctypes.Structure):
    """struct bpf_test_run_opts (libbpf, bpf.h)."""

    __test__ = False
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class Library:
    """The functions used here; EnvironmentFault without the library."""

    def __init__(self, name: str = "libbpf.so.1") -> None:
        try:
            self._library = ctypes.CDLL(name, use_errno=True)
        except OSError:
            raise EnvironmentFault(f"{name} is not installed (Debian, Ubuntu: libbpf1)") from None
        for function, arguments in _SIGNATURES:
            getattr(self._library, function).argtypes = arguments
            if function in _POINTERS:
                getattr(self._library, function).restype = ctypes.c_void_p
        self._library.libbpf_set_print(None)  # what goes wrong is said by the codes that come back

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


class Map:
    """A map of the kernel. Keys and values are octets; nothing here raises for a key that is not there."""

    def __init__(self, library: Library, descriptor: int, value_size: int) -> None:
        """`value_size` in octets; of a map per processor that of all processors together."""
        self._library = library
        self._descriptor = descriptor
        self._value = ctypes.create_string_buffer(value_size)

    def put(self, key: bytes, value: bytes) -> bool:
        """False when the map is full."""
        return bool(self._library.bpf_map_update_elem(self._descriptor, key, value, _BPF_ANY) == 0)

    def get(self, key: bytes) -> Optional[bytes]:
        if self._library.bpf_map_lookup_elem(self._descriptor, key, self._value):
            return None
        return self._value.raw

    def remove(self, key: bytes) -> None:
        self._library.bpf_map_delete_elem(self._descriptor, key)

    def pop(self) -> Optional[bytes]:
        """The next value of a queue."""
        if self._library.bpf_map_lookup_and_delete_elem(self._descriptor, None, self._value):
            return None
        return self._value.raw


class Object:
    """An object file in the kernel, from `load` to `close`."""

    def __init__(self, library: Library, content: bytes) -> None:
        self._library = library
        self._content = content  # libbpf reads it until it is loaded
        self._links: List[int] = []
        self._object = library.bpf_object__open_mem(content, len(content), None)
        if not self._object:
            raise EnvironmentFault(f"libbpf cannot read the object file: {os.strerror(ctypes.get_errno())}")

    def size(self, name: str, entries: int) -> None:
        """How many entries a map can have; before `load`."""
        self._library.bpf_map__set_max_entries(self._find("map", name), entries)

    def load(self) -> None:
        """EnvironmentFault when this user or this kernel cannot."""
        code = self._library.bpf_object__load(self._object)
        if code:
            raise EnvironmentFault(f"the kernel does not take the BPF programs: {os.strerror(abs(code))}")

    def map(self, name: str, value_size: int) -> Map:
        """A map by its name in the source."""
        return Map(self._library, self._library.bpf_map__fd(self._find("map", name)), value_size)

    def program(self, name: str) -> int:
        """Descriptor of a program by its name in the source."""
        return int(self._library.bpf_program__fd(self._find("program", name)))

    def run(self, name: str, frame: bytes, room: int = 0) -> Tuple[int, bytes]:
        """Run a program on a frame, here and now: what it answers, and up to `room` octets of the frame behind it.

        OSError when the kernel does not."""
        out = ctypes.create_string_buffer(room)
        test = TestRun(size=ctypes.sizeof(TestRun), data_in=frame, data_size_in=len(frame), repeat=1)
        if room:
            test.data_out, test.data_size_out = ctypes.addressof(out), room
        code = self._library.bpf_prog_test_run_opts(self.program(name), ctypes.byref(test))
        if code:
            raise OSError(abs(code), os.strerror(abs(code)))
        return test.retval, out.raw[: test.data_size_out] if room else b""

    def attach_tcx(self, name: str, ifindex: int) -> None:
        """Run a program on what comes in on an interface, until `close` or the end of this process.

        EnvironmentFault before Linux 6.6.
        """
        link = self._library.bpf_link_create(self.program(name), ifindex, BPF_TCX_INGRESS, None)
        if link < 0:
            raise EnvironmentFault(f"tcx links (Linux 6.6): {os.strerror(abs(link))}")
        self._links.append(link)

    def close(self) -> None:
        """Detach and unload."""
        for link in self._links:
            os.close(link)
        self._links.clear()
        if self._object:
            self._library.bpf_object__close(self._object)
            self._object = None

    def _find(self, kind: str, name: str) -> int:
        found = getattr(self._library, f"bpf_object__find_{kind}_by_name")(self._object, name.encode())
        if not found:
            raise AssertionError(f"no {kind} {name} in the object file")
        return int(found)

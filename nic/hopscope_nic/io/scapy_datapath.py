"""The predecessor's way, kept to show what is wrong with it: Scapy sniffs, decides and sends, and the kernel forwards.

Nothing here stops the kernel, which routes every selected frame as well and, in round trips of tens of milliseconds,
always sooner: the client takes the server's own SYN-ACK, the spoofed one comes late, and every connection "succeeds".
What is sent goes through `send()` on layer 3, one socket a packet; the route decides the port. What is said to be sent
is said before it has been. A test harness must not believe any of it.
"""

from __future__ import annotations

import signal
import threading
import time
from importlib import import_module
from types import FrameType
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from hopscope_nic.core.actions import CLIENT, SERVER, SIDES, Action, Send
from hopscope_nic.core.segment import ACK, FIN, HEADROOM, PSH, RST, SYN, Segment
from hopscope_nic.core.selection import PortRange
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io.events import Events
from hopscope_nic.io.netlink import Netlink
from hopscope_nic.io.ports import Port

_ROOM = 64  # octets behind a packet, which the machine may look at
_LETTERS = ((FIN, "F"), (SYN, "S"), (RST, "R"), (PSH, "P"), (ACK, "A"))


def bpf(ranges: Sequence[PortRange]) -> str:
    """The filter in the language of pcap-filter(7)."""
    return " or ".join(f"tcp portrange {one.first}-{one.last}" for one in ranges)


class Scapy:
    """Context manager over two sniffers; `run` returns when a signal asks for it. `machine` as for `AfPacket`."""

    def __init__(
        self,
        machine: Any,
        ports: Tuple[Port, Port],
        ranges: Sequence[PortRange],
        own_addresses: Sequence[str],
        netlink: Netlink,
        events: Events,
    ) -> None:
        self._machine = machine
        self._ports = ports
        self._filter = bpf(ranges)
        self._events = events
        self._sniffers: List[Any] = []
        self._received = [0, 0]
        self._sent = [0, 0]
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()
        self._asked = threading.Event()

    def __enter__(self) -> Scapy:
        """EnvironmentFault without Scapy."""
        try:
            self._scapy = import_module("scapy.all")
        except ImportError:
            raise EnvironmentFault("--datapath scapy needs Scapy: pip install 'hopscope-nic[scapy]'") from None
        live = [threading.Event(), threading.Event()]
        for side, port in enumerate(self._ports):
            sniffer = self._scapy.AsyncSniffer(
                iface=port.name, filter=self._filter, store=False, prn=self._hear(side), started_callback=live[side].set
            )
            sniffer.start()
            self._sniffers.append(sniffer)
        for side, port in enumerate(self._ports):
            if not live[side].wait(10):
                raise EnvironmentFault(f"{port.name}: Scapy does not sniff")
        return self

    def __exit__(self, *failure: Any) -> None:
        for sniffer in self._sniffers:
            if sniffer.running:
                sniffer.stop(join=False)

    def run(self) -> None:
        """Until SIGTERM or SIGINT. SIGUSR1 has the counters written."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._signalled)
        while not self._stopped.wait(0.05):
            with self._one_at_a_time:
                self._carry_out(self._machine.tick(time.monotonic()))
            if self._asked.is_set():
                self._asked.clear()
                self._events.counters(self.snapshot(), always=True)
        self._events.counters(self.snapshot(), always=True)

    def _signalled(self, number: int, frame: Optional[FrameType]) -> None:
        (self._asked if number == signal.SIGUSR1 else self._stopped).set()

    def _hear(self, side: int) -> Any:
        own = self._ports[side].mac.hex(":")

        def heard(frame: Any) -> None:
            if frame.src == own or not frame.haslayer("IP"):
                return  # a sniffer sees what leaves the port as well
            packet = bytes(frame["IP"])
            buffer = bytearray(HEADROOM) + packet + bytes(_ROOM)
            segment = Segment()
            if segment.load(buffer, HEADROOM, HEADROOM + len(packet)) is not None:
                return
            with self._one_at_a_time:
                self._received[side] += 1
                self._carry_out(self._machine.respond(side, segment, time.monotonic()))

        return heard

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if type(action) is not Send:
                continue
            packet = action.packet
            self._sent[action.side] += 1
            self._events.emit("sent", side=SIDES[action.side], **_told(bytes(packet.buffer[packet.head : packet.end])))
            self._scapy.send(self._scapy.IP(bytes(packet.buffer[packet.head : packet.end])), verbose=False)

    def snapshot(self) -> Dict[str, Any]:
        """Counters as the events tell them."""
        return {
            **self._machine.flows.snapshot(),
            **self._machine.counters.snapshot(),
            **{f"received_{SIDES[side]}": self._received[side] for side in (CLIENT, SERVER)},
            **{f"sent_{SIDES[side]}": self._sent[side] for side in (CLIENT, SERVER)},
        }


def _told(packet: bytes) -> Dict[str, Any]:
    """Flow, number and flags of an IPv4 segment for the log."""
    at = (packet[0] & 15) * 4
    source, target = (".".join(str(octet) for octet in packet[start : start + 4]) for start in (12, 16))
    ports = [int.from_bytes(packet[start : start + 2], "big") for start in (at, at + 2)]
    flags = "".join(letter for bit, letter in _LETTERS if packet[at + 13] & bit)
    flow = f"{source}:{ports[0]}>{target}:{ports[1]}"
    return {"flow": flow, "flags": flags, "seq": int.from_bytes(packet[at + 4 : at + 8], "big")}

"""A TCP client made by hand with Scapy, for what sockets cannot send: ``craft.py SCENE ADDRESS PORT FROM_PORT``.

It speaks to ``talk.py serve``. The kernel of the client knows nothing of these connections and would reset them:
``conversations.hands_off`` keeps it from that. One JSON object on standard output: the ISNs that the SYNs
were answered with, bytes that came, whether the connection ended in order, and what a scene adds.

Scenes:
    twice            the SYN twice with the same ISN, the second as soon as the first is answered
    anew             a SYN with a new ISN on the 4-tuple of a connection that is open
    simultaneous     a FIN that crosses the server's: it acknowledges the data before that and not the FIN
    bad-checksum     a segment whose TCP checksum is wrong by one, then the same segment as it should be
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

# Not from scapy.all, which takes a second longer.
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
from scapy.sendrecv import AsyncSniffer
from scapy.supersocket import L3RawSocket

REQUEST = b"q" * 500
RESPONSE = 20_000
TIMEOUT = 8.0
MASK = 0xFFFFFFFF
FIN, SYN, RST, ACK = 1, 2, 4, 16


class Silence(Exception):
    """What was waited for did not come."""


class Peer:
    """Our end of one connection: everything is sent when told to, acknowledgements of what was read included."""

    def __init__(self, address: str, port: int, from_port: int, isn: int) -> None:
        self.address, self.port, self.from_port = address, port, from_port
        self.isn = isn
        self.seq = isn
        self.ack = 0
        self.begin = 0
        """First sequence number of the server's data."""
        self.ended = False
        self.seen: list[Any] = []
        live = threading.Event()
        self._socket = L3RawSocket()
        self._sniffer = AsyncSniffer(
            iface="eth0", lfilter=self._ours, prn=self._keep, store=False, started_callback=live.set
        )
        self._sniffer.start()
        if not live.wait(TIMEOUT):
            raise Silence("the sniffer did not start")

    def close(self) -> None:
        self._sniffer.stop()
        self._socket.close()

    def _keep(self, packet: Any) -> None:
        self.seen.append(packet[TCP])

    def _ours(self, packet: Any) -> bool:
        return bool(
            packet.haslayer(TCP)
            and packet[IP].src == self.address
            and (packet[TCP].sport, packet[TCP].dport) == (self.port, self.from_port)
        )

    def send(self, flags: str, payload: bytes = b"", **fields: Any) -> None:
        tcp = TCP(sport=self.from_port, dport=self.port, flags=flags, seq=self.seq, ack=self.ack, window=65535)
        for name, value in fields.items():
            setattr(tcp, name, value)
        packet = IP(dst=self.address) / tcp
        self._socket.send(packet / Raw(payload) if payload else packet)

    def wait(self, wanted: Callable[[Any], bool], what: str, since: int = 0) -> Any:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            for tcp in self.seen[since:]:
                if wanted(tcp):
                    return tcp
            time.sleep(0.001)
        raise Silence(what)

    def syn(self) -> int:
        """Send the SYN and return the ISN that it was answered with."""
        since = len(self.seen)
        self.seq, self.ack = self.isn, 0
        self.send("S", options=[("MSS", 1460)])
        expected = (self.isn + 1) & MASK
        answer = self.wait(lambda tcp: tcp.flags & (SYN | ACK) == SYN | ACK and tcp.ack == expected, "a SYN-ACK", since)
        self.seq, self.ack = expected, (answer.seq + 1) & MASK
        self.begin = self.ack
        return int(answer.seq)

    def say(self, payload: bytes, **fields: Any) -> None:
        self.send("PA", payload, **fields)
        self.seq = (self.seq + len(payload)) & MASK

    def read(self, wanted: int, *, fin: bool = True) -> int:
        """Acknowledge data as it comes, to ``wanted`` bytes of the stream; a FIN with the last of it, if told to."""
        deadline = time.monotonic() + TIMEOUT
        while (self.ack - self.begin) & MASK < wanted and time.monotonic() < deadline:
            tcp = next((one for one in list(self.seen) if one.seq == self.ack and payload_of(one)), None)
            if tcp is None:
                time.sleep(0.001)
                continue
            self.ack = (self.ack + payload_of(tcp)) & MASK
            if fin and tcp.flags & FIN:
                self.ack, self.ended = (self.ack + 1) & MASK, True
            self.send("A")
        return (self.ack - self.begin - self.ended) & MASK

    def finish(self) -> bool:
        """End our direction, and acknowledge the server's end: True when both were."""
        self.send("FA")
        self.seq = (self.seq + 1) & MASK
        if not self.ended:
            end = self.wait(lambda tcp: tcp.flags & FIN and not tcp.flags & RST, "the server's FIN")
            self.ack = (end.seq + payload_of(end) + 1) & MASK
            self.send("A")
        self.wait(lambda tcp: tcp.flags & ACK and tcp.ack == self.seq, "an acknowledgement of our FIN")
        return True


def payload_of(tcp: Any) -> int:
    """Bytes of payload by the IP length, which link padding is not part of."""
    return int(tcp.underlayer.len) - 4 * int(tcp.underlayer.ihl) - 4 * int(tcp.dataofs)


def twice(peer: Peer) -> dict[str, Any]:
    answers = [peer.syn(), peer.syn()]
    peer.send("A")
    peer.say(REQUEST)
    return {"answers": answers, "bytes": peer.read(RESPONSE), "ended": peer.finish()}


def anew(peer: Peer) -> dict[str, Any]:
    answers = [peer.syn()]
    peer.send("A")
    peer.say(REQUEST)
    first = peer.read(RESPONSE)
    peer.seen.clear()
    peer.isn = (peer.isn + 1_000_000) & MASK
    answers.append(peer.syn())
    peer.send("A")
    peer.say(REQUEST)
    return {"answers": answers, "first": first, "bytes": peer.read(RESPONSE), "ended": peer.finish()}


def simultaneous(peer: Peer) -> dict[str, Any]:
    answers = [peer.syn()]
    peer.send("A")
    peer.say(REQUEST)
    got = peer.read(RESPONSE, fin=False)
    return {"answers": answers, "bytes": got, "ended": peer.finish()}


def bad_checksum(peer: Peer) -> dict[str, Any]:
    answers = [peer.syn()]
    peer.send("A")
    right = TCP(sport=peer.from_port, dport=peer.port, flags="PA", seq=peer.seq, ack=peer.ack, window=65535)
    good = IP(bytes(IP(dst=peer.address) / right / Raw(REQUEST)))[TCP].chksum
    since = len(peer.seen)
    peer.send("PA", REQUEST, chksum=(good + 1) & 0xFFFF)
    deadline = time.monotonic() + 0.3  # longer than a round trip and a delayed acknowledgement
    while time.monotonic() < deadline:
        time.sleep(0.01)
    taken = any(tcp.ack == (peer.seq + len(REQUEST)) & MASK for tcp in peer.seen[since:])
    peer.say(REQUEST)
    return {"answers": answers, "taken": taken, "bytes": peer.read(RESPONSE), "ended": peer.finish()}


SCENES = {"twice": twice, "anew": anew, "simultaneous": simultaneous, "bad-checksum": bad_checksum}


def main(scene: str, address: str, port: str, from_port: str) -> None:
    # As RFC 9293, 3.4.1 has it: later connections of the same ports begin higher, so that TIME-WAIT lets them in.
    peer = Peer(address, int(port), int(from_port), isn=time.time_ns() // 4000 & MASK)
    try:
        print(json.dumps(SCENES[scene](peer)))
    finally:
        peer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

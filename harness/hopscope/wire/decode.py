"""Records to columns: link layer, IP, then TCP, UDP and ICMP, each step over all rows at once.

Every field is read only where its header lies within the captured bytes of its frame. A frame whose header runs past
them is absent from that layer up; it is malformed when the capture kept the whole frame, else only cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import link, network, transport
from hopscope.wire.packets import Packets
from hopscope.wire.records import Records


def columns(path: str, data: NDArray[np.uint8], records: Records) -> Packets:
    """Decode every record."""
    end = records.offset + records.caplen
    links = link.decode(data, records.offset, end, records.linktype)
    ip = network.decode(data, links.l3_offset, end, records.offset + records.wirelen, links.family)
    l4 = transport.decode(data, ip, end)
    cut = records.caplen < records.wirelen
    broken = np.maximum(ip.malformed, l4.malformed)
    return Packets(
        path=path,
        data=data,
        truncated=records.truncated,
        time=records.time,
        frame=np.arange(1, len(records.offset) + 1, dtype=np.int64),
        interface=np.where(links.ifindex > 0, links.ifindex, records.interface).astype(np.int32),
        outgoing=links.outgoing,
        offset=records.offset,
        caplen=records.caplen.astype(np.int32),
        wirelen=np.minimum(records.wirelen, 2**31 - 1).astype(np.int32),
        cut=cut,
        malformed=np.where(cut, 0, broken).astype(np.uint8),
        src_mac=links.src_mac,
        dst_mac=links.dst_mac,
        family=ip.family,
        l3_offset=ip.l3_offset,
        src_hi=ip.src_hi,
        src_lo=ip.src_lo,
        dst_hi=ip.dst_hi,
        dst_lo=ip.dst_lo,
        proto=ip.proto,
        ttl=ip.ttl,
        ip_id=ip.ip_id,
        fragment=ip.fragment,
        l4_offset=l4.l4_offset,
        l4_len=l4.l4_len,
        payload_offset=l4.payload_offset,
        payload_len=l4.payload_len,
        sport=l4.sport,
        dport=l4.dport,
        flags=l4.flags,
        seq=l4.seq,
        ack=l4.ack,
        window=l4.window,
        tcp_hlen=l4.tcp_hlen,
        mss=l4.options.mss,
        wscale=l4.options.wscale,
        sack_permitted=l4.options.sack_permitted,
        sack_count=l4.options.sack_count,
        sack=l4.options.sack,
        tsval=l4.options.tsval,
        tsecr=l4.options.tsecr,
    )

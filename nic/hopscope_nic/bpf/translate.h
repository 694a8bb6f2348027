/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Between the numbers that the client was promised and those that the server uses. */

#pragma once

/* An unfinished checksum (CHECKSUM_PARTIAL) covers the pseudo-header alone and stays; the helper knows. */
static __always_inline int replace(struct __sk_buff *skb, __u32 at, __u32 from, __u32 to)
{
	if (from == to)
		return 0;
	return bpf_l4_csum_replace(skb, SUM_AT, from, to, 4) || bpf_skb_store_bytes(skb, at, &to, 4, 0);
}

/* Fields of one segment, replaced one after the other; the checksum follows once, at the end. */
struct edit {
	__u64 difference;	/* of what the checksum covers, a sum of 32-bit words */
	int failed;
};

static __always_inline void put(struct __sk_buff *skb, struct edit *edit, __u32 at, __u32 from, __u32 to)
{
	if (from == to)
		return;
	edit->difference += (__u64)(__u32)~from + to;
	edit->failed |= bpf_skb_store_bytes(skb, at, &to, 4, 0);
}

/* The window stands behind offset and flags, so it is replaced with them. */
static __always_inline void scale(struct __sk_buff *skb, struct edit *edit, const struct segment *seg, __s32 shift)
{
	__u32 old = bpf_ntohs(seg->tcp.window), new;
	__u32 word = *(const __u32 *)((const __u8 *)&seg->tcp + 12);

	if (!shift)
		return;
	new = shift > 0 ? old << (shift & 15) : old >> (-shift & 15);
	if (new > 0xffff)
		new = 0xffff;
	put(skb, edit, FLAGS_AT, word, bpf_htonl((bpf_ntohl(word) & 0xffff0000) | new));
}

static __always_inline int finish(struct __sk_buff *skb, struct edit *edit)
{
	__u64 sum = (edit->difference & 0xffffffff) + (edit->difference >> 32);

	sum = (sum & 0xffffffff) + (sum >> 32);
	return edit->failed || (edit->difference && bpf_l4_csum_replace(skb, SUM_AT, 0, sum, 0));
}

/* Without the ACK flag neither ack nor TSecr means anything. */
static __always_inline int to_server(struct __sk_buff *skb, struct segment *seg)
{
	struct flow *flow = seg->flow;
	struct edit edit = {};
	__u32 edge, i, at;

	if (seg->tcp.ack) {
		put(skb, &edit, TCP_AT + offsetof(struct tcphdr, ack_seq), seg->tcp.ack_seq,
		    bpf_htonl(bpf_ntohl(seg->tcp.ack_seq) - flow->delta));
		if (seg->stamped && flow->ts_delta) {
			edge = *(__u32 *)(seg->options + 8);
			put(skb, &edit, OPTIONS_AT + 8, edge, bpf_htonl(bpf_ntohl(edge) - flow->ts_delta));
		}
		for (i = 0; i < 8; i++) {
			if (i >= seg->edges)
				break;
			at = OPTIONS_AT + seg->sack_at + 4 * i;
			if (bpf_skb_load_bytes(skb, at, &edge, 4))
				return -1;
			put(skb, &edit, at, edge, bpf_htonl(bpf_ntohl(edge) - flow->delta));
		}
	}
	scale(skb, &edit, seg, flow->to_server_shift);
	return finish(skb, &edit);
}

static __always_inline int to_client(struct __sk_buff *skb, struct segment *seg)
{
	struct flow *flow = seg->flow;
	struct edit edit = {};
	__u32 stamp;

	put(skb, &edit, TCP_AT + offsetof(struct tcphdr, seq), seg->tcp.seq,
	    bpf_htonl(bpf_ntohl(seg->tcp.seq) + flow->delta));
	if (seg->stamped && flow->ts_delta) {
		stamp = *(__u32 *)(seg->options + 4);
		put(skb, &edit, OPTIONS_AT + 4, stamp, bpf_htonl(bpf_ntohl(stamp) + flow->ts_delta));
	}
	scale(skb, &edit, seg, flow->to_client_shift);
	return finish(skb, &edit);
}

static __always_inline int is_at_or_after(__u32 left, __u32 right)
{
	return (__s32)(left - right) >= 0;
}

/* FIN, RST and what is acknowledged, before translation. */
static __always_inline void note_end(struct flow *flow, const struct segment *seg, int side)
{
	__u32 end, ack = bpf_ntohl(seg->tcp.ack_seq), other = ~side & 1, ends = 0;

	if (seg->tcp.fin && !(flow->ends & FIN_OF(side))) {
		end = bpf_ntohl(seg->tcp.seq) + seg->payload + 1;
		flow->fin_end[side & 1] = side == CLIENT ? end : end + flow->delta;
		ends = FIN_OF(side);
	}
	if (seg->tcp.ack && flow->ends & FIN_OF(other) && is_at_or_after(ack, flow->fin_end[other]))
		ends |= FIN_OF_ACKED(other);
	if (seg->tcp.rst || ((flow->ends | ends) & 15) == 15)
		ends |= OVER;
	if (ends & ~flow->ends)
		__sync_fetch_and_or(&flow->ends, ends);
}

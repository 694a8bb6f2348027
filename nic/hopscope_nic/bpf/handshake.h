/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The usual beginning: a SYN and a SYN-ACK as Linux sends them, and the client's bare ACK between them. */

#pragma once

#define OWN_TTL 64
#define SPOOFED_WINDOW 64240
#define SYN_OPTIONS 20
#define SYN_LEN (sizeof(struct iphdr) + sizeof(struct tcphdr) + SYN_OPTIONS)
#define ACK_LEN (sizeof(struct iphdr) + sizeof(struct tcphdr) + 12)

struct syn_frame {
	__u16 aligns;
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
	__be16 mss_head, mss;
	__be32 sack_and_timestamps;
	__be32 tsval, tsecr;
	__u8 nop, scale_head, scale_len, scale;
};

#define SYN_FRAME_LEN (ETH_HLEN + SYN_LEN)

static __always_inline int is_usual(struct __sk_buff *skb, const struct segment *seg, __u8 flags, struct syn_frame *syn)
{
	return !seg->odd && skb->len == SYN_FRAME_LEN && seg->ip.tot_len == bpf_htons(SYN_LEN) && seg->tcp.doff == 10 &&
	       flags_of(seg) == flags /* no ECN either */ && !bpf_skb_load_bytes(skb, 0, &syn->eth, SYN_FRAME_LEN) &&
	       syn->mss_head == bpf_htons(0x0204) && syn->sack_and_timestamps == bpf_htonl(0x0402080a) &&
	       syn->nop == 1 && syn->scale_head == 3 && syn->scale_len == 3 && syn->scale <= 14 &&
	       is_right(pseudo_sum(&syn->ip, SYN_LEN - sizeof(struct iphdr)),
			bpf_csum_diff(0, 0, (__be32 *)&syn->tcp, SYN_LEN - sizeof(struct iphdr), 0), syn->tcp.check);
}

/* Our own packet, out of the port that `frame` came in on. */
static __always_inline void turn_around(struct syn_frame *frame, __u16 length)
{
	__u8 mac[ETH_ALEN];
	__be32 address = frame->ip.saddr;
	__be16 port = frame->tcp.source;

	__builtin_memcpy(mac, frame->eth.h_dest, ETH_ALEN);
	__builtin_memcpy(frame->eth.h_dest, frame->eth.h_source, ETH_ALEN);
	__builtin_memcpy(frame->eth.h_source, mac, ETH_ALEN);
	frame->ip.saddr = frame->ip.daddr;
	frame->ip.daddr = address;
	frame->ip.tot_len = bpf_htons(length);
	frame->ip.frag_off = DONT_FRAGMENT;
	frame->ip.check = 0;
	frame->ip.check = ~fold(bpf_csum_diff(0, 0, (__be32 *)&frame->ip, sizeof(frame->ip), 0));
	frame->tcp.source = frame->tcp.dest;
	frame->tcp.dest = port;
}

/* Out of the port it came in on. The sum of what is swapped stays the same. */
static __always_inline int answer(struct __sk_buff *skb, struct syn_frame *syn, const struct segment *seg, __u32 isn)
{
	struct syn_frame back = *syn;

	back.ip.tos = 0;
	back.ip.id = 0;
	back.ip.ttl = OWN_TTL;
	turn_around(&back, SYN_LEN);
	back.tcp.seq = bpf_htonl(isn);
	back.tcp.ack_seq = bpf_htonl(bpf_ntohl(syn->tcp.seq) + 1);
	*(__be32 *)((__u8 *)&back.tcp + 12) = bpf_htonl(10U << 28 | (SYN_FLAG | ACK_FLAG) << 16 | SPOOFED_WINDOW);
	if (bpf_ntohs(syn->mss) > seg->told->mss)
		back.mss = bpf_htons(seg->told->mss);
	back.tsval = bpf_htonl(isn);
	back.tsecr = syn->tsval;
	if (bpf_skb_store_bytes(skb, 0, &back.eth, SYN_FRAME_LEN, 0) ||
	    bpf_l4_csum_replace(skb, SUM_AT, 0,
				bpf_csum_diff((__be32 *)&syn->tcp, SYN_LEN - sizeof(struct iphdr), (__be32 *)&back.tcp,
					      SYN_LEN - sizeof(struct iphdr), 0), 0))
		return -1;
	return bpf_clone_redirect(skb, skb->ifindex, 0);
}

/* A new flow, or one that takes the place of another of the kernel's. ServerNIC takes V out of the SYN. ClientNIC
 * answers it and makes it again what it was, with V where ServerNIC reads it: so nothing that the client says next can
 * overtake it. 0: user space's; below: it is lost. */
static __always_inline int greet(struct __sk_buff *skb, const struct segment *seg)
{
	const struct flow *old = seg->flow;
	struct flow flow = {};
	struct syn_frame syn;
	__be32 stamp;

	if (!seg->told->owns || (!seg->told->answers && !seg->tcp.ack_seq) || !is_usual(skb, seg, SYN_FLAG, &syn))
		return 0;
	flow.client_isn = bpf_ntohl(syn.tcp.seq);
	if (old && (old->state < GREETED || old->client_isn == flow.client_isn))
		return 0;
	flow.state = GREETED;
	flow.begun = bpf_ktime_get_ns();
	flow.isn = seg->told->answers ? spoofed_isn(seg, flow.begun) : bpf_ntohl(syn.tcp.ack_seq);
	flow.scale = syn.scale;
	flow.syn.tsval = syn.tsval;
	flow.syn.tsecr = syn.tsecr;
	flow.syn.mss = syn.mss;
	flow.syn.window = syn.tcp.window;
	flow.syn.id = syn.ip.id;
	flow.syn.ttl = syn.ip.ttl;
	flow.syn.tos = syn.ip.tos;
	bpf_map_delete_elem(&given, &seg->key); /* an older flow's */
	if (bpf_map_update_elem(&flows, &seg->key, &flow, BPF_ANY))
		return 0;
	if (!seg->told->answers)
		return replace(skb, TCP_AT + 8, syn.tcp.ack_seq, 0) ? -1 : 1;
	stamp = seg->told->passes ? bpf_htonl(flow.isn) : 0;
	answer(skb, &syn, seg, flow.isn); /* if it could not, the client asks again */
	return bpf_skb_store_bytes(skb, 0, &syn.eth, SYN_FRAME_LEN, 0) ||
	       replace(skb, TCP_AT + 8, syn.tcp.ack_seq, stamp) ? -1 : 1;
}

/* The client's bare ACK of an answer that the server has not given yet. It is kept by what is in it. False: not such an
 * ACK, or the server has answered in the meantime. */
static __always_inline int keep(struct __sk_buff *skb, struct segment *seg, struct count *count)
{
	struct flow *flow = seg->flow;

	if (flags_of(seg) != ACK_FLAG || seg->payload || seg->ip.tot_len != bpf_htons(ACK_LEN) ||
	    seg->ip.frag_off != DONT_FRAGMENT || bpf_ntohl(seg->tcp.seq) != flow->client_isn + 1 ||
	    bpf_ntohl(seg->tcp.ack_seq) != flow->isn + 1 || !read_options(skb, seg) || !seg->stamped || !is_sound(seg))
		return 0;
	if (flow->kept) {
		count->repeated++;
		return is_waiting(flow);
	}
	flow->ack.tsval = *(__be32 *)(seg->options + 4);
	flow->ack.tsecr = *(__be32 *)(seg->options + 8);
	flow->ack.window = seg->tcp.window;
	flow->ack.id = seg->ip.id;
	flow->ack.ttl = seg->ip.ttl;
	flow->ack.tos = seg->ip.tos;
	flow->seen[CLIENT] = bpf_ktime_get_coarse_ns();
	flow->kept = 1;
	if (!moved(flow, GREETED, AWAITED))
		return 0;
	count->kept++;
	return 1;
}

/* The SYN-ACK becomes the ACK that was kept, translated, and goes back. */
static __always_inline int release(struct __sk_buff *skb, struct syn_frame *synack, const struct flow *flow)
{
	__be32 from[8], to[8] = {};

	__builtin_memcpy(from, &synack->tcp.seq, 12);
	__builtin_memcpy(from + 3, &synack->mss_head, SYN_OPTIONS);
	to[0] = bpf_htonl(flow->client_isn + 1);
	to[1] = bpf_htonl(flow->isn + 1 - flow->delta);
	to[2] = bpf_htonl(8U << 28 | ACK_FLAG << 16 | bpf_ntohs(flow->ack.window));
	to[3] = NOP_NOP_TIMESTAMPS;
	to[4] = flow->ack.tsval;
	to[5] = bpf_htonl(bpf_ntohl(flow->ack.tsecr) - flow->ts_delta);
	synack->ip.tos = flow->ack.tos;
	synack->ip.id = flow->ack.id;
	synack->ip.ttl = flow->ack.ttl - 1;
	turn_around(synack, ACK_LEN);
	if (bpf_l4_csum_replace(skb, SUM_AT, bpf_htons(SYN_LEN - sizeof(struct iphdr)),
				bpf_htons(ACK_LEN - sizeof(struct iphdr)), BPF_F_PSEUDO_HDR | 2) ||
	    bpf_l4_csum_replace(skb, SUM_AT, 0, bpf_csum_diff(from, sizeof(from), to, sizeof(to), 0), 0) ||
	    bpf_skb_store_bytes(skb, 0, &synack->eth, TCP_AT + 4, 0) || bpf_skb_store_bytes(skb, TCP_AT + 4, to, 12, 0) ||
	    bpf_skb_store_bytes(skb, OPTIONS_AT, to + 3, 12, 0) || bpf_skb_change_tail(skb, ETH_HLEN + ACK_LEN, 0))
		return TC_ACT_SHOT; /* the server asks again */
	return bpf_redirect(skb->ifindex, 0);
}

/* The server's first answer to a SYN that was dealt with here: what `Translation.learn` learns, where all that was
 * promised has been agreed to. Below 0: not such an answer; otherwise what becomes of it. */
static __always_inline int learn(struct __sk_buff *skb, const struct segment *seg, struct count *count)
{
	struct flow *flow = seg->flow;
	struct syn_frame synack;

	if (!flow || !is_waiting(flow) || !is_usual(skb, seg, SYN_FLAG | ACK_FLAG, &synack) ||
	    bpf_ntohl(synack.tcp.ack_seq) != flow->client_isn + 1)
		return -1;
	flow->delta = flow->isn - bpf_ntohl(synack.tcp.seq);
	flow->ts_delta = flow->isn - bpf_ntohl(synack.tsval);
	flow->to_client_shift = (__s32)synack.scale - flow->scale;
	if (moved(flow, GREETED, OWN)) {
		count->learnt++;
		return TC_ACT_SHOT;
	}
	if (!moved(flow, AWAITED, OWN))
		return -1;
	count->learnt++;
	count->released++;
	return release(skb, &synack, flow);
}

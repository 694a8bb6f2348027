// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The kernel's share of a rewriter: usual flows from their SYN to their end, and the middle of all others.
//
// A SYN that is just as Linux sends it is dealt with here: answered on ClientNIC and forwarded in the same breath; on
// ServerNIC relieved of its stamp and forwarded. A box that translates learns from the server's answer, if that is
// usual as well, keeps the client's bare ACK until then, and translates. Route, next hop, TTL and MTU are the business of
// the kernel's own router. User space (hopscope_nic.core) does not hear of such a flow.
//
// What is not usual is given to user space, and nobody else sees it: data that comes before the server has answered and
// has to be kept, SYNs that come again, refusals, options in another layout, IP options, first fragments, segments larger
// than the next link. With its first such segment a flow is user space's, which decides alone. Its ordinary segments are
// carried here still, once user space has said so; order is kept: while user space has not dealt with the last
// segment of a side that it was given, the next ones of that side are given to it as well.

#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flows.h"
#include "segment.h"
#include "isn.h"
#include "translate.h"
#include "handover.h"
#include "handshake.h"
#include "sweep.h"

/* A box that translates nothing: what is no SYN crosses, and of a flow it only matters that both ends are heard. */
static __always_inline int pass(struct __sk_buff *skb, int side, struct segment *seg, struct count *count)
{
	struct flow *flow = seg->flow;
	__u32 state;

	if (seg->tcp.syn) {
		int done = side == CLIENT && !seg->tcp.ack ? greet(skb, seg) : 0;

		if (!done)
			return give(seg, side);
		count->greeted++;
		return done < 0 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	}
	state = flow ? flow->state : LEFT;
	if (state == BEGUN) {
		count->watched[side & 1]++;
		bpf_clone_redirect(skb, seg->told->tap[side & 1], 0);
		return TC_ACT_UNSPEC;
	}
	if (flow && state == GREETED && !(flow->ends & OVER)) {
		flow->seen[side & 1] = bpf_ktime_get_coarse_ns();
		if (seg->tcp.rst || flow->seen[~side & 1])
			flow->ends = OVER;
	}
	count->carried[side & 1]++;
	return TC_ACT_UNSPEC;
}

/* FIN and RST are believed only with a good checksum, as far as that costs nothing. */
static __always_inline int is_ordinary(struct __sk_buff *skb, struct segment *seg, __u32 state)
{
	if (!read_options(skb, seg))
		return 0;
	if (!seg->tcp.fin && !seg->tcp.rst)
		return seg->tcp.ack;
	return state == OWN && (seg->tcp.ack || !seg->tcp.fin) && (seg->payload ? !seg->tcp.rst : is_sound(seg));
}

static __always_inline int translate(struct __sk_buff *skb, int side, struct segment *seg, struct count *count)
{
	struct flow *flow = seg->flow;
	__u32 state;
	int done;

	if (seg->tcp.syn) {
		if (side == CLIENT && !seg->tcp.ack) {
			done = greet(skb, seg);
			if (!done)
				return give(seg, side);
			count->greeted++;
			return done < 0 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
		}
		done = side == SERVER ? learn(skb, seg, count) : -1;
		return done < 0 ? give(seg, side) : done;
	}
	if (!flow || seg->odd)
		return give(seg, side);
	if (side == CLIENT && is_waiting(flow) && keep(skb, seg, count))
		return TC_ACT_SHOT;
	state = *(volatile __u32 *)&flow->state;
	if ((state != OWN && state != OPEN && state != HURRIED) || !is_ordinary(skb, seg, state))
		return give(seg, side);
	if (state == OPEN && !is_caught_up(seg, side))
		return give(seg, side);
	flow->seen[side & 1] = bpf_ktime_get_coarse_ns();
	if (state == OWN && (flow->ends || seg->tcp.fin || seg->tcp.rst))
		note_end(flow, seg, side);
	if (side == CLIENT ? to_server(skb, seg) : to_client(skb, seg))
		return TC_ACT_SHOT; /* half done: a retransmission is better */
	count->carried[side & 1]++;
	return TC_ACT_UNSPEC;
}

static __always_inline int cross(struct __sk_buff *skb, int side)
{
	struct segment seg = {};
	struct count *count;
	__u32 zero = 0;

	if (!read(skb, side, &seg))
		return TC_ACT_UNSPEC;
	count = bpf_map_lookup_elem(&counts, &zero);
	if (!count || !seg.told)
		return TC_ACT_SHOT; /* never */
	return seg.told->passes ? pass(skb, side, &seg, count) : translate(skb, side, &seg, count);
}

SEC("tc")
int cross_client(struct __sk_buff *skb)
{
	return cross(skb, CLIENT);
}

SEC("tc")
int cross_server(struct __sk_buff *skb)
{
	return cross(skb, SERVER);
}

/* Attached nowhere: user space runs it, with any frame. */
SEC("tc")
int sweep(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct sweep *found = bpf_map_lookup_elem(&sweeps, &zero);

	if (!found)
		return 0;
	found->now = bpf_ktime_get_ns();
	found->open = found->over = found->expired = 0;
	bpf_for_each_map_elem(&flows, look_at, 0, 0);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";

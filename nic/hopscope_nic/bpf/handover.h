/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* To user space, and back.
 *
 * User space has its frames from a TAP for each side. What it finds in `flows` of a flow that it has got a frame of is
 * no longer changed here, but by user space; it takes the flow over from what it finds.
 */

#pragma once

static __always_inline int is_same(const struct mark *left, const struct mark *right)
{
	return left->seq == right->seq && left->ack == right->ack && left->id == right->id && left->len == right->len;
}

/* Whether user space has dealt with all that it was given of this side. */
static __always_inline int is_caught_up(const struct segment *seg, int side)
{
	const struct given *had = bpf_map_lookup_elem(&given, &seg->key);

	return !had || !had->from[side & 1].len || is_same(&had->from[side & 1], &seg->flow->dealt[side & 1]);
}

static __always_inline void note_given(const struct segment *seg, int side)
{
	struct given *had = bpf_map_lookup_elem(&given, &seg->key), none = {};

	if (!had) {
		if (!seg->flow && !seg->tcp.syn)
			return; /* a stranger, whom nobody will take over */
		bpf_map_update_elem(&given, &seg->key, &none, BPF_NOEXIST);
		had = bpf_map_lookup_elem(&given, &seg->key);
		if (!had)
			return;
	}
	had->from[side & 1].len = seg->ip.tot_len;
	had->from[side & 1].id = seg->ip.id;
	had->from[side & 1].seq = seg->tcp.seq;
	had->from[side & 1].ack = seg->tcp.ack_seq;
}

/* User space has the flow from here on. */
static __always_inline void leave(struct flow *flow)
{
	if (!moved(flow, GREETED, BEGUN) && !moved(flow, AWAITED, BEGUN))
		moved(flow, OWN, OPEN);
}

/* User space gets this frame, and nobody else. */
static __always_inline int give(const struct segment *seg, int side)
{
	if (seg->flow && seg->flow->state >= GREETED)
		leave(seg->flow);
	if (seg->ip.ihl == 5 && !seg->told->passes)
		note_given(seg, side);
	return bpf_redirect(seg->told->tap[side & 1], 0);
}

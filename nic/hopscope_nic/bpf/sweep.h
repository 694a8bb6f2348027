/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel's flows, looked through when user space asks for it: what is over goes, and what goes wrong is reported. */

#pragma once

struct sweep {
	/* ns: how long after its last segment a flow is kept that is over, not heard from one end, ... */
	__u64 linger, waiting, ending, half_closed, idle;
	__u64 patience;		/* ns until a SYN that was answered here is user space's to send again */
	__u64 now;
	/* what was found: the kernel's flows that go on, that are over, that have gone without being over */
	__u64 open, over, expired;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweep);
} sweeps SEC(".maps");

/* Flows that user space has to take over. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, struct key);
} calls SEC(".maps");

static __always_inline __u64 patience_with(const struct sweep *sweep, const struct flow *flow)
{
	__u32 both = FIN_OF(CLIENT) | FIN_OF(SERVER);

	if (flow->ends & OVER)
		return sweep->linger;
	if (flow->state != OWN || !flow->seen[CLIENT])
		return sweep->waiting;
	if ((flow->ends & both) == both)
		return sweep->ending;
	return flow->ends ? sweep->half_closed : sweep->idle;
}

static long look_at(void *map, struct key *key, struct flow *flow, void *nothing)
{
	__u32 zero = 0;
	struct sweep *sweep = bpf_map_lookup_elem(&sweeps, &zero);
	const struct config *told = bpf_map_lookup_elem(&config, &zero);
	__u64 last = flow->begun;

	if (!sweep || !told)
		return 1;
	if (flow->state < GREETED) {
		if (!flow->told) {
			sweep->open++;
			if (flow->begun + sweep->patience < sweep->now && !bpf_map_push_elem(&calls, key, 0))
				flow->told = 1;
		}
		return 0;
	}
	if (last < flow->seen[CLIENT])
		last = flow->seen[CLIENT];
	if (last < flow->seen[SERVER])
		last = flow->seen[SERVER];
	if (last + patience_with(sweep, flow) < sweep->now) {
		sweep->expired += !(flow->ends & OVER);
		bpf_map_delete_elem(&flows, key);
		return 0;
	}
	if (flow->ends & OVER)
		sweep->over++;
	else
		sweep->open++;
	if (told->answers && !(flow->ends & OVER) && flow->state != OWN && flow->seen[CLIENT] &&
	    flow->begun + sweep->patience < sweep->now && !bpf_map_push_elem(&calls, key, 0))
		leave(flow);
	return 0;
}

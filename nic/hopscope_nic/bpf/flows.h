/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is known of flows, and what user space and the programs tell each other. */

#pragma once

#define CLIENT 0 /* side a frame came in on */
#define SERVER 1

#define RANGES 16
#define ADDRESSES 32

enum state {
	/* User space's, which has got a segment of it. */
	OPEN,	/* ordinary segments are carried, unless user space still has an earlier one */
	BEGUN,	/* user space wants to see all of it; a box that passes carries it besides */
	LEFT,	/* user space knows it, and does the rest; a box that passes carries it */
	HURRIED, /* as OPEN, whatever user space still has: it does not catch up by itself */
	/* The kernel's, of which user space has not heard. They change by compare-and-swap alone. */
	GREETED, /* the SYN is on its way, on ClientNIC answered; the server has not been heard */
	AWAITED, /* and the client's ACK is kept until it is */
	OWN,	/* open: its segments are carried until it is over */
};

/* What user space says before anything is attached. */
struct config {
	__u32 passes;		/* a box that translates nothing: what is no SYN crosses, known flow or not */
	__u32 answers;		/* a ClientNIC */
	__u32 owns;		/* usual flows are the kernel's */
	__u32 mss;		/* promised at most */
	__u64 secret[2];	/* of the ISNs */
	__u32 mtu[2];		/* of the link that a frame leaves on, by the side it came in on */
	__u32 tap[2];		/* where user space has its frames from, by the side they came in on */
	__u32 ranges;
	__u32 addresses;
	struct {
		__u16 first, last;	/* server ports, host byte order */
	} range[RANGES];
	__u32 address[ADDRESSES];	/* of the box itself, network byte order */
};

/* As a segment from the client has it, network byte order. */
struct key {
	__u32 client, server;
	__u16 client_port, server_port;
};

/* What tells the segments of one side apart, network byte order. */
struct mark {
	__be16 len, id;		/* of the IPv4 header */
	__be32 seq, ack;
};

/* What a usual SYN, or a bare ACK, has beside what the flow knows; as it came in, network byte order. */
struct remembered {
	__be32 tsval, tsecr;
	__be16 mss, window, id;
	__u8 ttl, tos;
};

struct flow {
	__u32 state;
	__u32 delta;		/* D: what is added to the server's sequence numbers */
	__u32 ts_delta;		/* T: the same of its time stamps; 0 for none */
	__s32 to_client_shift;	/* of the window field, bits to the left */
	__s32 to_server_shift;
	__u32 ends;		/* any FIN, by the bits below: an open flow has none */
	__u32 fin_end[2];	/* numbers after the FINs of client and server, both as the client has them */
	__u64 seen[2];		/* ns, when the last segments were carried; 0 for none */
	__u64 begun;		/* ns, CLOCK_MONOTONIC */
	__u32 isn;		/* V, where the SYN was dealt with here; 0 otherwise */
	__u32 client_isn;
	__u16 scale;		/* that the client was promised */
	__u8 kept;		/* `ack` is there */
	__u8 told;		/* user space knows of it */
	struct remembered syn, ack;
	struct mark dealt[2];	/* the last segments that user space has dealt with, by the side they came in on */
};

#define FIN_OF(side) (1U << (side))
#define FIN_OF_ACKED(side) (4U << (side))
#define OVER 16U /* both FINs are acknowledged, or an RST came; on a box that passes: both ends have been heard */

struct count {
	__u64 carried[2];	/* by the side they came in on */
	__u64 watched[2];
	__u64 greeted;		/* SYNs */
	__u64 learnt;		/* SYN-ACKs */
	__u64 kept;		/* ACKs of clients, kept until the server had answered */
	__u64 repeated;		/* the same once more */
	__u64 released;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, struct flow);
} flows SEC(".maps");

/* The last segments that user space was given. Kept apart from `flows`, which user space writes. */
struct given {
	struct mark from[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, struct given);
} given SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

/* The state changes from one to another, unless somebody was faster. */
static __always_inline int moved(struct flow *flow, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&flow->state, from, to) == from;
}

static __always_inline int is_waiting(const struct flow *flow)
{
	__u32 state = *(volatile const __u32 *)&flow->state;

	return state == GREETED || state == AWAITED;
}

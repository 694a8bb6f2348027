// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
//
// The kernel's share of a rewriter: the middle of flows that user space has opened.
//
// User space (hopscope_nic.core) sees every segment that begins or ends a flow and everything out of the ordinary, and
// decides alone. A flow that is open is put into `flows`; its ordinary segments are then translated here and forwarded
// by the kernel's own router: route, next hop, TTL and MTU are its business. Two programs share one decision:
//
//   filter_*   socket filter of the packet socket (ETH_P_ALL) on a port: keeps from user space what the kernel carries
//   cross_*    tcx ingress of the same port: translates and lets pass what it carries, drops what user space has got
//
// Such a socket sees a frame before tcx does, so nothing falls between the two.
//
// Order is kept: while user space has not dealt with the last segment of a side that it was given, the next ones of that
// side are given to it as well.
//
// Ordinary is: IPv4 without options, whole, TTL above 1, not larger than the next link, ACK without SYN, FIN and RST,
// no TCP options but time stamps and SACK as Linux lays them out.
//
// A new SYN that is just as Linux sends it is dealt with here as well: answered on ClientNIC and forwarded in the same
// breath, so that nothing the client says next can overtake it; on ServerNIC relieved of its stamp and forwarded. A box
// that translates learns from the first SYN-ACK, if it is just as Linux sends it. User space gets copies, finds the flow
// in `flows`, and keeps its books. Any other SYN and SYN-ACK, and any that comes again, is user space's.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define CLIENT 0 /* side a frame came in on */
#define SERVER 1

#define RANGES 16
#define ADDRESSES 32
#define IP_AT ETH_HLEN
#define TCP_AT (ETH_HLEN + sizeof(struct iphdr))
#define OPTIONS_AT (TCP_AT + sizeof(struct tcphdr))
#define SUM_AT (TCP_AT + offsetof(struct tcphdr, check))
#define OPTIONS_MAX 40

#define NOP_NOP_TIMESTAMPS bpf_htonl(0x0101080a)
#define NOP_NOP_SACK bpf_htons(0x0101)
#define SACK 5

enum verdict {
	NOT_OURS,	/* the kernel's, as if nobody were here */
	USER,		/* user space has it; the kernel does not */
	CARRIED,	/* the kernel's, translated; user space does not see it */
	WATCHED,	/* the kernel's as it is; user space gets a copy */
};

enum state {
	OPEN,	/* ordinary segments are carried, unless user space still has an earlier one */
	BEGUN,	/* user space wants to see all of it; a box that passes carries it besides */
	LEFT,	/* user space knows it, and does the rest; a box that passes carries it */
	HURRIED, /* as OPEN, whatever user space still has: it does not catch up by itself */
};

/* What user space says before anything is attached. */
struct config {
	__u32 passes;		/* a box that translates nothing: what is no SYN crosses, known flow or not */
	__u32 answers;		/* a ClientNIC */
	__u32 mss;		/* promised at most */
	__u64 secret[2];	/* of the ISNs */
	__u32 mtu[2];		/* of the link that a frame leaves on, by the side it came in on */
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

struct flow {
	__u32 state;
	__u32 delta;		/* D: what is added to the server's sequence numbers */
	__u32 ts_delta;		/* T: the same of its time stamps; 0 for none */
	__s32 to_client_shift;	/* of the window field, bits to the left */
	__s32 to_server_shift;
	__u32 isn;		/* V, where the SYN was dealt with here; 0 otherwise */
	__u32 client_isn;
	__u16 greeted;
	__u16 scale;		/* that the client was promised */
	struct mark dealt[2];	/* the last segments that user space has dealt with, by the side they came in on */
	__u64 begun;		/* ns, CLOCK_MONOTONIC */
	__u64 seen[2];		/* the last segments that were carried; 0 for none */
};

struct count {
	__u64 carried[2];	/* by the side they came in on */
	__u64 watched[2];
	__u64 greeted;
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

/* What the filter has said of the frame that tcx sees next on this processor: user space may change `flows` in between,
 * and one of the two has to have it, not both. */
struct said {
	struct key key;
	__be32 seq, ack;
	__u32 len;
	__u32 verdict;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct said);
} last SEC(".maps");

#define OWN_TTL 64
#define SPOOFED_WINDOW 64240
#define SYN_OPTIONS 20
#define SYN_LEN (sizeof(struct iphdr) + sizeof(struct tcphdr) + SYN_OPTIONS)
#define FLAGS_AT (TCP_AT + 12) /* data offset, flags, window */
#define SYN_ALONE 0x02
#define SYN_AND_ACK 0x12

/* A SYN or SYN-ACK as Linux sends it. */
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

struct segment {
	struct iphdr ip;
	struct tcphdr tcp;
	__u8 options[OPTIONS_MAX];	/* zero behind the end */
	__u32 options_len;
	__u32 sack_at;			/* of the SACK option's first edge within the options, 0 for none */
	__u32 edges;
	__u32 stamped;
	__u32 ordinary;			/* of an open flow */
	struct flow *flow;
	const struct config *told;
	struct key key;
};

static __always_inline int is_ours(const struct config *told, const struct segment *seg, __u16 port)
{
	__u32 i;

	for (i = 0; i < ADDRESSES; i++) {
		if (i >= told->addresses)
			break;
		if (told->address[i] == seg->ip.daddr)
			return 0;
	}
	for (i = 0; i < RANGES; i++) {
		if (i >= told->ranges)
			break;
		if (port >= told->range[i].first && port <= told->range[i].last)
			return 1;
	}
	return 0;
}

/* Time stamps, SACK, both or neither, as Linux lays them out; anything else is for user space. */
static __always_inline int read_options(struct __sk_buff *skb, struct segment *seg)
{
	__u32 len = seg->tcp.doff * 4 - sizeof(struct tcphdr);
	__u32 at = 0, size;

	seg->options_len = len;
	if (len == 0)
		return 1;
	len &= 63; /* what the verifier is told */
	if (len < 12 || len > OPTIONS_MAX || bpf_skb_load_bytes(skb, OPTIONS_AT, seg->options, len))
		return 0;
	if (*(__u32 *)seg->options == NOP_NOP_TIMESTAMPS) {
		seg->stamped = 1;
		if (len == 12)
			return 1;
		if (*(__u16 *)(seg->options + 12) != NOP_NOP_SACK || seg->options[14] != SACK)
			return 0;
		size = seg->options[15];
		at = 16;
	} else {
		if (*(__u16 *)seg->options != NOP_NOP_SACK || seg->options[2] != SACK)
			return 0;
		size = seg->options[3];
		at = 4;
	}
	if (size != len - at + 2 || (size - 2) % 8)
		return 0;
	seg->sack_at = at;
	seg->edges = (size - 2) / 4;
	return 1;
}

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

/* User space gets this one. */
static __always_inline void give(const struct segment *seg, int side)
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

static __always_inline enum verdict decide(struct __sk_buff *skb, int side, struct segment *seg)
{
	const struct config *told;
	struct key *key = &seg->key;
	__u32 zero = 0, total;
	__u16 ports[2];

	if (skb->pkt_type != 0 || skb->vlan_present || skb->protocol != bpf_htons(ETH_P_IP))
		return NOT_OURS;
	told = bpf_map_lookup_elem(&config, &zero);
	if (!told || bpf_skb_load_bytes(skb, IP_AT, &seg->ip, sizeof(seg->ip)))
		return NOT_OURS;
	if (seg->ip.version != 4 || seg->ip.ihl < 5 || seg->ip.protocol != IPPROTO_TCP ||
	    seg->ip.frag_off & bpf_htons(0x1fff))
		return NOT_OURS;
	if (bpf_skb_load_bytes(skb, IP_AT + seg->ip.ihl * 4, ports, sizeof(ports)))
		return NOT_OURS;
	if (!is_ours(told, seg, bpf_ntohs(side == CLIENT ? ports[1] : ports[0])))
		return NOT_OURS;
	if (seg->ip.ihl != 5 || seg->ip.frag_off & bpf_htons(0x3fff) || seg->ip.ttl < 2)
		return USER;
	if (bpf_skb_load_bytes(skb, TCP_AT, &seg->tcp, sizeof(seg->tcp)) || seg->tcp.doff < 5)
		return USER;
	total = bpf_ntohs(seg->ip.tot_len);
	if (!skb->gso_size && (total > told->mtu[side & 1] || total < sizeof(struct iphdr) + seg->tcp.doff * 4 ||
			       total + ETH_HLEN > skb->len))
		return USER;
	key->client = side == CLIENT ? seg->ip.saddr : seg->ip.daddr;
	key->server = side == CLIENT ? seg->ip.daddr : seg->ip.saddr;
	key->client_port = side == CLIENT ? ports[0] : ports[1];
	key->server_port = side == CLIENT ? ports[1] : ports[0];
	seg->flow = bpf_map_lookup_elem(&flows, key);
	seg->told = told;
	if (seg->tcp.syn)
		return USER;
	if (told->passes)
		return seg->flow && seg->flow->state == BEGUN ? WATCHED : CARRIED;
	if (!seg->flow || (seg->flow->state != OPEN && seg->flow->state != HURRIED) || seg->tcp.fin || seg->tcp.rst ||
	    !seg->tcp.ack || !read_options(skb, seg))
		return USER;
	seg->ordinary = 1;
	return seg->flow->state == HURRIED || is_caught_up(seg, side) ? CARRIED : USER;
}

#define ROTATE(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND                                                                                                       \
	do {                                                                                                           \
		v0 += v1, v1 = ROTATE(v1, 13) ^ v0, v0 = ROTATE(v0, 32);                                               \
		v2 += v3, v3 = ROTATE(v3, 16) ^ v2;                                                                    \
		v0 += v3, v3 = ROTATE(v3, 21) ^ v0;                                                                    \
		v2 += v1, v1 = ROTATE(v1, 17) ^ v2, v2 = ROTATE(v2, 32);                                               \
	} while (0)

/* SipHash-2-4 of the 12 octets of a key. */
static __always_inline __u64 siphash(const __u64 *secret, const struct key *key)
{
	__u64 v0 = 0x736f6d6570736575ULL ^ secret[0], v1 = 0x646f72616e646f6dULL ^ secret[1];
	__u64 v2 = 0x6c7967656e657261ULL ^ secret[0], v3 = 0x7465646279746573ULL ^ secret[1];
	__u64 first = (__u64)key->server << 32 | key->client;
	__u64 last = 12ULL << 56 | (__u64)key->server_port << 16 | key->client_port;

	v3 ^= first;
	SIPROUND;
	SIPROUND;
	v0 ^= first;
	v3 ^= last;
	SIPROUND;
	SIPROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

/* RFC 6528: a keyed hash of the 4-tuple plus a clock that ticks every 4 us; never 0, which means "no stamp". */
static __always_inline __u32 spoofed_isn(const struct segment *seg)
{
	__u32 isn = siphash(seg->told->secret, &seg->key) + bpf_ktime_get_ns() / 4000;

	return isn ? isn : 1;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Complete and right, or unfinished (CHECKSUM_PARTIAL: the pseudo header's alone). */
static __always_inline int is_sound(const struct syn_frame *syn)
{
	const __u16 *word = (const __u16 *)&syn->ip.saddr;
	__u32 sum = bpf_htons(IPPROTO_TCP) + bpf_htons(SYN_LEN - sizeof(struct iphdr)), i;

#pragma unroll
	for (i = 0; i < 4; i++)
		sum += word[i];
	if (syn->tcp.check == fold(sum))
		return 1;
	word = (const __u16 *)&syn->tcp;
#pragma unroll
	for (i = 0; i < (SYN_LEN - sizeof(struct iphdr)) / 2; i++)
		sum += word[i];
	return fold(sum) == 0xffff;
}

static __always_inline int is_usual(struct __sk_buff *skb, const struct segment *seg, __u8 flags, struct syn_frame *syn)
{
	return skb->len == SYN_FRAME_LEN && seg->ip.tot_len == bpf_htons(SYN_LEN) &&
	       (seg->tcp.doff == 10) && !bpf_skb_load_bytes(skb, 0, &syn->eth, SYN_FRAME_LEN) &&
	       ((__u8 *)&syn->tcp)[13] == flags /* no ECN either */ && syn->mss_head == bpf_htons(0x0204) &&
	       syn->sack_and_timestamps == bpf_htonl(0x0402080a) && syn->nop == 1 && syn->scale_head == 3 &&
	       syn->scale_len == 3 && syn->scale <= 14 && is_sound(syn);
}

/* Before tcx sees it: a flow that is not there yet begins here. */
static __always_inline int begin(struct __sk_buff *skb, const struct segment *seg)
{
	struct syn_frame syn;
	struct flow flow = { .state = BEGUN };

	if (seg->flow || (!seg->told->answers && !seg->tcp.ack_seq) || !is_usual(skb, seg, SYN_ALONE, &syn))
		return 0;
	flow.isn = seg->told->answers ? spoofed_isn(seg) : bpf_ntohl(syn.tcp.ack_seq);
	flow.client_isn = bpf_ntohl(syn.tcp.seq);
	flow.scale = syn.scale;
	flow.begun = bpf_ktime_get_ns();
	bpf_map_delete_elem(&given, &seg->key); /* an older flow's */
	return !bpf_map_update_elem(&flows, &seg->key, &flow, BPF_NOEXIST);
}

/* The server's first answer to a SYN that was dealt with here. */
static __always_inline int teaches(struct __sk_buff *skb, const struct segment *seg, struct syn_frame *synack)
{
	const struct flow *flow = seg->flow;

	return flow && flow->state == BEGUN && flow->greeted && !seg->told->passes &&
	       is_usual(skb, seg, SYN_AND_ACK, synack) && bpf_ntohl(synack->tcp.ack_seq) == flow->client_isn + 1;
}

static __always_inline void say(struct __sk_buff *skb, const struct segment *seg, enum verdict verdict)
{
	__u32 zero = 0;
	struct said *said = bpf_map_lookup_elem(&last, &zero);

	if (!said)
		return;
	said->key = seg->key;
	said->seq = seg->tcp.seq;
	said->ack = seg->tcp.ack_seq;
	said->len = skb->len;
	said->verdict = verdict;
}

/* The filter's word about this frame, once; `own` where it has not seen it (BPF_PROG_TEST_RUN). */
static __always_inline enum verdict agreed(struct __sk_buff *skb, const struct segment *seg, enum verdict own)
{
	__u32 zero = 0, verdict;
	struct said *said = bpf_map_lookup_elem(&last, &zero);

	if (!said || said->verdict == NOT_OURS || said->seq != seg->tcp.seq || said->ack != seg->tcp.ack_seq ||
	    said->len != skb->len || said->key.client != seg->key.client || said->key.server != seg->key.server ||
	    said->key.client_port != seg->key.client_port || said->key.server_port != seg->key.server_port)
		return own;
	verdict = said->verdict;
	said->verdict = NOT_OURS;
	if (verdict == CARRIED && !seg->told->passes && !seg->ordinary)
		return USER; /* the flow has been taken back: lost, and sent again */
	return verdict;
}

static __always_inline int keep_from_user(struct __sk_buff *skb, int side)
{
	struct segment seg = {};
	struct syn_frame frame;
	enum verdict verdict = decide(skb, side, &seg);
	int copied = 0; /* tcx deals with it, and user space need not before others may go on */

	if (verdict != NOT_OURS && seg.told) {
		say(skb, &seg, verdict);
		if (verdict == USER && seg.tcp.syn)
			copied = side == CLIENT ? !seg.tcp.ack && begin(skb, &seg) : teaches(skb, &seg, &frame);
		if (verdict == USER && !copied && !seg.told->passes)
			give(&seg, side);
	}
	return verdict == USER || verdict == WATCHED ? 0x40000 : 0;
}

/* An unfinished checksum (CHECKSUM_PARTIAL) covers the pseudo-header alone and stays; the helper knows. */
static __always_inline int replace(struct __sk_buff *skb, __u32 at, __u32 from, __u32 to)
{
	if (from == to)
		return 0;
	return bpf_l4_csum_replace(skb, SUM_AT, from, to, 4) || bpf_skb_store_bytes(skb, at, &to, 4, 0);
}

static __always_inline int scale(struct __sk_buff *skb, const struct segment *seg, __s32 shift)
{
	__u32 old = bpf_ntohs(seg->tcp.window), new;
	__be16 from = seg->tcp.window, to;

	if (!shift)
		return 0;
	new = shift > 0 ? old << (shift & 15) : old >> (-shift & 15);
	if (new > 0xffff)
		new = 0xffff;
	if (new == old)
		return 0;
	to = bpf_htons(new);
	return bpf_l4_csum_replace(skb, SUM_AT, from, to, 2) ||
	       bpf_skb_store_bytes(skb, TCP_AT + offsetof(struct tcphdr, window), &to, 2, 0);
}

static __always_inline int to_server(struct __sk_buff *skb, struct segment *seg)
{
	struct flow *flow = seg->flow;
	__u32 edge, i, at;

	if (replace(skb, TCP_AT + offsetof(struct tcphdr, ack_seq), seg->tcp.ack_seq,
		    bpf_htonl(bpf_ntohl(seg->tcp.ack_seq) - flow->delta)))
		return -1;
	if (seg->stamped && flow->ts_delta) {
		edge = *(__u32 *)(seg->options + 8);
		if (replace(skb, OPTIONS_AT + 8, edge, bpf_htonl(bpf_ntohl(edge) - flow->ts_delta)))
			return -1;
	}
	for (i = 0; i < 8; i++) {
		if (i >= seg->edges)
			break;
		at = OPTIONS_AT + seg->sack_at + 4 * i;
		if (bpf_skb_load_bytes(skb, at, &edge, 4) ||
		    replace(skb, at, edge, bpf_htonl(bpf_ntohl(edge) - flow->delta)))
			return -1;
	}
	return scale(skb, seg, flow->to_server_shift);
}

static __always_inline int to_client(struct __sk_buff *skb, struct segment *seg)
{
	struct flow *flow = seg->flow;
	__u32 stamp;

	if (replace(skb, TCP_AT + offsetof(struct tcphdr, seq), seg->tcp.seq,
		    bpf_htonl(bpf_ntohl(seg->tcp.seq) + flow->delta)))
		return -1;
	if (seg->stamped && flow->ts_delta) {
		stamp = *(__u32 *)(seg->options + 4);
		if (replace(skb, OPTIONS_AT + 4, stamp, bpf_htonl(bpf_ntohl(stamp) + flow->ts_delta)))
			return -1;
	}
	return scale(skb, seg, flow->to_client_shift);
}

/* Out of the port it came in on. The sum of what is swapped stays the same. */
static __always_inline int answer(struct __sk_buff *skb, const struct syn_frame *syn, const struct segment *seg, __u32 isn)
{
	struct syn_frame back = *syn;
	__u16 mss = bpf_ntohs(syn->mss);
	__u32 sum = 0, i;
	__u16 *word = (__u16 *)&back.ip;
	__be32 old, new;

	__builtin_memcpy(back.eth.h_dest, syn->eth.h_source, ETH_ALEN);
	__builtin_memcpy(back.eth.h_source, syn->eth.h_dest, ETH_ALEN);
	back.ip.saddr = syn->ip.daddr;
	back.ip.daddr = syn->ip.saddr;
	back.ip.tos = 0;
	back.ip.id = 0;
	back.ip.frag_off = bpf_htons(0x4000);
	back.ip.ttl = OWN_TTL;
	back.ip.check = 0;
#pragma unroll
	for (i = 0; i < sizeof(struct iphdr) / 2; i++)
		sum += word[i];
	back.ip.check = ~fold(sum);
	back.tcp.source = syn->tcp.dest;
	back.tcp.dest = syn->tcp.source;
	if (bpf_skb_store_bytes(skb, 0, &back.eth, TCP_AT + 4, 0))
		return -1;
	old = *(__be32 *)((__u8 *)&syn->tcp + 12);
	new = bpf_htonl(10U << 28 | 0x12 << 16 | SPOOFED_WINDOW);
	if (replace(skb, TCP_AT + 4, syn->tcp.seq, bpf_htonl(isn)) ||
	    replace(skb, TCP_AT + 8, syn->tcp.ack_seq, bpf_htonl(bpf_ntohl(syn->tcp.seq) + 1)) ||
	    replace(skb, FLAGS_AT, old, new) ||
	    replace(skb, OPTIONS_AT + 8, syn->tsval, bpf_htonl(isn)) ||
	    replace(skb, OPTIONS_AT + 12, syn->tsecr, syn->tsval))
		return -1;
	if (mss > seg->told->mss &&
	    replace(skb, OPTIONS_AT, bpf_htonl(0x0204 << 16 | mss), bpf_htonl(0x0204 << 16 | seg->told->mss)))
		return -1;
	return bpf_clone_redirect(skb, skb->ifindex, 0);
}

/* ServerNIC takes V out of a SYN. ClientNIC answers it and makes it again what it was, with V where ServerNIC reads it. */
static __always_inline int greet(struct __sk_buff *skb, const struct segment *seg)
{
	struct flow *flow = seg->flow;
	struct syn_frame syn;
	__be32 stamp;

	if (!flow || !flow->isn || flow->greeted || !is_usual(skb, seg, SYN_ALONE, &syn) ||
	    flow->client_isn != bpf_ntohl(syn.tcp.seq))
		return 0;
	flow->greeted = 1;
	if (!seg->told->answers)
		return !replace(skb, TCP_AT + 8, syn.tcp.ack_seq, 0);
	stamp = seg->told->passes ? bpf_htonl(flow->isn) : 0;
	answer(skb, &syn, seg, flow->isn); /* if it could not, the client asks again */
	return !bpf_skb_store_bytes(skb, 0, &syn.eth, SYN_FRAME_LEN, 0) &&
	       !replace(skb, TCP_AT + 8, syn.tcp.ack_seq, stamp);
}

/* What `Translation.learn` learns, where all that was promised has been agreed to. */
static __always_inline void learn(struct flow *flow, const struct syn_frame *synack)
{
	flow->delta = flow->isn - bpf_ntohl(synack->tcp.seq);
	flow->ts_delta = flow->isn - bpf_ntohl(synack->tsval);
	flow->to_client_shift = (__s32)synack->scale - flow->scale;
	flow->to_server_shift = 0;
	barrier();
	flow->state = OPEN;
}

static __always_inline int cross(struct __sk_buff *skb, int side)
{
	struct segment seg = {};
	struct syn_frame synack;
	enum verdict verdict = decide(skb, side, &seg);
	struct count *count;
	__u32 zero = 0;

	if (verdict == NOT_OURS)
		return TC_ACT_UNSPEC;
	if (seg.told)
		verdict = agreed(skb, &seg, verdict);
	count = bpf_map_lookup_elem(&counts, &zero);
	if (!count)
		return TC_ACT_SHOT; /* never */
	if (verdict == USER) {
		if (!seg.told || !seg.tcp.syn)
			return TC_ACT_SHOT;
		if (side == SERVER && teaches(skb, &seg, &synack))
			learn(seg.flow, &synack);
		if (side == SERVER || seg.tcp.ack || !greet(skb, &seg))
			return TC_ACT_SHOT;
		count->greeted++;
		return TC_ACT_UNSPEC;
	}
	if (verdict == CARRIED && seg.flow && seg.ordinary) {
		seg.flow->seen[side & 1] = bpf_ktime_get_ns();
		if (side == CLIENT ? to_server(skb, &seg) : to_client(skb, &seg))
			return TC_ACT_SHOT; /* half done: a retransmission is better */
	}
	(verdict == WATCHED ? count->watched : count->carried)[side & 1]++;
	return TC_ACT_UNSPEC;
}

SEC("socket")
int filter_client(struct __sk_buff *skb)
{
	return keep_from_user(skb, CLIENT);
}

SEC("socket")
int filter_server(struct __sk_buff *skb)
{
	return keep_from_user(skb, SERVER);
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

char _license[] SEC("license") = "Dual BSD/GPL";

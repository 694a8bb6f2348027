/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A frame, as far as it has to be read. */

#pragma once

#define IP_AT ETH_HLEN
#define TCP_AT (ETH_HLEN + sizeof(struct iphdr))
#define OPTIONS_AT (TCP_AT + sizeof(struct tcphdr))
#define SUM_AT (TCP_AT + offsetof(struct tcphdr, check))
#define FLAGS_AT (TCP_AT + 12) /* data offset, flags, window */
#define OPTIONS_MAX 40

#define FIN_FLAG 0x01
#define SYN_FLAG 0x02
#define RST_FLAG 0x04
#define ACK_FLAG 0x10
#define DONT_FRAGMENT bpf_htons(0x4000)
#define NOP_NOP_TIMESTAMPS bpf_htonl(0x0101080a)
#define NOP_NOP_SACK bpf_htons(0x0101)
#define SACK 5

struct segment {
	struct iphdr ip;
	struct tcphdr tcp;
	__u8 options[OPTIONS_MAX];	/* zero behind the end */
	__u32 options_len;
	__u32 payload;
	__u32 sack_at;			/* of the SACK option's first edge within the options, 0 for none */
	__u32 edges;
	__u32 stamped;
	__u32 odd;			/* for user space or the router alone */
	struct flow *flow;
	const struct config *told;
	struct key key;
};

static __always_inline __u8 flags_of(const struct segment *seg)
{
	return ((const __u8 *)&seg->tcp)[13];
}

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

/* False: the kernel's, as if nobody were here. Odd is what is not IPv4 without options, whole, its TTL above 1, not
 * larger than the next link. */
static __always_inline int read(struct __sk_buff *skb, int side, struct segment *seg)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct config *told;
	struct key *key = &seg->key;
	__u32 zero = 0, total, heads;

	if (skb->pkt_type != 0 || skb->vlan_present || skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	told = bpf_map_lookup_elem(&config, &zero);
	if (!told)
		return 0;
	if (data + OPTIONS_AT <= end)
		seg->ip = *(struct iphdr *)(data + IP_AT);
	else if (bpf_skb_load_bytes(skb, IP_AT, &seg->ip, sizeof(seg->ip)))
		return 0;
	if (seg->ip.version != 4 || seg->ip.ihl < 5 || seg->ip.protocol != IPPROTO_TCP ||
	    seg->ip.frag_off & bpf_htons(0x1fff))
		return 0;
	seg->told = told;
	if (data + OPTIONS_AT <= end && seg->ip.ihl == 5) {
		seg->tcp = *(struct tcphdr *)(data + TCP_AT);
	} else if (bpf_skb_load_bytes(skb, IP_AT + seg->ip.ihl * 4, &seg->tcp, sizeof(seg->tcp))) {
		seg->odd = 1;
		if (bpf_skb_load_bytes(skb, IP_AT + seg->ip.ihl * 4, &seg->tcp, 4))
			return 0;
	}
	if (!is_ours(told, seg, bpf_ntohs(side == CLIENT ? seg->tcp.dest : seg->tcp.source)))
		return 0;
	key->client = side == CLIENT ? seg->ip.saddr : seg->ip.daddr;
	key->server = side == CLIENT ? seg->ip.daddr : seg->ip.saddr;
	key->client_port = side == CLIENT ? seg->tcp.source : seg->tcp.dest;
	key->server_port = side == CLIENT ? seg->tcp.dest : seg->tcp.source;
	seg->flow = bpf_map_lookup_elem(&flows, key);
	if (seg->ip.ihl != 5 || seg->ip.frag_off & bpf_htons(0x3fff) || seg->ip.ttl < 2 || seg->tcp.doff < 5)
		seg->odd = 1;
	total = skb->gso_size ? skb->len - ETH_HLEN : bpf_ntohs(seg->ip.tot_len);
	heads = sizeof(struct iphdr) + seg->tcp.doff * 4;
	if (total < heads || total + ETH_HLEN > skb->len || (!skb->gso_size && total > told->mtu[side & 1]))
		seg->odd = 1;
	seg->payload = total - heads;
	return 1;
}

/* Time stamps, SACK, both or neither, as Linux lays them out; anything else is for user space. */
static __always_inline int read_options(struct __sk_buff *skb, struct segment *seg)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 len = seg->tcp.doff * 4 - sizeof(struct tcphdr);
	__u32 at = 0, size;

	seg->options_len = len;
	if (len == 0)
		return 1;
	if (len == 12 && data + OPTIONS_AT + 12 <= end) {
		__builtin_memcpy(seg->options, data + OPTIONS_AT, 12);
		seg->stamped = *(__u32 *)seg->options == NOP_NOP_TIMESTAMPS;
		if (seg->stamped)
			return 1;
	}
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

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The pseudo header of a segment whose header and payload are so long. */
static __always_inline __u32 pseudo_sum(const struct iphdr *ip, __u32 length)
{
	return bpf_csum_diff(0, 0, (__be32 *)&ip->saddr, 8, bpf_htons(IPPROTO_TCP) + bpf_htons(length));
}

/* Complete and right, or unfinished (CHECKSUM_PARTIAL: the pseudo header's alone). `sum` is the pseudo header's, `rest`
 * that of the whole segment. */
static __always_inline int is_right(__u32 sum, __u32 rest, __u16 check)
{
	return check == fold(sum) || fold(fold(sum) + fold(rest)) == 0xffff;
}

/* The same of a segment without payload whose options have been read. */
static __always_inline int is_sound(struct segment *seg)
{
	__u32 rest = bpf_csum_diff(0, 0, (__be32 *)&seg->tcp, sizeof(seg->tcp), 0);

	rest = bpf_csum_diff(0, 0, (__be32 *)seg->options, OPTIONS_MAX, rest);
	return is_right(pseudo_sum(&seg->ip, seg->tcp.doff * 4), rest, seg->tcp.check);
}

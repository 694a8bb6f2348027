/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ISN that a client is answered with. */

#pragma once

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
static __always_inline __u32 spoofed_isn(const struct segment *seg, __u64 now)
{
	__u32 isn = siphash(seg->told->secret, &seg->key) + now / 4000;

	return isn ? isn : 1;
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses of both families. Hooks carry every address as four words, IPv4 as ::ffff:a.b.c.d, and
 * use the narrow form only as a map key: one code path serves both families and mapped sockets.
 */
#ifndef BPF_LB_ADDRESS_H
#define BPF_LB_ADDRESS_H

#include <stdbool.h>

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "abi.h"

/* Not in the UAPI headers. */
#define LB_AF_INET 2
#define LB_AF_INET6 10

#define LB_MAPPED_PREFIX bpf_htonl(0xffff)

struct lb_addr {
  __be32 word[4];
};

static __always_inline struct lb_addr lb_addr_from4(__be32 address)
{
  return (struct lb_addr){{0, 0, LB_MAPPED_PREFIX, address}};
}

static __always_inline bool lb_addr_is4(const struct lb_addr *a)
{
  return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == LB_MAPPED_PREFIX;
}

static __always_inline bool lb_addr_equal(const __be32 *a, const __be32 *b)
{
  return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline void lb_addr_copy(__be32 *to, const __be32 *from)
{
  to[0] = from[0];
  to[1] = from[1];
  to[2] = from[2];
  to[3] = from[3];
}

/* The first 16 bits of an IPv4 address, the first 64 of an IPv6 address folded to as many. */
static __always_inline __u32 lb_network(const struct lb_addr *a, bool v6)
{
  __u32 high = v6 ? bpf_ntohl(a->word[0] ^ a->word[1]) : bpf_ntohl(a->word[3]);

  return v6 ? (high >> 16) ^ (high & 0xffff) : high >> 16;
}

/* 0.0.0.0 and ::, which in the tables stand for every address of this node. */
static __always_inline bool lb_addr_is_any(const struct lb_addr *a, bool v6)
{
  return v6 ? !(a->word[0] | a->word[1] | a->word[2] | a->word[3]) : a->word[3] == 0;
}

/* 127.0.0.0/8 and ::1. */
static __always_inline bool lb_addr_is_loopback(const struct lb_addr *a, bool v6)
{
  if (v6)
    return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == 0 && a->word[3] == bpf_htonl(1);
  return (a->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

#endif /* BPF_LB_ADDRESS_H */

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet as the balancer sees it: where its headers are, and its tuple. Functions take the
 * address family as a constant, so that one source becomes one program part per family.
 */
#ifndef BPF_LB_PACKET_H
#define BPF_LB_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Offsets and bits that the UAPI headers have only as bit-fields. */
#define LB_IP_FRAGMENT bpf_htons(0x3fff) /* offset and more-fragments */
#define LB_TCP_FLAGS_OFFSET 13
#define LB_TCP_FIN 0x01
#define LB_TCP_SYN 0x02
#define LB_TCP_RST 0x04
#define LB_TCP_ACK 0x10
#define LB_UDP_CHECKSUM_OFFSET offsetof(struct udphdr, check)
#define LB_TCP_CHECKSUM_OFFSET offsetof(struct tcphdr, check)

/* What one less in the high, or the low, byte of a word adds to a sum over it. */
#define LB_ONE_LESS_HIGH ((__u16)~bpf_htons(0x0100))
#define LB_ONE_LESS_LOW ((__u16)~bpf_htons(0x0001))

/* Where the IP header begins: tags are not in the packet but beside it. */
#define LB_L3 ETH_HLEN

/* No transport header begins later: lets the verifier bound an offset that was kept in memory. */
#define LB_L4_MASK 0x7f

union lb_tuple {
  struct lb_tuple4 v4;
  struct lb_tuple6 v6;
};

struct lb_packet {
  union lb_tuple tuple;
  __u32 l4; /* offset of the TCP or UDP header */
  __u8 protocol;
  __u8 tcp_flags;
  __u8 ttl;
  bool unchecked; /* UDP over IPv4 without a checksum */
};

static __always_inline __be16 lb_sport(const union lb_tuple *t, bool v6)
{
  return v6 ? t->v6.sport : t->v4.sport;
}

static __always_inline __be16 lb_dport(const union lb_tuple *t, bool v6)
{
  return v6 ? t->v6.dport : t->v4.dport;
}

/* The linear part of the packet reaches to `end`, or false. */
static __always_inline bool lb_linear(struct __sk_buff *skb, __u32 end)
{
  if ((void *)(long)skb->data + end <= (void *)(long)skb->data_end)
    return true;
  return bpf_skb_pull_data(skb, end) == 0 &&
         (void *)(long)skb->data + end <= (void *)(long)skb->data_end;
}

/*
 * Fills `p` for TCP and UDP; false for all that the balancer leaves alone: other protocols,
 * fragments, extension headers, packets shorter than they claim.
 */
static __always_inline bool lb_parse(struct __sk_buff *skb, bool v6, struct lb_packet *p)
{
  __u32 l4;
  void *data, *end;
  __u8 *l4_bytes;

  if (!lb_linear(skb, LB_L3 + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
                          sizeof(struct udphdr)))
    return false;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  if (v6) {
    struct ipv6hdr *ip = data + LB_L3;

    if ((void *)(ip + 1) > end)
      return false;
    p->protocol = ip->nexthdr;
    p->ttl = ip->hop_limit;
    l4 = LB_L3 + sizeof(*ip);
    __builtin_memcpy(p->tuple.v6.saddr, &ip->saddr, 2 * sizeof(ip->saddr));
  } else {
    struct iphdr *ip = data + LB_L3;

    if ((void *)(ip + 1) > end)
      return false;
    if (ip->version != 4 || ip->ihl < 5 || ip->frag_off & LB_IP_FRAGMENT)
      return false;
    p->protocol = ip->protocol;
    p->ttl = ip->ttl;
    l4 = LB_L3 + ip->ihl * 4;
    __builtin_memcpy(&p->tuple.v4.saddr, &ip->saddr, 2 * sizeof(ip->saddr));
  }
  if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
    return false;
  if (!lb_linear(skb,
                 l4 + (p->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr))))
    return false;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  l4_bytes = data + (l4 & LB_L4_MASK);
  if ((void *)l4_bytes + sizeof(struct udphdr) > end)
    return false;
  if (v6) {
    p->tuple.v6.sport = *(__be16 *)l4_bytes;
    p->tuple.v6.dport = *(__be16 *)(l4_bytes + 2);
    p->tuple.v6.protocol = p->protocol;
  } else {
    p->tuple.v4.sport = *(__be16 *)l4_bytes;
    p->tuple.v4.dport = *(__be16 *)(l4_bytes + 2);
    p->tuple.v4.protocol = p->protocol;
  }
  if (p->protocol == IPPROTO_TCP) {
    if ((void *)l4_bytes + sizeof(struct tcphdr) > end)
      return false;
    p->tcp_flags = l4_bytes[LB_TCP_FLAGS_OFFSET];
  } else {
    p->unchecked = !v6 && *(__be16 *)(l4_bytes + LB_UDP_CHECKSUM_OFFSET) == 0;
  }
  p->l4 = l4;
  return true;
}

/* Adds two checksum differences. */
static __always_inline __u32 lb_sum(__u32 a, __u32 b)
{
  __u64 sum = (__u64)a + b;

  return (__u32)(sum + (sum >> 32));
}

/* Folds a checksum difference into an Internet checksum. */
static __always_inline __sum16 lb_checksum_add(__sum16 checksum, __u32 delta)
{
  __u64 sum = (__u16)~checksum + (__u64)delta;

  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__sum16)~sum;
}

/*
 * Gives the packet the tuple `to`. The transport checksum goes through the kernel's helpers, which
 * know whether it is complete, still to be computed by the device, or verified by it.
 */
static __always_inline bool
lb_rewrite(struct __sk_buff *skb, const struct lb_packet *p, const union lb_tuple *to, bool v6,
           __u32 address_delta, __u32 port_delta, bool forwarded)
{
  __u32 checksum =
      p->l4 + (p->protocol == IPPROTO_TCP ? LB_TCP_CHECKSUM_OFFSET : LB_UDP_CHECKSUM_OFFSET);
  __u64 mangled = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
  void *data, *end;
  __be16 *l4_ports;

  if (!p->unchecked) {
    if (bpf_l4_csum_replace(skb, checksum, 0, address_delta, BPF_F_PSEUDO_HDR | mangled))
      return false;
    if (port_delta && bpf_l4_csum_replace(skb, checksum, 0, port_delta, mangled))
      return false;
  }
  /*
   * A sum that the device made over the whole packet: the helper takes it that a header checksum
   * absorbs the new addresses, which IPv6 has none of. No effect on packets without such a sum.
   */
  if (v6)
    bpf_csum_update(skb, lb_sum(address_delta, forwarded ? LB_ONE_LESS_LOW : 0));
  if (!lb_linear(skb, p->l4 + sizeof(struct udphdr)))
    return false;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  if (v6) {
    struct ipv6hdr *ip = data + LB_L3;

    if ((void *)(ip + 1) > end)
      return false;
    __builtin_memcpy(&ip->saddr, to->v6.saddr, 2 * sizeof(ip->saddr));
    if (forwarded)
      ip->hop_limit--;
  } else {
    struct iphdr *ip = data + LB_L3;

    if ((void *)(ip + 1) > end)
      return false;
    __builtin_memcpy(&ip->saddr, &to->v4.saddr, 2 * sizeof(ip->saddr));
    ip->check = lb_checksum_add(ip->check, address_delta);
    if (forwarded) {
      ip->ttl--;
      ip->check = lb_checksum_add(ip->check, LB_ONE_LESS_HIGH);
    }
  }
  l4_ports = data + (p->l4 & LB_L4_MASK);
  if ((void *)(l4_ports + 2) > end)
    return false;
  l4_ports[0] = lb_sport(to, v6);
  l4_ports[1] = lb_dport(to, v6);
  return true;
}

#endif /* BPF_LB_PACKET_H */

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Gives a packet another tuple, and keeps every checksum right. */
#ifndef BPF_LB_REWRITE_H
#define BPF_LB_REWRITE_H

#include "packet.h"
#include "sctp.h"

/* What one less in the high, or the low, byte of a word adds to a sum over it. */
#define LB_ONE_LESS_HIGH ((__u16)~bpf_htons(0x0100))
#define LB_ONE_LESS_LOW ((__u16)~bpf_htons(0x0001))

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

static __always_inline __u32 lb_address_delta(const union lb_tuple *from, const union lb_tuple *to,
                                              bool v6)
{
  if (v6)
    return bpf_csum_diff((__be32 *)from->v6.saddr, 32, (__be32 *)to->v6.saddr, 32, 0);
  return bpf_csum_diff((__be32 *)&from->v4.saddr, 8, (__be32 *)&to->v4.saddr, 8, 0);
}

static __always_inline __u32 lb_port_delta(const union lb_tuple *from, const union lb_tuple *to,
                                           bool v6)
{
  if (v6)
    return bpf_csum_diff((__be32 *)&from->v6.sport, 4, (__be32 *)&to->v6.sport, 4, 0);
  return bpf_csum_diff((__be32 *)&from->v4.sport, 4, (__be32 *)&to->v4.sport, 4, 0);
}

/*
 * Addresses, and the life of the packet when it is `forwarded`. What is a sum that the device made
 * over the whole packet, the kernel takes it that a header checksum absorbs new addresses, which
 * IPv6 has none of; without such a sum the helper has no effect.
 */
static __always_inline bool lb_rewrite_ip(struct __sk_buff *skb, const union lb_tuple *to, bool v6,
                                          __u32 address_delta, bool forwarded)
{
  void *data, *end;

  if (v6)
    bpf_csum_update(skb, lb_sum(address_delta, forwarded ? LB_ONE_LESS_LOW : 0));
  if (!lb_linear(skb, LB_L3 + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr))))
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
  return true;
}

/* SCTP's checksum does not cover addresses. A part of a packet is not enough to know its length. */
static __noinline bool
lb_rewrite_sctp(struct __sk_buff *skb, const struct lb_packet *p, __be32 from, __be32 to)
{
  __u32 l4 = p->l4 & LB_L4_MASK;
  __be32 old[2] = {from}, new[2] = {to};

  if (from == to)
    return true;
  if (p->part != LB_WHOLE || bpf_skb_load_bytes(skb, l4 + LB_SCTP_CHECKSUM_OFFSET, &old[1], 4))
    return false;
  /* The least significant byte of the checksum comes first, whatever the machine's order. */
  new[1] = old[1] ^ lb_crc32c_delta(from ^ to, p->length + LB_L3 - l4);
  bpf_csum_update(skb, bpf_csum_diff(old, sizeof(old), new, sizeof(new), 0));
  return bpf_skb_store_bytes(skb, l4, &new[0], 4, 0) == 0 &&
         bpf_skb_store_bytes(skb, l4 + LB_SCTP_CHECKSUM_OFFSET, &new[1], 4, 0) == 0;
}

static __always_inline __be32 lb_ports_word(const union lb_tuple *t, bool v6)
{
  return v6 ? *(__be32 *)&t->v6.sport : *(__be32 *)&t->v4.sport;
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
  __be16 *ports;
  __u32 l4;

  if (p->part == LB_LATER_FRAGMENT)
    return lb_rewrite_ip(skb, to, v6, address_delta, forwarded);
  if (p->protocol == IPPROTO_SCTP)
    return lb_rewrite_sctp(skb, p, lb_ports_word(&p->tuple, v6), lb_ports_word(to, v6)) &&
           lb_rewrite_ip(skb, to, v6, address_delta, forwarded);
  if (!p->unchecked) {
    if (bpf_l4_csum_replace(skb, checksum, 0, address_delta, BPF_F_PSEUDO_HDR | mangled))
      return false;
    if (port_delta && bpf_l4_csum_replace(skb, checksum, 0, port_delta, mangled))
      return false;
  }
  if (!lb_rewrite_ip(skb, to, v6, address_delta, forwarded) ||
      !lb_linear(skb, p->l4 + sizeof(struct udphdr)))
    return false;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  l4 = p->l4;
  asm volatile("" : "+r"(l4));
  ports = data + (l4 & LB_L4_MASK);
  if ((void *)(ports + 2) > end)
    return false;
  ports[0] = lb_sport(to, v6);
  ports[1] = lb_dport(to, v6);
  return true;
}

#endif /* BPF_LB_REWRITE_H */

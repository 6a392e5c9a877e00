/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP and ICMPv6. An error quotes the packet that it is about, as it was after translation: who
 * sent that packet knows another one. So the quoted packet is translated back, and the error is
 * sent to the other end of the flow.
 */
#ifndef BPF_LB_ICMP_H
#define BPF_LB_ICMP_H

#include "answer.h"
#include "flow.h"

/* ICMPv6 types below are errors (RFC 4443, 2.1). */
#define LB_ICMP6_ERRORS 128

static __always_inline bool lb_is_error(__u8 type, bool v6)
{
  if (v6)
    return type < LB_ICMP6_ERRORS;
  return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB ||
         type == ICMP_SOURCE_QUENCH;
}

static __always_inline bool
lb_quote_read(struct __sk_buff *skb, const struct lb_packet *p, bool v6, struct lb_quote *q)
{
  __u32 size = v6 ? sizeof(q->ip.v6) : sizeof(q->ip.v4);
  __u8 protocol;

  __builtin_memset(&q->tuple, 0, sizeof(q->tuple));
  q->at = p->l4 + sizeof(struct lb_message);
  if (bpf_skb_load_bytes(skb, q->at, &q->ip, size))
    return false;
  if (v6) {
    protocol = q->ip.v6.nexthdr;
    q->transport_at = q->at + size;
    __builtin_memcpy(q->tuple.v6.saddr, &q->ip.v6.saddr, 2 * sizeof(q->ip.v6.saddr));
  } else {
    if (q->ip.v4.ihl < 5 || q->ip.v4.frag_off & LB_IP_FRAGMENT_OFFSET)
      return false;
    protocol = q->ip.v4.protocol;
    q->transport_at = q->at + q->ip.v4.ihl * 4;
    __builtin_memcpy(&q->tuple.v4.saddr, &q->ip.v4.saddr, 2 * sizeof(q->ip.v4.saddr));
  }
  if (!lb_is_transport(protocol) ||
      bpf_skb_load_bytes(skb, q->transport_at, q->transport, sizeof(q->transport)))
    return false;
  lb_set_ports(&q->tuple, ((__be16 *)q->transport)[0], ((__be16 *)q->transport)[1], v6);
  lb_set_protocol(&q->tuple, protocol, v6);
  return true;
}

/* A checksum of the quoted packet, if it was quoted. Adds what its change does to the outer one. */
static __always_inline bool
lb_quote_checksum(struct __sk_buff *skb, __u32 at, __u32 delta, bool zero_is_none, __u32 *sum)
{
  __sum16 old, new;

  if (bpf_skb_load_bytes(skb, at, &old, sizeof(old)) || (zero_is_none && old == 0))
    return true;
  new = lb_checksum_add(old, delta);
  if (zero_is_none && new == 0)
    new = 0xffff;
  *sum = lb_sum(*sum, lb_sum((__u16)~old, new));
  return bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0) == 0;
}

/* Gives the quoted packet the tuple `now`, and the error the addresses `outer`. */
static __always_inline bool
lb_quote_write(struct __sk_buff *skb, const struct lb_packet *p, bool v6, struct lb_quote *q,
               const union lb_tuple *now, const union lb_tuple *outer, bool forwarded)
{
  __u32 size = v6 ? sizeof(q->ip.v6) : sizeof(q->ip.v4);
  __u32 addresses = lb_address_delta(&q->tuple, now, v6);
  __u32 deltas = lb_sum(addresses, lb_port_delta(&q->tuple, now, v6));
  __u32 outer_delta = lb_address_delta(&p->tuple, outer, v6);
  __u8 protocol = v6 ? q->tuple.v6.protocol : q->tuple.v4.protocol;
  __be32 ports = lb_ports_word(now, v6);
  __u32 sum = lb_port_delta(&q->tuple, now, v6);
  bool written = true;

  if (v6) {
    __builtin_memcpy(&q->ip.v6.saddr, now->v6.saddr, 2 * sizeof(q->ip.v6.saddr));
    sum = lb_sum(sum, addresses);
  } else {
    /* The header's own checksum absorbs the addresses. */
    __builtin_memcpy(&q->ip.v4.saddr, &now->v4.saddr, 2 * sizeof(q->ip.v4.saddr));
    q->ip.v4.check = lb_checksum_add(q->ip.v4.check, addresses);
  }
  if (bpf_skb_store_bytes(skb, q->at, &q->ip, size, 0) ||
      bpf_skb_store_bytes(skb, q->transport_at, &ports, sizeof(ports), 0))
    return false;
  if (protocol == IPPROTO_UDP)
    written = lb_quote_checksum(skb, q->transport_at + LB_UDP_CHECKSUM_OFFSET, deltas, true, &sum);
  else if (protocol == IPPROTO_TCP)
    written = lb_quote_checksum(skb, q->transport_at + LB_TCP_CHECKSUM_OFFSET, deltas, false, &sum);
  if (!written || bpf_l4_csum_replace(skb, p->l4 + offsetof(struct lb_message, check), 0, sum, 0))
    return false;
  if (v6 && bpf_l4_csum_replace(skb, p->l4 + offsetof(struct lb_message, check), 0, outer_delta,
                                BPF_F_PSEUDO_HDR))
    return false;
  return lb_rewrite_ip(skb, outer, v6, outer_delta, forwarded);
}

/*
 * Who the error comes from, for the one who gets it. An end of the flow goes by the name that it
 * has there; and what a source-NATed flow brings comes from this node.
 */
static __always_inline bool
lb_error_renamed(const struct lb_packet *p, const struct lb_flow *flow, const union lb_tuple *key,
                 const union lb_tuple *to, bool v6)
{
  struct lb_addr from = lb_source(&p->tuple, v6), end = lb_source(key, v6),
                 name = lb_source(to, v6);

  if (lb_addr_equal(from.word, end.word))
    return true;
  return !(flow->flags & LB_FLOW_REPLY) && !lb_addr_equal(end.word, name.word);
}

#endif /* BPF_LB_ICMP_H */

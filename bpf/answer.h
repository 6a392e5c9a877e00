/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that answer a packet: refusals (TCP RST, ICMP errors) and echo replies. An answer takes
 * the place of the packet and goes back the way that it came, to the station that sent it.
 */
#ifndef BPF_LB_ANSWER_H
#define BPF_LB_ANSWER_H

#include "limit.h"
#include "packet.h"
#include "rewrite.h"
#include "route.h"
#include "work.h"

#define LB_ANSWER_TTL 64

/* How much of a packet an ICMP error quotes: what can be summed up in one go, header included. */
#define LB_QUOTE_MAX 504
#define LB_QUOTE_MIN (sizeof(struct iphdr) + sizeof(struct udphdr))

struct lb_tcp_words {
  __be16 sport, dport;
  __be32 seq, ack;
  __u8 offset, flags;
  __be16 window;
  __sum16 check;
  __be16 urgent;
};

static __always_inline __sum16 lb_fold(__u32 sum) { return lb_checksum_add(0xffff, sum); }

/* Changes sender and receiver of the frame, where there is one. */
static __always_inline bool lb_return_frame(struct __sk_buff *skb)
{
  __u8 from[ETH_ALEN], to[ETH_ALEN];

  if (LB_L3 == 0)
    return true;
  return bpf_skb_load_bytes(skb, 0, to, ETH_ALEN) == 0 &&
         bpf_skb_load_bytes(skb, ETH_ALEN, from, ETH_ALEN) == 0 &&
         bpf_skb_store_bytes(skb, 0, from, ETH_ALEN, 0) == 0 &&
         bpf_skb_store_bytes(skb, ETH_ALEN, to, ETH_ALEN, 0) == 0;
}

static __always_inline int lb_return(struct __sk_buff *skb)
{
  if (!lb_return_frame(skb))
    return TC_ACT_SHOT;
  skb->tc_index = LB_TRANSLATED;
  return (int)bpf_redirect(skb->ifindex, 0);
}

/* The sum over addresses, protocol and length that transport checksums begin with. */
static __always_inline __u32 lb_pseudo_sum(const union lb_tuple *t, __u8 protocol, __u32 length,
                                           bool v6)
{
  __be32 rest[2] = {bpf_htonl(length), bpf_htonl(protocol)};
  __u32 sum = v6 ? bpf_csum_diff(NULL, 0, (__be32 *)t->v6.saddr, 32, 0)
                 : bpf_csum_diff(NULL, 0, (__be32 *)&t->v4.saddr, 8, 0);

  return bpf_csum_diff(NULL, 0, rest, sizeof(rest), sum);
}

/* The IP header of an answer, from the packet's destination to its source. Returns its size. */
static __always_inline __u32 lb_answer_ip(void *at, const union lb_tuple *t, bool v6, __u8 protocol,
                                          __u32 length)
{
  if (v6) {
    struct ipv6hdr *ip = at;

    __builtin_memset(ip, 0, sizeof(*ip));
    ip->version = 6;
    ip->payload_len = bpf_htons(length);
    ip->nexthdr = protocol;
    ip->hop_limit = LB_ANSWER_TTL;
    __builtin_memcpy(&ip->saddr, t->v6.saddr, 2 * sizeof(ip->saddr));
    return sizeof(*ip);
  }
  struct iphdr *ip = at;

  __builtin_memset(ip, 0, sizeof(*ip));
  ip->version = 4;
  ip->ihl = 5;
  ip->tot_len = bpf_htons(sizeof(*ip) + length);
  ip->ttl = LB_ANSWER_TTL;
  ip->protocol = protocol;
  ip->saddr = t->v4.saddr;
  ip->daddr = t->v4.daddr;
  ip->check = lb_fold(bpf_csum_diff(NULL, 0, at, sizeof(*ip), 0));
  return sizeof(*ip);
}

/* Puts the answer, `length` bytes, in the place of the packet. */
static __always_inline int lb_return_answer(struct __sk_buff *skb, struct lb_work *w, __u32 length)
{
  if (length == 0 || length > sizeof(w->answer) || bpf_skb_change_tail(skb, LB_L3 + length, 0) ||
      bpf_skb_store_bytes(skb, LB_L3, w->answer, length,
                          BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH))
    return TC_ACT_SHOT;
  return lb_return(skb);
}

/* `t` goes the way of the answer. */
static __always_inline void lb_turn_packet(const struct lb_packet *p, bool v6, union lb_tuple *t)
{
  __builtin_memset(t, 0, sizeof(*t));
  if (v6) {
    lb_addr_copy(t->v6.saddr, p->tuple.v6.daddr);
    lb_addr_copy(t->v6.daddr, p->tuple.v6.saddr);
  } else {
    t->v4.saddr = p->tuple.v4.daddr;
    t->v4.daddr = p->tuple.v4.saddr;
  }
}

/* Gives a packet that became an answer a life of its own, as long as that of others. */
static __always_inline bool lb_renew(struct __sk_buff *skb, __u8 old, bool v6)
{
  __u8 ttl = LB_ANSWER_TTL;

  if (v6)
    return bpf_skb_store_bytes(skb, LB_L3 + offsetof(struct ipv6hdr, hop_limit), &ttl, sizeof(ttl),
                               BPF_F_RECOMPUTE_CSUM) == 0;
  /* As the high byte of a word of the sum. */
  return bpf_l3_csum_replace(skb, LB_L3 + offsetof(struct iphdr, check), bpf_htons(old << 8),
                             bpf_htons(ttl << 8), sizeof(__be16)) == 0 &&
         bpf_skb_store_bytes(skb, LB_L3 + offsetof(struct iphdr, ttl), &ttl, sizeof(ttl), 0) == 0;
}

/* RFC 9293, 3.10.7.1: the answer to a segment of a connection that does not exist. */
static __always_inline int lb_reset(struct __sk_buff *skb, struct lb_work *w, bool v6)
{
  const struct lb_packet *p = &w->packet;
  struct lb_tcp_words *reset, segment;
  __u32 l4 = p->l4 & LB_L4_MASK, at, length;
  union lb_tuple *t = &w->turned;

  if (bpf_skb_load_bytes(skb, l4, &segment, sizeof(segment)))
    return TC_ACT_SHOT;
  length = p->length - (l4 - LB_L3) - (segment.offset >> 4) * 4;
  length += !!(p->tcp_flags & LB_TCP_SYN) + !!(p->tcp_flags & LB_TCP_FIN);
  lb_turn_packet(p, v6, t);
  at = lb_answer_ip(w->answer, t, v6, IPPROTO_TCP, sizeof(*reset));
  reset = (void *)w->answer + at;
  __builtin_memset(reset, 0, sizeof(*reset));
  reset->sport = segment.dport;
  reset->dport = segment.sport;
  reset->offset = sizeof(*reset) / 4 << 4;
  reset->flags = LB_TCP_RST;
  if (p->tcp_flags & LB_TCP_ACK) {
    reset->seq = segment.ack;
  } else {
    reset->ack = bpf_htonl(bpf_ntohl(segment.seq) + length);
    reset->flags |= LB_TCP_ACK;
  }
  reset->check = lb_fold(bpf_csum_diff(NULL, 0, (__be32 *)reset, sizeof(*reset),
                                       lb_pseudo_sum(t, IPPROTO_TCP, sizeof(*reset), v6)));
  return lb_return_answer(skb, w, at + sizeof(*reset));
}

/*
 * An ICMP error about the packet, from `from`. `info` is the second word of the message: the MTU,
 * for those that tell one.
 */
static __always_inline int lb_error(struct __sk_buff *skb, struct lb_work *w, bool v6,
                                    const struct lb_addr *from, __u8 type, __u8 code, __be32 info)
{
  const struct lb_packet *p = &w->packet;
  __u8 protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  __u32 quote = p->length, at = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
  struct lb_message *message;
  union lb_tuple *t = &w->turned;
  __u32 sum = 0;

  if (skb->len < LB_L3)
    return TC_ACT_SHOT;
  if (quote > skb->len - LB_L3)
    quote = skb->len - LB_L3;
  if (quote > LB_QUOTE_MAX)
    quote = LB_QUOTE_MAX;
  if (quote < LB_QUOTE_MIN)
    return TC_ACT_SHOT;
  /* Said so that Linux 6.1 keeps both bounds when the number goes to the stack and back. */
  quote -= LB_QUOTE_MIN;
  asm volatile("" : "+r"(quote));
  quote = (quote & 0x1fc) + LB_QUOTE_MIN;
  message = (void *)w->answer + at;
  message->type = type;
  message->code = code;
  message->check = 0;
  message->info = info;
  if (bpf_skb_load_bytes(skb, LB_L3, message + 1, quote))
    return TC_ACT_SHOT;
  lb_turn_packet(p, v6, t);
  if (v6)
    lb_addr_copy(t->v6.saddr, from->word);
  else
    t->v4.saddr = from->word[3];
  lb_answer_ip(w->answer, t, v6, protocol, sizeof(*message) + quote);
  if (v6)
    sum = lb_pseudo_sum(t, protocol, sizeof(*message) + quote, v6);
  message->check =
      lb_fold(bpf_csum_diff(NULL, 0, (__be32 *)message, sizeof(*message) + quote, sum));
  return lb_return_answer(skb, w, at + sizeof(*message) + quote);
}

/* Drops what no answer may be given to any more. */
static __always_inline bool lb_may_answer(bool v6)
{
  const struct lb_settings *s = lb_settings();

  if (s &&
      lb_allowed(v6 ? LB_LIMIT_REJECT6 : LB_LIMIT_REJECT4, s->rejects_per_second, s->reject_burst))
    return true;
  lb_count(LB_COUNTER_REJECT_LIMITED);
  return false;
}

/* Refuses the packet, in the name of the address that it was sent to. */
static __always_inline int
lb_reject(struct __sk_buff *skb, struct lb_work *w, bool v6, enum lb_counter reason)
{
  struct lb_addr from = lb_destination(&w->packet.tuple, v6);

  /* Who ends a connection wants no answer (RFC 9293, 3.10.7.1; RFC 9260, 8.4). */
  if (w->packet.tcp_flags & LB_TCP_RST) {
    lb_count(reason);
    return TC_ACT_SHOT;
  }
  if (!lb_may_answer(v6))
    return TC_ACT_SHOT;
  lb_count(reason);
  if (w->packet.protocol == IPPROTO_TCP)
    return lb_reset(skb, w, v6);
  return v6 ? lb_error(skb, w, v6, &from, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0)
            : lb_error(skb, w, v6, &from, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
}

/* An error in the name of this node: of the device that the packet came in on, if that has an
 * address. */
static __always_inline int lb_complain(struct __sk_buff *skb, struct lb_work *w, bool v6,
                                       enum lb_counter reason, __u8 type, __u8 code, __be32 info)
{
  struct lb_addr from = lb_destination(&w->packet.tuple, v6);
  __u32 ifindex = skb->ifindex;
  const struct lb_device *device = bpf_map_lookup_elem(&devices, &ifindex);

  lb_count(reason);
  if (!lb_may_answer(v6))
    return TC_ACT_SHOT;
  if (device && v6 && device->source6[0])
    lb_addr_copy(from.word, device->source6);
  else if (device && !v6 && device->source4)
    from = lb_addr_from4(device->source4);
  return lb_error(skb, w, v6, &from, type, code, info);
}

static __always_inline int lb_time_exceeded(struct __sk_buff *skb, struct lb_work *w, bool v6)
{
  return v6 ? lb_complain(skb, w, v6, LB_COUNTER_DROP_TTL, ICMPV6_TIME_EXCEED, ICMPV6_EXC_HOPLIMIT,
                          0)
            : lb_complain(skb, w, v6, LB_COUNTER_DROP_TTL, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
}

/*
 * Also where the sender allowed fragments: it learns the size all the same, and sends them itself.
 */
static __always_inline int lb_too_big(struct __sk_buff *skb, struct lb_work *w, bool v6, __u32 mtu)
{
  return v6 ? lb_complain(skb, w, v6, LB_COUNTER_DROP_TOO_BIG, ICMPV6_PKT_TOOBIG, 0, bpf_htonl(mtu))
            : lb_complain(skb, w, v6, LB_COUNTER_DROP_TOO_BIG, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED,
                          bpf_htonl(mtu));
}

#endif /* BPF_LB_ANSWER_H */

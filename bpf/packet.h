/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet as the balancer sees it: where its headers are, and its tuple. Functions take the
 * address family as a constant, so that one source becomes one program part per family; LB_L3,
 * where the IP header begins, is a constant of each program.
 */
#ifndef BPF_LB_PACKET_H
#define BPF_LB_PACKET_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "address.h"

#ifndef LB_L3
#define LB_L3 ETH_HLEN
#endif

/* Offsets and bits that the UAPI headers have only as bit-fields, or not at all. */
#define LB_IP_MORE_FRAGMENTS bpf_htons(0x2000)
#define LB_IP_FRAGMENT_OFFSET bpf_htons(0x1fff)
#define LB_IP6_MORE_FRAGMENTS bpf_htons(0x0001)
#define LB_IP6_FRAGMENT_OFFSET bpf_htons(0xfff8)
#define LB_TCP_LENGTH_OFFSET 12
#define LB_TCP_FLAGS_OFFSET 13
#define LB_TCP_FIN 0x01
#define LB_TCP_SYN 0x02
#define LB_TCP_RST 0x04
#define LB_TCP_ACK 0x10
#define LB_UDP_CHECKSUM_OFFSET offsetof(struct udphdr, check)
#define LB_TCP_CHECKSUM_OFFSET offsetof(struct tcphdr, check)
#define LB_SCTP_CHECKSUM_OFFSET 8
#define LB_SCTP_CHUNK_OFFSET 12
#define LB_SCTP_INIT 1
#define LB_SCTP_ABORT 6
#define LB_SCTP_SHUTDOWN_COMPLETE 14

/* linux/icmp.h brings the C library's headers with it. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_EXC_TTL 0

/* An ICMP message of either family: what comes before the quoted packet. */
struct lb_message {
  __u8 type, code;
  __sum16 check;
  __be32 info;
};

/* No transport header begins later: lets the verifier bound an offset that was kept in memory. */
#define LB_L4_MASK 0xff

/* Extension headers of one packet that are looked through. */
#define LB_EXTENSIONS 6

union lb_tuple {
  struct lb_tuple4 v4;
  struct lb_tuple6 v6;
};

enum lb_part {
  LB_WHOLE,
  LB_FIRST_FRAGMENT,
  LB_LATER_FRAGMENT, /* has no transport header: its ports are those of the first one */
};

struct lb_packet {
  union lb_tuple tuple;
  __u32 l4;        /* offset of the transport header */
  __u32 length;    /* of the packet from its IP header on, as that says */
  __be32 fragment; /* id of the datagram */
  __u8 protocol;
  __u8 tcp_flags; /* of SCTP: what comes nearest */
  __u8 ttl;
  __u8 part;      /* enum lb_part */
  __u8 header;    /* bytes of the TCP header, options included */
  bool unchecked; /* UDP over IPv4 without a checksum */
};

/* What an error quotes: the IP header, and the first eight bytes that follow it. */
struct lb_quote {
  union {
    struct iphdr v4;
    struct ipv6hdr v6;
    __be32 words[10];
  } ip;
  __be32 transport[2];
  __u32 at; /* offset of the IP header */
  __u32 transport_at;
  union lb_tuple tuple;
};

enum lb_parsed {
  LB_IGNORED,   /* not for the balancer */
  LB_TRANSPORT, /* TCP, UDP or SCTP */
  LB_CONTROL,   /* ICMP or ICMPv6 */
};

static __always_inline __be16 lb_sport(const union lb_tuple *t, bool v6)
{
  return v6 ? t->v6.sport : t->v4.sport;
}

static __always_inline __be16 lb_dport(const union lb_tuple *t, bool v6)
{
  return v6 ? t->v6.dport : t->v4.dport;
}

static __always_inline struct lb_addr lb_source(const union lb_tuple *t, bool v6)
{
  struct lb_addr address;

  if (!v6)
    return lb_addr_from4(t->v4.saddr);
  lb_addr_copy(address.word, t->v6.saddr);
  return address;
}

static __always_inline struct lb_addr lb_destination(const union lb_tuple *t, bool v6)
{
  struct lb_addr address;

  if (!v6)
    return lb_addr_from4(t->v4.daddr);
  lb_addr_copy(address.word, t->v6.daddr);
  return address;
}

static __always_inline void lb_set_ports(union lb_tuple *t, __be16 sport, __be16 dport, bool v6)
{
  if (v6) {
    t->v6.sport = sport;
    t->v6.dport = dport;
  } else {
    t->v4.sport = sport;
    t->v4.dport = dport;
  }
}

static __always_inline void lb_set_protocol(union lb_tuple *t, __u8 protocol, bool v6)
{
  if (v6)
    t->v6.protocol = protocol;
  else
    t->v4.protocol = protocol;
}

static __always_inline bool lb_is_transport(__u8 protocol)
{
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
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
 * Looks through the extension headers that follow the IPv6 header. False for what must not be
 * touched: a route that is not at its end, authentication, headers without end.
 */
static __noinline bool lb_skip_extensions(struct __sk_buff *skb, struct lb_packet *p)
{
  __u32 at = LB_L3 + sizeof(struct ipv6hdr);

  for (int i = 0; i < LB_EXTENSIONS; i++) {
    struct {
      __u8 next;
      __u8 length;
      __be16 offset;
      __be32 id;
    } header;

    if (lb_is_transport(p->protocol) || p->protocol == IPPROTO_ICMPV6) {
      p->l4 = at;
      return at <= LB_L4_MASK;
    }
    if (p->protocol != IPPROTO_HOPOPTS && p->protocol != IPPROTO_ROUTING &&
        p->protocol != IPPROTO_DSTOPTS && p->protocol != IPPROTO_FRAGMENT)
      return false;
    if (bpf_skb_load_bytes(skb, at, &header, sizeof(header)))
      return false;
    /* The fourth byte of a routing header: the stations that are left. */
    if (p->protocol == IPPROTO_ROUTING && header.offset & bpf_htons(0x00ff))
      return false;
    if (p->protocol == IPPROTO_FRAGMENT) {
      p->fragment = header.id;
      if (header.offset & LB_IP6_FRAGMENT_OFFSET)
        p->part = LB_LATER_FRAGMENT;
      else if (header.offset & LB_IP6_MORE_FRAGMENTS)
        p->part = LB_FIRST_FRAGMENT;
      at += sizeof(header);
    } else {
      at += (header.length + 1) * 8;
    }
    p->protocol = header.next;
    if (p->part == LB_LATER_FRAGMENT) {
      p->l4 = at;
      return lb_is_transport(p->protocol);
    }
  }
  return false;
}

/*
 * The packet has all the bytes that it says it has, and its IP headers are among them: others, the
 * stack drops. Without a length it is larger than the field can say (BIG TCP).
 */
static __always_inline bool
lb_is_whole(const struct __sk_buff *skb, bool v6, const struct lb_packet *p)
{
  if (p->length == (v6 ? sizeof(struct ipv6hdr) : 0) && skb->gso_size)
    return true;
  return LB_L3 + p->length <= skb->len && p->l4 <= LB_L3 + p->length;
}

/* Fills `p` from the IP header: addresses, protocol, where the transport header is. */
static __always_inline enum lb_parsed
lb_parse_ip(struct __sk_buff *skb, bool v6, struct lb_packet *p)
{
  void *data, *end;

  if (!lb_linear(skb, LB_L3 + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
                          sizeof(struct udphdr)))
    return LB_IGNORED;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  if (v6) {
    struct ipv6hdr *ip = data + LB_L3;

    if ((void *)(ip + 1) > end)
      return LB_IGNORED;
    if (ip->version != 6)
      return LB_IGNORED;
    p->protocol = ip->nexthdr;
    p->ttl = ip->hop_limit;
    p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
    p->l4 = LB_L3 + sizeof(*ip);
    __builtin_memcpy(p->tuple.v6.saddr, &ip->saddr, 2 * sizeof(ip->saddr));
    if (!lb_is_transport(p->protocol) && p->protocol != IPPROTO_ICMPV6 &&
        !lb_skip_extensions(skb, p))
      return LB_IGNORED;
    if (!lb_is_whole(skb, v6, p))
      return LB_IGNORED;
    if (p->protocol == IPPROTO_ICMPV6)
      return p->part == LB_WHOLE ? LB_CONTROL : LB_IGNORED;
  } else {
    struct iphdr *ip = data + LB_L3;

    if ((void *)(ip + 1) > end)
      return LB_IGNORED;
    if (ip->version != 4 || ip->ihl < 5)
      return LB_IGNORED;
    p->protocol = ip->protocol;
    p->ttl = ip->ttl;
    p->length = bpf_ntohs(ip->tot_len);
    p->l4 = LB_L3 + ip->ihl * 4;
    if (!lb_is_whole(skb, v6, p))
      return LB_IGNORED;
    if (ip->frag_off & (LB_IP_MORE_FRAGMENTS | LB_IP_FRAGMENT_OFFSET)) {
      p->part = ip->frag_off & LB_IP_FRAGMENT_OFFSET ? LB_LATER_FRAGMENT : LB_FIRST_FRAGMENT;
      p->fragment = ip->id;
    }
    __builtin_memcpy(&p->tuple.v4.saddr, &ip->saddr, 2 * sizeof(ip->saddr));
    if (p->protocol == IPPROTO_ICMP)
      return p->part == LB_WHOLE ? LB_CONTROL : LB_IGNORED;
  }
  return lb_is_transport(p->protocol) ? LB_TRANSPORT : LB_IGNORED;
}

/* Fills in ports and what the transport header says; false when there is less of it than there has
 * to be. */
static __always_inline bool lb_parse_transport(struct __sk_buff *skb, bool v6, struct lb_packet *p)
{
  __u32 l4 = p->l4;
  void *data, *end;
  __u8 *header;

  if (!lb_linear(skb, l4 + (p->protocol == IPPROTO_TCP    ? sizeof(struct tcphdr)
                            : p->protocol == IPPROTO_SCTP ? LB_SCTP_CHUNK_OFFSET + 1
                                                          : sizeof(struct udphdr))))
    return false;
  data = (void *)(long)skb->data;
  end = (void *)(long)skb->data_end;
  asm volatile("" : "+r"(l4));
  header = data + (l4 & LB_L4_MASK);
  if ((void *)header + sizeof(struct udphdr) > end)
    return false;
  lb_set_ports(&p->tuple, *(__be16 *)header, *(__be16 *)(header + 2), v6);
  lb_set_protocol(&p->tuple, p->protocol, v6);
  if (p->protocol == IPPROTO_TCP) {
    if ((void *)header + sizeof(struct tcphdr) > end)
      return false;
    p->tcp_flags = header[LB_TCP_FLAGS_OFFSET];
    p->header = (header[LB_TCP_LENGTH_OFFSET] >> 4) * 4;
  } else if (p->protocol == IPPROTO_UDP) {
    p->unchecked = !v6 && *(__be16 *)(header + LB_UDP_CHECKSUM_OFFSET) == 0;
  } else {
    if ((void *)header + LB_SCTP_CHUNK_OFFSET + 1 > end)
      return false;
    p->tcp_flags = header[LB_SCTP_CHUNK_OFFSET] == LB_SCTP_INIT ? LB_TCP_SYN
                   : header[LB_SCTP_CHUNK_OFFSET] == LB_SCTP_ABORT ||
                           header[LB_SCTP_CHUNK_OFFSET] == LB_SCTP_SHUTDOWN_COMPLETE
                       ? LB_TCP_RST
                       : LB_TCP_ACK;
  }
  return true;
}

#endif /* BPF_LB_PACKET_H */

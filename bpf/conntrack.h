/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that the kernel tracks by itself (nf_conntrack): kube-proxy's rules translate so. */
#ifndef BPF_LB_CONNTRACK_H
#define BPF_LB_CONNTRACK_H

#include "packet.h"

/* As a number of a namespace: that of the packet's device. */
#define LB_CURRENT_NETNS (-1)

/* What the kernel knows of a packet's connection. */
struct lb_tracked {
  __u32 status; /* enum ip_conntrack_status */
  __u8 tcp_state;
  bool reply;             /* the packet answers */
  __be16 port;            /* of who answers the connection, behind all translation */
  struct lb_addr address; /* likewise */
};

/* What to look for, and what was found; too large for the stack. */
struct lb_tracking {
  struct bpf_sock_tuple tuple;
  __u8 protocol;
  bool v6;
  struct lb_tracked found;
};

static __always_inline __u32 lb_sock_tuple(const union lb_tuple *t, bool v6,
                                           struct bpf_sock_tuple *tuple)
{
  if (v6) {
    lb_addr_copy(tuple->ipv6.saddr, t->v6.saddr);
    lb_addr_copy(tuple->ipv6.daddr, t->v6.daddr);
    tuple->ipv6.sport = t->v6.sport;
    tuple->ipv6.dport = t->v6.dport;
    return sizeof(tuple->ipv6);
  }
  tuple->ipv4.saddr = t->v4.saddr;
  tuple->ipv4.daddr = t->v4.daddr;
  tuple->ipv4.sport = t->v4.sport;
  tuple->ipv4.dport = t->v4.dport;
  return sizeof(tuple->ipv4);
}

/* Whether the kernel tracks a connection of the tuple in `t`: TCP and UDP only. Fills `t->found`.
 */
int lb_conntrack_find(struct __sk_buff *skb, struct lb_tracking *t);

static __always_inline bool lb_track(struct __sk_buff *skb, const union lb_tuple *key,
                                     __u8 protocol, bool v6, struct lb_tracking *t)
{
  lb_sock_tuple(key, v6, &t->tuple);
  t->protocol = protocol;
  t->v6 = v6;
  return lb_conntrack_find(skb, t);
}

#endif /* BPF_LB_CONNTRACK_H */

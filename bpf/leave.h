/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets that leave: replies of backends, and those of this node itself. */
#ifndef BPF_LB_LEAVE_H
#define BPF_LB_LEAVE_H

#include "continued.h"

/* Gives a packet that leaves the tuple w->to. */
static __always_inline int leave_as(struct __sk_buff *skb, struct lb_work *w, bool v6)
{
  if (w->packet.part == LB_FIRST_FRAGMENT)
    lb_fragment_keep(&w->packet, v6);
  return lb_rewrite(skb, &w->packet, &w->to, v6, w->address_delta, w->port_delta, false)
             ? LB_NEXT
             : drop(LB_COUNTER_DROP_MALFORMED);
}

/*
 * A packet of this node itself, or one that the stack has given its address: its tuple may be that
 * of a flow whose port was claimed before. Then it goes on from another port, as a flow of its own.
 * What has no socket becomes a flow in any case: no later claim could find it.
 */
static __always_inline int own(struct __sk_buff *skb, bool v6)
{
  const struct lb_settings *s = lb_settings();
  struct lb_work *w = lb_work();
  struct lb_packet *p;
  struct lb_addr from;
  __u32 now;
  bool pending;
  __u16 port;

  if (!s || !w)
    return LB_NEXT;
  p = &w->packet;
  port = bpf_ntohs(lb_sport(&p->tuple, v6));
  if (port < s->snat_port_min || port > s->snat_port_max ||
      !(lb_port_hints(bpf_ntohs(lb_dport(&p->tuple, v6))) & LB_PORT_FLOW))
    return LB_NEXT;
  if (continued(w, v6, false))
    return w->flags & LB_FLOW_HOST ? leave_as(skb, w, v6) : LB_NEXT;
  if (p->protocol == IPPROTO_TCP && (p->tcp_flags & (LB_TCP_SYN | LB_TCP_ACK)) != LB_TCP_SYN)
    return LB_NEXT;
  /* In shadow mode there are no flows to keep clear of. */
  if (s->flags & LB_SETTING_SHADOW)
    return LB_NEXT;
  now = lb_now();
  from = lb_source(&p->tuple, v6);
  if (!(lb_address_flags(&from, v6) & LB_ADDRESS_NODE))
    return LB_NEXT;
  lb_turn(&p->tuple, v6, &w->turned);
  if (skb->sk && !lb_flow_find(&w->turned, v6, now, &pending))
    return LB_NEXT;
  w->key = w->to = p->tuple;
  __builtin_memset(&w->flow, 0, sizeof(w->flow));
  w->flow.flags = LB_FLOW_HOST;
  w->flow.state = p->protocol == IPPROTO_UDP ? LB_FLOW_DATAGRAM : LB_FLOW_OPENING;
  w->flow.expires = now + lb_lifetime(s, w->flow.state);
  if (lb_flow_create(skb, w, v6, true, now, s) != LB_CREATED)
    return drop(LB_COUNTER_DROP_NO_PORT);
  if (!w->flow.port_delta)
    return LB_NEXT;
  lb_count(LB_COUNTER_HOST_FLOW_MOVED);
  w->address_delta = w->flow.address_delta;
  w->port_delta = w->flow.port_delta;
  return leave_as(skb, w, v6);
}

/* A packet that leaves: a reply of a backend on this node, if it is of a flow. */
static __always_inline int leave(struct __sk_buff *skb, bool v6)
{
  struct lb_work *w = lb_work();
  struct lb_packet *p;
  int verdict;

  if (!w)
    return LB_NEXT;
  p = &w->packet;
  verdict = parse(skb, v6, p);
  if (verdict != LB_NO_FLOW)
    return verdict;
  if (!(lb_port_hints(bpf_ntohs(lb_sport(&p->tuple, v6))) & LB_PORT_FLOW))
    return LB_NO_FLOW;
  if (!continued(w, v6, true) || w->flags & LB_FLOW_HOST)
    return LB_NO_FLOW;
  return leave_as(skb, w, v6);
}

#endif /* BPF_LB_LEAVE_H */

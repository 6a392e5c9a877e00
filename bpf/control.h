/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP and ICMPv6: echo requests to frontends, errors about packets of flows. */
#ifndef BPF_LB_CONTROL_H
#define BPF_LB_CONTROL_H

#include "first.h"
#include "icmp.h"

static __always_inline bool has_flow_port(const union lb_tuple *t, bool v6)
{
  return (lb_port_hints(bpf_ntohs(lb_dport(t, v6))) | lb_port_hints(bpf_ntohs(lb_sport(t, v6)))) &
         LB_PORT_FLOW;
}

/* Answers an echo request to an address of frontends, which nobody else has. */
static __always_inline int echo(struct __sk_buff *skb, struct lb_work *w, bool v6)
{
  struct lb_packet *p = &w->packet;
  struct lb_addr to = lb_destination(&p->tuple, v6);
  const struct lb_settings *s = lb_settings();
  /* As words of the sum: the type is the first byte of the message, the code is zero. */
  __be16 asked = bpf_htons((v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO) << 8);
  __be16 replied = bpf_htons((v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY) << 8);
  __u8 type = v6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY;
  __u32 delta = lb_sum((__u16)~asked, replied);
  __u32 flags;

  if (!s ||
      (s->flags & (LB_SETTING_ANSWER_ECHO | LB_SETTING_RELEASING | LB_SETTING_SHADOW)) !=
          LB_SETTING_ANSWER_ECHO ||
      !lb_network_has_frontends(&to, v6))
    return LB_NEXT;
  flags = lb_frontend_flags(&to, v6);
  if (!flags || lb_address_flags(&to, v6) & LB_ADDRESS_NODE)
    return LB_NEXT;
  if (flags == LB_FRONTEND_CLUSTER_IP && side_of(skb) == LB_SIDE_OUTSIDE)
    return drop(LB_COUNTER_DROP_CLUSTER_IP);
  lb_turn_packet(p, v6, &w->turned);
  /* The addresses change places, which leaves every sum over them as it was. */
  if (bpf_skb_store_bytes(skb, p->l4, &type, sizeof(type), 0) ||
      bpf_l4_csum_replace(skb, p->l4 + offsetof(struct lb_message, check), 0, delta, 0) ||
      !lb_rewrite_ip(skb, &w->turned, v6, 0, false) || !lb_renew(skb, p->ttl, v6))
    return drop(LB_COUNTER_DROP_MALFORMED);
  lb_count(LB_COUNTER_ECHO_ANSWERED);
  return lb_return(skb);
}

/* Translates an error about a packet of a flow. */
static __always_inline int error(struct __sk_buff *skb, struct lb_work *w, bool v6, bool leaving)
{
  struct lb_packet *p = &w->packet;
  struct lb_quote *q = &w->quote;
  /* The error's own addresses, afterwards. */
  union lb_tuple *outer = &w->turned;
  bool pending, redirect, renamed;
  struct lb_flow *flow;
  void *entry;

  if (!lb_quote_read(skb, p, v6, q) || !has_flow_port(&q->tuple, v6))
    return LB_NEXT;
  lb_turn(&q->tuple, v6, &w->key);
  entry = lb_flow_find(&w->key, v6, lb_now(), &pending);
  if (!entry)
    return LB_NEXT;
  flow = lb_flow_of(entry, v6);
  /* What leaves here was sent by a backend of this node; all else was translated when it came in.
   */
  if (leaving && !(flow->flags & LB_FLOW_REPLY))
    return LB_NEXT;
  lb_flow_target(entry, v6, &w->to);
  renamed = lb_error_renamed(p, flow, &w->key, &w->to, v6);
  *outer = p->tuple;
  if (v6) {
    if (renamed)
      lb_addr_copy(outer->v6.saddr, w->to.v6.saddr);
    lb_addr_copy(outer->v6.daddr, w->to.v6.daddr);
  } else {
    if (renamed)
      outer->v4.saddr = w->to.v4.saddr;
    outer->v4.daddr = w->to.v4.daddr;
  }
  redirect = !leaving && lb_routed(lb_route(skb, outer, v6, 0, 0, &w->fib));
  if (redirect && p->ttl <= 1)
    return drop(LB_COUNTER_DROP_TTL);
  lb_turn(&w->to, v6, &w->back);
  if (!lb_quote_write(skb, p, v6, q, &w->back, outer, redirect))
    return drop(LB_COUNTER_DROP_MALFORMED);
  lb_count(LB_COUNTER_ERROR_TRANSLATED);
  return redirect ? lb_send(skb, &w->fib) : LB_NEXT;
}

/* ICMP and ICMPv6, already parsed. */
static __always_inline int control(struct __sk_buff *skb, bool v6, bool leaving)
{
  struct lb_work *w = lb_work();
  struct lb_message message;

  if (!w || bpf_skb_load_bytes(skb, w->packet.l4, &message, sizeof(message)))
    return LB_NEXT;
  if (lb_is_error(message.type, v6))
    return error(skb, w, v6, leaving);
  if (!leaving && message.type == (v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO))
    return echo(skb, w, v6);
  return LB_NEXT;
}

#endif /* BPF_LB_CONTROL_H */

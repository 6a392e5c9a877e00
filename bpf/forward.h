/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all packets of flows go through: looked at, given another tuple, sent on. */
#ifndef BPF_LB_FORWARD_H
#define BPF_LB_FORWARD_H

#include "answer.h"
#include "flow.h"
#include "fragment.h"
#include "packet.h"
#include "route.h"
#include "work.h"

/* Not verdicts: what the next part has to look at. */
#define LB_NO_FLOW (-2)
#define LB_IS_CONTROL (-3)

static __always_inline int drop(enum lb_counter reason)
{
  lb_count(reason);
  return TC_ACT_SHOT;
}

/* Whether others serve connections to frontends, too: then what is not ours may be theirs. */
static __always_inline bool lb_shares(void)
{
  const struct lb_settings *s = lb_settings();

  return s && s->flags & (LB_SETTING_LEAVE_TRACKED | LB_SETTING_RELEASING | LB_SETTING_SHADOW);
}

/* Fills `p`. LB_NO_FLOW: with a tuple, go on; another value is what to return. */
static __always_inline int parse(struct __sk_buff *skb, bool v6, struct lb_packet *p)
{
  enum lb_parsed parsed;

  __builtin_memset(p, 0, sizeof(*p));
  parsed = lb_parse_ip(skb, v6, p);
  if (parsed == LB_CONTROL)
    return LB_IS_CONTROL;
  if (parsed == LB_IGNORED)
    return LB_NEXT;
  if (p->part == LB_LATER_FRAGMENT) {
    if (lb_fragment_find(p, v6))
      return LB_NO_FLOW;
    struct lb_addr to = lb_destination(&p->tuple, v6);

    /* To an address of this node it may be anyone's; to a frontend's, it has nowhere to go. */
    if (!lb_shares() && lb_network_has_frontends(&to, v6) && lb_frontend_flags(&to, v6) &&
        !(lb_address_flags(&to, v6) & LB_ADDRESS_NODE))
      return drop(LB_COUNTER_DROP_FRAGMENT);
    return LB_NEXT;
  }
  return lb_parse_transport(skb, v6, p) ? LB_NO_FLOW : LB_NEXT;
}

static __always_inline void take(struct lb_work *w, void *entry, bool v6)
{
  const struct lb_flow *flow = lb_flow_of(entry, v6);

  lb_flow_target(entry, v6, &w->to);
  w->address_delta = flow->address_delta;
  w->port_delta = flow->port_delta;
  w->flags = flow->flags;
}

/* Tells the sender why its packet cannot go on: it is too big, if there is an MTU, or too old. */
static __always_inline int complain(struct __sk_buff *skb, bool v6, __u32 mtu)
{
  struct lb_work *w = lb_work();

  if (!w)
    return TC_ACT_SHOT;
  return mtu ? lb_too_big(skb, w, v6, mtu) : lb_time_exceeded(skb, w, v6);
}

__noinline int LB_PART(complain4)(struct __sk_buff *skb, __u32 mtu)
{
  return complain(skb, false, mtu);
}

__noinline int LB_PART(complain6)(struct __sk_buff *skb, __u32 mtu)
{
  return complain(skb, true, mtu);
}

/* Gives a packet of a flow the tuple w->to and passes it on. */
static __always_inline int forward(struct __sk_buff *skb, struct lb_work *w, bool v6)
{
  struct lb_packet *p = &w->packet;
  long result = lb_route(skb, &w->to, v6, lb_wire_length(skb, p), 0, &w->fib);
  bool redirect = lb_routed(result);

  __u32 mtu = result == BPF_FIB_LKUP_RET_FRAG_NEEDED ? w->fib.mtu_result : 0;

  if (mtu || (redirect && p->ttl <= 1))
    return v6 ? LB_PART(complain6)(skb, mtu) : LB_PART(complain4)(skb, mtu);
  if (p->part == LB_FIRST_FRAGMENT)
    lb_fragment_keep(p, v6);
  if (!lb_rewrite(skb, p, &w->to, v6, w->address_delta, w->port_delta, redirect))
    return drop(LB_COUNTER_DROP_MALFORMED);
  /* Not routed: for a socket of this node, or for the stack to answer with an error. */
  return redirect ? lb_send(skb, &w->fib) : LB_NEXT;
}

#endif /* BPF_LB_FORWARD_H */

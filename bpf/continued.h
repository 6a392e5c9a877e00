/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets of flows that exist. */
#ifndef BPF_LB_CONTINUED_H
#define BPF_LB_CONTINUED_H

#include "choose.h"
#include "forward.h"
#include "snat.h"

/* Whether this packet changes nothing in its flow, and lb_flow_touch() has nothing to do. */
static __always_inline bool is_plain(const struct lb_packet *p, const struct lb_flow *flow,
                                     const struct lb_settings *s, __u32 now, __u8 epoch)
{
  if (p->tcp_flags & (LB_TCP_FIN | LB_TCP_RST | LB_TCP_SYN))
    return false;
  return flow->epoch == epoch && flow->expires == now + lb_lifetime(s, flow->state);
}

/* Whether the backend of the flow in hand, w->to, would still be given to its client. */
static __always_inline bool offered(bool v6)
{
  struct lb_work *w = lb_work();
  struct lb_addr backend;

  if (!w)
    return true;
  w->request.to = lb_destination(&w->packet.tuple, v6);
  w->request.port = lb_dport(&w->packet.tuple, v6);
  w->request.protocol = w->packet.protocol;
  backend = lb_destination(&w->to, v6);
  return lb_offers(&w->request, v6, w->flags & LB_FLOW_INSIDE, &backend, lb_dport(&w->to, v6),
                   &w->offer);
}

__noinline int LB_PART(offered4)(void) { return offered(false); }

__noinline int LB_PART(offered6)(void) { return offered(true); }

/*
 * Whether a first packet on the tuple of a flow begins another one: when that is closed, or when
 * its backend takes no new connections. Else it may be a duplicate, and goes the old way. When the
 * backend of a closed flow accepts a connection, its client has spoken to the backend itself.
 */
static __always_inline bool begins_anew(const struct lb_flow *flow, bool v6)
{
  if (flow->state == LB_FLOW_CLOSING)
    return true;
  if (flow->flags & (LB_FLOW_REPLY | LB_FLOW_HOST))
    return false;
  return !(v6 ? LB_PART(offered6)() : LB_PART(offered4)());
}

/*
 * Brings the flow of a packet up to date, and w->to with it. False when there is none, or when the
 * packet opens a connection anew on its tuple. `replies`: only flows from backends to clients.
 */
static __always_inline bool update(bool v6, bool pending, bool replies)
{
  const struct lb_settings *s = lb_settings();
  struct lb_work *w = lb_work();
  __u32 now = lb_now();
  const struct lb_packet *p;
  struct lb_flow *flow;
  void *entry;
  bool reply;

  if (!s || !w)
    return false;
  p = &w->packet;
  entry = lb_flow_lookup(&p->tuple, v6, pending);
  if (!entry)
    return false;
  flow = lb_flow_of(entry, v6);
  reply = flow->flags & LB_FLOW_REPLY;
  if (lb_is_over(flow->expires, now) || (replies && !reply))
    return false;
  take(w, entry, v6);
  if (p->protocol != IPPROTO_UDP) {
    if (p->tcp_flags & LB_TCP_SYN && begins_anew(flow, v6)) {
      lb_flow_end(flow, &p->tuple, &w->to, v6, pending);
      return false;
    }
    if (p->tcp_flags & (LB_TCP_FIN | LB_TCP_RST) ||
        (flow->state != LB_FLOW_CLOSING && flow->fin && flow->peer_fin))
      lb_flow_tcp(flow, &p->tuple, &w->to, v6, pending, p->tcp_flags);
  }
  if (pending && reply && !flow->replied)
    lb_flow_answered(flow, &p->tuple, &w->to, v6);
  if (pending && !reply && flow->replied && !(p->tcp_flags & LB_TCP_SYN)) {
    lb_flow_confirm(w, flow, v6, now, s);
    return true;
  }
  if (lb_flow_touch(w, flow, v6, pending, now, s))
    return true;
  lb_flow_delete(&p->tuple, v6, pending);
  return false;
}

__noinline int LB_PART(update4)(bool pending, bool replies)
{
  return update(false, pending, replies);
}

__noinline int LB_PART(update6)(bool pending, bool replies)
{
  return update(true, pending, replies);
}

/* The flow of a packet, if it has one: then w->to says what becomes of the packet. See update(). */
static __always_inline bool continued(struct lb_work *w, bool v6, bool replies)
{
  void *entry = lb_flow_lookup(&w->packet.tuple, v6, false);
  const struct lb_settings *s = lb_settings();
  __u32 now = lb_now();
  bool pending = true;

  if (entry && s) {
    const struct lb_flow *flow = lb_flow_of(entry, v6);

    if (!lb_is_over(flow->expires, now)) {
      if (is_plain(&w->packet, flow, s, now, lb_flow_epoch(s, v6))) {
        if (replies && !(flow->flags & LB_FLOW_REPLY))
          return false;
        take(w, entry, v6);
        return true;
      }
      pending = false;
    }
  }
  return v6 ? LB_PART(update6)(pending, replies) : LB_PART(update4)(pending, replies);
}

#endif /* BPF_LB_CONTINUED_H */

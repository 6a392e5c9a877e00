/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which packets to frontends are left to the stack, where somebody else translates them:
 * kube-proxy, before it was taken over from and after it was given back to.
 */
#ifndef BPF_LB_SHARE_H
#define BPF_LB_SHARE_H

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>

#include "first.h"
#include "shadow.h"

/* Whether the datagrams of a client are still answered by a backend that it may have. */
static __always_inline bool is_served(struct lb_work *w, bool v6, bool inside)
{
  const struct lb_tracked *tracked = &w->tracking.found;

  w->request.to = lb_destination(&w->packet.tuple, v6);
  w->request.port = lb_dport(&w->packet.tuple, v6);
  w->request.protocol = w->packet.protocol;
  return lb_offers(&w->request, v6, inside, &tracked->address, tracked->port, &w->offer);
}

/*
 * Whether the packet is of a connection that the kernel has been translating, or that a socket of
 * this node has answered, and that goes on. Nothing ends a UDP flow whose client keeps on asking:
 * it is left only as long as its backend is on offer.
 */
static __always_inline bool
is_others(struct __sk_buff *skb, struct lb_work *w, bool v6, bool inside)
{
  const struct lb_packet *p = &w->packet;
  const struct lb_tracked *tracked = &w->tracking.found;

  if (!lb_track(skb, &p->tuple, p->protocol, v6, &w->tracking))
    return false;
  if (tracked->reply)
    return true;
  if (p->protocol == IPPROTO_UDP)
    return is_served(w, v6, inside);
  if (!(tracked->status & (IPS_NAT_MASK | IPS_SEEN_REPLY)))
    return false;
  /* A client may use the port of a connection that is over for a new one. */
  return !(
      (p->tcp_flags & (LB_TCP_SYN | LB_TCP_ACK)) == LB_TCP_SYN &&
      (tracked->tcp_state == TCP_CONNTRACK_TIME_WAIT || tracked->tcp_state == TCP_CONNTRACK_CLOSE));
}

/* Whose packet it is that no flow of ours has. */
enum lb_owner {
  LB_OWNER_US,
  LB_OWNER_OTHERS,
  LB_OWNER_SHADOWED, /* others', but a first one, about which we would have to decide */
};

static __always_inline enum lb_owner owner_of(struct __sk_buff *skb, bool v6, bool inside)
{
  const struct lb_settings *s = lb_settings();
  struct lb_work *w = lb_work();
  bool shadow;

  if (!s || !w)
    return LB_OWNER_US;
  shadow = s->flags & LB_SETTING_SHADOW;
  if (!(s->flags & LB_SETTING_RELEASING)) {
    if (shadow && !begins_connection(&w->packet))
      return LB_OWNER_OTHERS;
    if (!(s->flags & LB_SETTING_LEAVE_TRACKED && is_others(skb, w, v6, inside)))
      return shadow ? LB_OWNER_SHADOWED : LB_OWNER_US;
    if (shadow)
      return LB_OWNER_OTHERS;
  }
  lb_count(LB_COUNTER_PACKET_LEFT);
  return LB_OWNER_OTHERS;
}

/* What we would have done with a packet, which goes on as it is. */
static __always_inline int
tell(struct __sk_buff *skb, bool v6, bool inside, enum lb_choice_result result)
{
  enum lb_side side = inside ? LB_SIDE_POD : LB_SIDE_OUTSIDE;
  const struct lb_settings *s = lb_settings();
  struct lb_work *w = lb_work();
  struct lb_decision decision;
  struct lb_addr client, to;
  enum lb_fate fate;

  if (!s || !w)
    return LB_NEXT;
  fate = settle(skb, w, v6, result, s->flags).fate;
  client = lb_source(&w->packet.tuple, v6);
  to = lb_destination(&w->packet.tuple, v6);
  lb_decision_fill(&decision, &to, lb_dport(&w->packet.tuple, v6), w->packet.protocol, side, fate,
                   result, &w->choice);
  lb_decision_tell(&decision, &client, lb_sport(&w->packet.tuple, v6));
  return LB_NEXT;
}

#endif /* BPF_LB_SHARE_H */

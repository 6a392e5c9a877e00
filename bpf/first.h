/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets of no flow: what they are told, or the flow that begins with them. */
#ifndef BPF_LB_FIRST_H
#define BPF_LB_FIRST_H

#include "choose.h"
#include "forward.h"
#include "masquerade.h"
#include "snat.h"
#include "verdict.h"

/* Whether a packet is addressed to this node itself. */
static __always_inline bool is_own(const struct lb_packet *p, bool v6)
{
  struct lb_addr to = lb_destination(&p->tuple, v6);

  return lb_address_flags(&to, v6) & LB_ADDRESS_NODE;
}

static __always_inline enum lb_side side_of(struct __sk_buff *skb)
{
  __u32 ifindex = skb->ifindex;
  const struct lb_device *device = bpf_map_lookup_elem(&devices, &ifindex);

  return device && device->role == LB_DEVICE_POD ? LB_SIDE_POD : LB_SIDE_OUTSIDE;
}

static __u64 draw(void *packet) { return lb_mix(bpf_get_prandom_u32()); }

static __always_inline bool client_of(void *packet, struct lb_addr *client, bool v6)
{
  *client = lb_source(&((struct lb_packet *)packet)->tuple, v6);
  return true;
}

static bool client4(void *packet, struct lb_addr *client)
{
  return client_of(packet, client, false);
}

static bool client6(void *packet, struct lb_addr *client)
{
  return client_of(packet, client, true);
}

static __u64 port4(void *packet) { return lb_sport(&((struct lb_packet *)packet)->tuple, false); }

static __u64 port6(void *packet) { return lb_sport(&((struct lb_packet *)packet)->tuple, true); }

/* Any datagram may. */
static __always_inline bool begins_connection(const struct lb_packet *p)
{
  return p->protocol == IPPROTO_UDP || (p->tcp_flags & (LB_TCP_SYN | LB_TCP_ACK)) == LB_TCP_SYN;
}

static __always_inline enum lb_choice_result choose(struct lb_work *w, bool v6, enum lb_side side)
{
  struct lb_asker asker = {
      .draw = draw, .client = v6 ? client6 : client4, .port = v6 ? port6 : port4};
  struct lb_packet *p = &w->packet;
  struct lb_request request = {
      .to = lb_destination(&p->tuple, v6),
      .port = lb_dport(&p->tuple, v6),
      .protocol = p->protocol,
      .hints = lb_port_hints(bpf_ntohs(lb_dport(&p->tuple, v6))),
      .again = !begins_connection(p),
  };

  return lb_choose(&request, v6, side, asker, p, &w->choice);
}

/* The first packet of a flow, or the first that we see. */
static __always_inline int begin(struct __sk_buff *skb, struct lb_work *w, bool v6, bool inside)
{
  const struct lb_settings *s = lb_settings();
  const struct lb_choice *choice = &w->choice;
  struct lb_packet *p = &w->packet;
  struct lb_addr client = lb_source(&p->tuple, v6), source = {};
  bool own_source = false;
  __u32 ifindex = 0, now = lb_now();

  if (!s)
    return LB_NEXT;
  w->key = w->to = p->tuple;
  if (v6) {
    lb_addr_copy(w->to.v6.daddr, choice->address.word);
    w->to.v6.dport = choice->port;
  } else {
    w->to.v4.daddr = choice->address.word[3];
    w->to.v4.dport = choice->port;
  }
  if (lb_masquerades(choice, &client, inside, s->flags) &&
      lb_route_out(skb, w, v6, &ifindex, &source) && bpf_map_lookup_elem(&devices, &ifindex)) {
    /* Through a device without programs no reply would be translated back: the client shows itself.
     */
    if (v6 ? !(source.word[0] | source.word[1] | source.word[2] | source.word[3]) : !source.word[3])
      return drop(LB_COUNTER_DROP_NO_SOURCE);
    own_source = true;
    if (v6)
      lb_addr_copy(w->to.v6.saddr, source.word);
    else
      w->to.v4.saddr = source.word[3];
  }
  __builtin_memset(&w->flow, 0, sizeof(w->flow));
  w->flow.service = choice->service;
  w->flow.state = p->protocol == IPPROTO_UDP ? LB_FLOW_DATAGRAM : LB_FLOW_OPENING;
  w->flow.expires = now + lb_lifetime(s, w->flow.state);
  w->flow.flags =
      (choice->flags & LB_SERVICE_LEAST ? LB_FLOW_COUNTED : 0) | (inside ? LB_FLOW_INSIDE : 0);
  switch (lb_flow_create(skb, w, v6, own_source, now, s)) {
  case LB_CREATED:
    lb_count(LB_COUNTER_FLOW_CREATED);
    w->address_delta = w->flow.address_delta;
    w->port_delta = w->flow.port_delta;
    return forward(skb, w, v6);
  case LB_EXISTS: {
    /* Another CPU was first with a packet of the same flow: its choice stands. */
    void *entry = lb_flow_lookup(&p->tuple, v6, true);

    if (!entry)
      return drop(LB_COUNTER_DROP_FLOW_FULL);
    take(w, entry, v6);
    return forward(skb, w, v6);
  }
  case LB_NO_PORT:
    return drop(LB_COUNTER_DROP_NO_PORT);
  default:
    return drop(LB_COUNTER_DROP_FLOW_FULL);
  }
}

/* What is to be done with a packet of no flow, which may be the first of one. */
static __always_inline int decide(bool v6, enum lb_side side)
{
  struct lb_work *w = lb_work();

  return w ? (int)choose(w, v6, side) : LB_NO_SERVICE;
}

static __always_inline int start(struct __sk_buff *skb, bool v6, bool inside)
{
  struct lb_work *w = lb_work();

  return w ? begin(skb, w, v6, inside) : LB_NEXT;
}

/* What becomes of a packet, whose address may be this node's own, or another station's after all.
 */
static __always_inline struct lb_verdict settle(struct __sk_buff *skb, struct lb_work *w, bool v6,
                                                enum lb_choice_result result, __u32 settings)
{
  struct lb_verdict verdict = {.fate = LB_FATE_PASS};

  if (lb_yields(result) && is_own(&w->packet, v6))
    return verdict;
  verdict = lb_packet_verdict(result, settings);
  /* What came from where that station would be does not go back. */
  if (verdict.fate == LB_FATE_UNROUTED)
    verdict.fate = lb_routed(lb_route(skb, &w->packet.tuple, v6, 0, 0, &w->fib)) &&
                           w->fib.ifindex != skb->ifindex
                       ? LB_FATE_PASS
                       : LB_FATE_DROP;
  return verdict;
}

/* A packet that is not translated: what a service, or the lack of one, says instead. */
static __always_inline int refuse(struct __sk_buff *skb, bool v6, enum lb_choice_result result)
{
  const struct lb_settings *s = lb_settings();
  struct lb_work *w = lb_work();
  struct lb_verdict verdict;

  if (!s || !w)
    return LB_NEXT;
  verdict = settle(skb, w, v6, result, s->flags);
  switch (verdict.fate) {
  case LB_FATE_REJECT:
    return lb_reject(skb, w, v6, verdict.counter);
  case LB_FATE_DROP:
    return drop(verdict.counter);
  default:
    return LB_NEXT;
  }
}

#endif /* BPF_LB_FIRST_H */

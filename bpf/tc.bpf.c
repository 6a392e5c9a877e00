// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The packet path. The ingress program of a selected device translates packets to frontends, and
 * the replies of backends, and sends them out itself; the egress program gives the replies of this
 * node's backends the frontend as their source. What is no service's is left to the next program.
 *
 * Compiled twice: tc_l3.bpf.c is the same for devices without link headers.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "answer.h"
#include "choose.h"
#include "fragment.h"
#include "icmp.h"
#include "masquerade.h"
#include "packet.h"
#include "route.h"
#include "snat.h"
#include "verdict.h"
#include "work.h"

#ifndef LB_INGRESS
#define LB_INGRESS bpf_lb_ingress
#define LB_EGRESS bpf_lb_egress
#define LB_PART(name) lb_##name
#endif

/* Not verdicts: what the next part has to look at. */
#define LB_NO_FLOW (-2)
#define LB_IS_CONTROL (-3)

static __always_inline int drop(enum lb_counter reason)
{
  lb_count(reason);
  return TC_ACT_SHOT;
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
    if (lb_network_has_frontends(&to, v6) && lb_frontend_flags(&to, v6) &&
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
      .again =
          p->protocol != IPPROTO_UDP && (p->tcp_flags & (LB_TCP_SYN | LB_TCP_ACK)) != LB_TCP_SYN,
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

static __always_inline bool has_flow_port(const union lb_tuple *t, bool v6)
{
  return (lb_port_hints(bpf_ntohs(lb_dport(t, v6))) | lb_port_hints(bpf_ntohs(lb_sport(t, v6)))) &
         LB_PORT_FLOW;
}

/*
 * A packet of a flow that exists. Cheap tests come before the tables: what backends send comes from
 * a port of theirs, and what clients send goes to an address of frontends, or of this node.
 */
static __always_inline int pass(struct __sk_buff *skb, bool v6)
{
  struct lb_work *w = lb_work();
  __u8 from, to, network;
  struct lb_addr address;
  int verdict;

  if (!w)
    return LB_NEXT;
  verdict = parse(skb, v6, &w->packet);
  if (verdict != LB_NO_FLOW)
    return verdict;
  address = lb_destination(&w->packet.tuple, v6);
  network = lb_network_hints(&address, v6);
  from = lb_port_hints(bpf_ntohs(lb_sport(&w->packet.tuple, v6)));
  to = lb_port_hints(bpf_ntohs(lb_dport(&w->packet.tuple, v6)));
  if ((from & LB_PORT_FLOW ||
       (to & LB_PORT_FLOW &&
        (to & LB_PORT_WILDCARD || network & (v6 ? LB_NETWORK_FLOW6 : LB_NETWORK_FLOW4) ||
         lb_address_flags(&address, v6)))) &&
      continued(w, v6, false))
    return forward(skb, w, v6);
  /* The rest is for services, if there may be one. */
  return to & LB_PORT_WILDCARD || network & (v6 ? LB_NETWORK_FRONTEND6 : LB_NETWORK_FRONTEND4)
             ? LB_NO_FLOW
             : LB_NEXT;
}

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

/* A packet that is not translated: what a service, or the lack of one, says instead. */
static __always_inline int refuse(struct __sk_buff *skb, bool v6, enum lb_choice_result result)
{
  const struct lb_settings *s = lb_settings();
  struct lb_work *w = lb_work();
  struct lb_verdict verdict;

  if (!s || !w)
    return LB_NEXT;
  if (lb_yields(result) && is_own(&w->packet, v6))
    return LB_NEXT;
  verdict = lb_packet_verdict(result, s->flags);
  switch (verdict.fate) {
  case LB_FATE_REJECT:
    return lb_reject(skb, w, v6, verdict.counter);
  case LB_FATE_UNROUTED:
    /* The address may be another station's after all; but what came from there does not go back. */
    if (lb_routed(lb_route(skb, &w->packet.tuple, v6, 0, 0, &w->fib)) &&
        w->fib.ifindex != skb->ifindex)
      return LB_NEXT;
    return drop(verdict.counter);
  case LB_FATE_DROP:
    return drop(verdict.counter);
  default:
    return LB_NEXT;
  }
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

  if (!s || !(s->flags & LB_SETTING_ANSWER_ECHO) || !lb_network_has_frontends(&to, v6))
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
  __u32 now = lb_now();
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

/*
 * Functions of their own, one after the other: all their variables would not fit on one stack. Not
 * static, so that the verifier looks at each of them once.
 */
__noinline int LB_PART(pass4)(struct __sk_buff *skb) { return pass(skb, false); }

__noinline int LB_PART(pass6)(struct __sk_buff *skb) { return pass(skb, true); }

__noinline int LB_PART(decide4)(bool inside)
{
  return inside ? decide(false, LB_SIDE_POD) : decide(false, LB_SIDE_OUTSIDE);
}

__noinline int LB_PART(decide6)(bool inside)
{
  return inside ? decide(true, LB_SIDE_POD) : decide(true, LB_SIDE_OUTSIDE);
}

__noinline int LB_PART(start4)(struct __sk_buff *skb, bool inside)
{
  return start(skb, false, inside);
}

__noinline int LB_PART(start6)(struct __sk_buff *skb, bool inside)
{
  return start(skb, true, inside);
}

__noinline int LB_PART(refuse4)(struct __sk_buff *skb, enum lb_choice_result result)
{
  return refuse(skb, false, result);
}

__noinline int LB_PART(refuse6)(struct __sk_buff *skb, enum lb_choice_result result)
{
  return refuse(skb, true, result);
}

__noinline int LB_PART(control4)(struct __sk_buff *skb, bool leaving)
{
  return control(skb, false, leaving);
}

__noinline int LB_PART(control6)(struct __sk_buff *skb, bool leaving)
{
  return control(skb, true, leaving);
}

__noinline int LB_PART(leave4)(struct __sk_buff *skb) { return leave(skb, false); }

__noinline int LB_PART(leave6)(struct __sk_buff *skb) { return leave(skb, true); }

__noinline int LB_PART(own4)(struct __sk_buff *skb) { return own(skb, false); }

__noinline int LB_PART(own6)(struct __sk_buff *skb) { return own(skb, true); }

/* A packet of no flow: the first of one, if it is for a service. */
static __always_inline int open(struct __sk_buff *skb, bool v6)
{
  bool inside = side_of(skb) == LB_SIDE_POD;
  int result = v6 ? LB_PART(decide6)(inside) : LB_PART(decide4)(inside);

  if (result == LB_NO_SERVICE)
    return LB_NEXT;
  if (result == LB_CHOSEN)
    return v6 ? LB_PART(start6)(skb, inside) : LB_PART(start4)(skb, inside);
  return v6 ? LB_PART(refuse6)(skb, result) : LB_PART(refuse4)(skb, result);
}

/* A tag that the device took off belongs to a VLAN device, which has programs of its own. */
SEC("tcx/ingress")
int LB_INGRESS(struct __sk_buff *skb)
{
  int verdict;

  /* A device that listens to all shows frames that are for others. */
  if (skb->vlan_present || skb->pkt_type != PACKET_HOST)
    return LB_NEXT;
  /* Where it was sent from this machine, its way begins anew. */
  if (skb->tc_index == LB_TRANSLATED)
    skb->tc_index = 0;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    verdict = LB_PART(pass4)(skb);
    return verdict == LB_NO_FLOW      ? open(skb, false)
           : verdict == LB_IS_CONTROL ? LB_PART(control4)(skb, false)
                                      : verdict;
  }
  if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    verdict = LB_PART(pass6)(skb);
    return verdict == LB_NO_FLOW      ? open(skb, true)
           : verdict == LB_IS_CONTROL ? LB_PART(control6)(skb, false)
                                      : verdict;
  }
  return LB_NEXT;
}

SEC("tcx/egress")
int LB_EGRESS(struct __sk_buff *skb)
{
  int verdict;

  /* The mark stays on: others of our programs may follow, of another LoadBalancer. */
  if (skb->tc_index == LB_TRANSLATED || skb->vlan_present)
    return LB_NEXT;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    verdict = LB_PART(leave4)(skb);
    return verdict == LB_NO_FLOW      ? LB_PART(own4)(skb)
           : verdict == LB_IS_CONTROL ? LB_PART(control4)(skb, true)
                                      : verdict;
  }
  if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    verdict = LB_PART(leave6)(skb);
    return verdict == LB_NO_FLOW      ? LB_PART(own6)(skb)
           : verdict == LB_IS_CONTROL ? LB_PART(control6)(skb, true)
                                      : verdict;
  }
  return LB_NEXT;
}

char _license[] SEC("license") = "Dual BSD/GPL";

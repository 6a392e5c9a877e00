/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * New flows, and the source ports that tell them apart. The reply's entry is the claim on a port:
 * whoever stores it first owns the port towards that backend, and no other table of ports exists.
 */
#ifndef BPF_LB_SNAT_H
#define BPF_LB_SNAT_H

#include "flow.h"
#include "limit.h"
#include "random.h"
#include "work.h"

#define LB_PORT_TRIES 32
#define LB_EVENTS_PER_SECOND 10

/* Steps of the walk that all searches for a port share. */
static __u64 lb_walked;

/*
 * The next port of the window to be tried. The first one is random, which is all that it takes in a
 * window that is not full. Then the walk goes on where the search before ended: its step is prime
 * to the window's size, so that it meets every port before it repeats one, and finds the last that
 * is free.
 */
static __always_inline __be16 lb_window_port(const struct lb_settings *s, bool first)
{
  __u32 size = (__u32)s->snat_port_max - s->snat_port_min + 1;
  __u32 at = first ? lb_below(bpf_get_prandom_u32(), size)
                   : (__u32)(__sync_fetch_and_add(&lb_walked, 1) * s->snat_step % size);

  return bpf_htons((__u16)(s->snat_port_min + at));
}

/*
 * Whether a socket of this node would take packets from the backend to the claimed port. Asked
 * after the port was claimed: a socket that comes later finds the claim (own() in leave.h).
 */
static __always_inline bool
lb_port_has_socket(struct __sk_buff *skb, const union lb_tuple *reply, __u8 protocol, bool v6)
{
  struct bpf_sock_tuple tuple = {};
  __u32 size = lb_sock_tuple(reply, v6, &tuple);
  struct bpf_sock *sk;

  if (protocol == IPPROTO_TCP)
    sk = bpf_skc_lookup_tcp(skb, &tuple, size, LB_CURRENT_NETNS, 0);
  else if (protocol == IPPROTO_UDP)
    sk = bpf_sk_lookup_udp(skb, &tuple, size, LB_CURRENT_NETNS, 0);
  else
    return false;
  if (!sk)
    return false;
  bpf_sk_release(sk);
  return true;
}

static __always_inline void lb_set_sport(union lb_tuple *t, __be16 port, bool v6)
{
  if (v6)
    t->v6.sport = port;
  else
    t->v4.sport = port;
}

/* Tells the library that a client could not be given a port. */
static __noinline int
lb_report_no_port(const union lb_tuple *key, const union lb_tuple *to, bool v6)
{
  struct lb_addr client = lb_source(key, v6), source = lb_source(to, v6);
  struct lb_addr backend = lb_destination(to, v6);
  struct lb_event *event;

  if (!lb_allowed(LB_LIMIT_EVENT, LB_EVENTS_PER_SECOND, LB_EVENTS_PER_SECOND))
    return 0;
  event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event)
    return 0;
  __builtin_memset(event, 0, sizeof(*event));
  event->kind = LB_EVENT_NO_PORT;
  event->protocol = v6 ? key->v6.protocol : key->v4.protocol;
  lb_addr_copy(event->client, client.word);
  lb_addr_copy(event->source, source.word);
  lb_addr_copy(event->backend, backend.word);
  event->client_port = lb_sport(key, v6);
  event->backend_port = lb_dport(to, v6);
  bpf_ringbuf_submit(event, 0);
  return 0;
}

enum lb_create_result { LB_CREATED, LB_EXISTS, LB_NO_PORT, LB_FULL };

/* The search for a port that is free. */
struct lb_port_search {
  struct __sk_buff *skb;
  struct lb_work *w;
  const struct lb_settings *settings;
  __u32 now;
  __u32 own_port;  /* 1: the client's own port may be tried, and is first */
  bool own_source; /* sockets of this node may be in the way */
  bool claimed;
};

/* Whether the replies would be taken for those of a connection that is left to the kernel. */
static __always_inline bool lb_port_is_tracked(struct lb_port_search *search, bool v6)
{
  struct lb_work *w = search->w;

  return search->settings->flags & LB_SETTING_LEAVE_TRACKED &&
         lb_track(search->skb, &w->turned, w->packet.protocol, v6, &w->tracking);
}

static __always_inline long lb_try_port(__u32 i, struct lb_port_search *search, bool v6)
{
  struct lb_work *w = search->w;

  if (i >= search->own_port)
    lb_set_sport(&w->to, lb_window_port(search->settings, i == search->own_port), v6);
  w->flow.port_delta = 0;
  if (lb_ports_word(&w->key, v6) != lb_ports_word(&w->to, v6))
    w->flow.port_delta = lb_port_delta(&w->key, &w->to, v6);
  lb_turn(&w->to, v6, &w->turned);
  lb_flow_reversed(&w->flow, &w->reversed);
  if (!lb_flow_claim(&w->turned, &w->back, &w->reversed, v6, search->now))
    return 0;
  /* The first port of a connection of this node is that of its own socket. */
  if (search->own_source && (i > 0 || !(w->flow.flags & LB_FLOW_HOST)) &&
      (lb_port_has_socket(search->skb, &w->turned, w->packet.protocol, v6) ||
       lb_port_is_tracked(search, v6))) {
    lb_flow_delete(&w->turned, v6, true);
    return 0;
  }
  search->claimed = true;
  return 1;
}

static long lb_try_port4(__u32 i, void *search) { return lb_try_port(i, search, false); }

static long lb_try_port6(__u32 i, void *search) { return lb_try_port(i, search, true); }

/*
 * Makes both entries of the new flow w->flow: from w->key to w->to, and the reply back; in `to` the
 * source port is the one that was found. The client's own port comes first: where nothing clashes,
 * it stays as it is. With `own_source` the flow leaves with an address of this node.
 */
static __always_inline enum lb_create_result
lb_flow_create(struct __sk_buff *skb, struct lb_work *w, bool v6, bool own_source, __u32 now,
               const struct lb_settings *s)
{
  __u16 wanted = bpf_ntohs(lb_sport(&w->key, v6));
  struct lb_port_search search = {
      .skb = skb,
      .w = w,
      .settings = s,
      .now = now,
      .own_port = !own_source || (wanted >= s->snat_port_min && wanted <= s->snat_port_max),
      .own_source = own_source,
  };

  lb_turn(&w->key, v6, &w->back);
  w->flow.address_delta = lb_address_delta(&w->key, &w->to, v6);
  bpf_loop(LB_PORT_TRIES, v6 ? lb_try_port6 : lb_try_port4, &search, 0);
  if (!search.claimed) {
    lb_report_no_port(&w->key, &w->to, v6);
    return LB_NO_PORT;
  }
  if (lb_flow_claim(&w->key, &w->to, &w->flow, v6, now))
    return LB_CREATED;
  lb_flow_delete(&w->turned, v6, true);
  return lb_flow_lookup(&w->key, v6, true) ? LB_EXISTS : LB_FULL;
}

#endif /* BPF_LB_SNAT_H */

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows: the decision about a connection, kept as two entries, one per direction. An entry holds
 * the tuple that a packet must have afterwards, so that an established packet costs one lookup and
 * no decision.
 *
 * The two entries name each other: the key of one is the other's `to`, turned round. Nothing walks
 * the table; an entry whose time is over is as good as absent and is taken over in place.
 *
 * A new flow is pending, in a table of its own. It is confirmed, and moves, with the first packet
 * that the client sends after the backend has answered.
 */
#ifndef BPF_LB_FLOW_H
#define BPF_LB_FLOW_H

#include "clock.h"
#include "load.h"
#include "maps.h"
#include "rewrite.h"
#include "work.h"

static __always_inline __u32 lb_lifetime(const struct lb_settings *s, __u8 state)
{
  switch (state) {
  case LB_FLOW_ESTABLISHED:
    return s->flow_established;
  case LB_FLOW_HALF_CLOSED:
    return s->flow_half_closed;
  case LB_FLOW_CLOSING:
    return s->flow_closing;
  case LB_FLOW_DATAGRAM:
    return s->flow_datagram;
  default:
    return s->flow_opening;
  }
}

static __always_inline __u32 *lb_flow_stores(bool v6)
{
  __u32 index = v6;

  return bpf_map_lookup_elem(&flow_stores, &index);
}

/*
 * The time of a table, which passes as it is given new entries: in eight epochs all old ones would
 * have gone that nobody has used.
 */
static __always_inline __u8 lb_flow_epoch(const struct lb_settings *s, bool v6)
{
  const __u32 *stores = lb_flow_stores(v6);

  return stores ? (__u8)(*stores >> (s->flow_epoch_shift & 31)) : 0;
}

static __always_inline void *lb_flow_lookup(const union lb_tuple *key, bool v6, bool pending)
{
  if (v6)
    return pending ? bpf_map_lookup_elem(&pending6, &key->v6)
                   : bpf_map_lookup_elem(&flows6, &key->v6);
  return pending ? bpf_map_lookup_elem(&pending4, &key->v4)
                 : bpf_map_lookup_elem(&flows4, &key->v4);
}

static __always_inline struct lb_flow *lb_flow_of(void *entry, bool v6)
{
  return v6 ? &((struct lb_flow6 *)entry)->flow : &((struct lb_flow4 *)entry)->flow;
}

static __always_inline void lb_flow_target(const void *entry, bool v6, union lb_tuple *to)
{
  if (v6)
    to->v6 = ((const struct lb_flow6 *)entry)->to;
  else
    to->v4 = ((const struct lb_flow4 *)entry)->to;
}

static __always_inline void lb_turn(const union lb_tuple *t, bool v6, union lb_tuple *turned)
{
  __builtin_memset(turned, 0, sizeof(*turned));
  if (v6) {
    lb_addr_copy(turned->v6.saddr, t->v6.daddr);
    lb_addr_copy(turned->v6.daddr, t->v6.saddr);
    turned->v6.sport = t->v6.dport;
    turned->v6.dport = t->v6.sport;
    turned->v6.protocol = t->v6.protocol;
  } else {
    turned->v4.saddr = t->v4.daddr;
    turned->v4.daddr = t->v4.saddr;
    turned->v4.sport = t->v4.dport;
    turned->v4.dport = t->v4.sport;
    turned->v4.protocol = t->v4.protocol;
  }
}

static __always_inline long
lb_flow_store(const union lb_tuple *key, const union lb_tuple *to, const struct lb_flow *flow,
              bool v6, bool pending, __u64 flags)
{
  if (v6) {
    struct lb_flow6 entry = {.to = to->v6, .flow = *flow};

    return pending ? lb_lru_store(&pending6, &key->v6, &entry, flags)
                   : lb_lru_store(&flows6, &key->v6, &entry, flags);
  }
  struct lb_flow4 entry = {.to = to->v4, .flow = *flow};

  return pending ? lb_lru_store(&pending4, &key->v4, &entry, flags)
                 : lb_lru_store(&flows4, &key->v4, &entry, flags);
}

static __always_inline void lb_flow_delete(const union lb_tuple *key, bool v6, bool pending)
{
  if (v6 && pending)
    bpf_map_delete_elem(&pending6, &key->v6);
  else if (v6)
    bpf_map_delete_elem(&flows6, &key->v6);
  else if (pending)
    bpf_map_delete_elem(&pending4, &key->v4);
  else
    bpf_map_delete_elem(&flows4, &key->v4);
}

/* The entry of a flow that lives, in either table. */
static __always_inline void *
lb_flow_find(const union lb_tuple *key, bool v6, __u32 now, bool *pending)
{
  void *entry = lb_flow_lookup(key, v6, false);

  *pending = false;
  if (entry && !lb_is_over(lb_flow_of(entry, v6)->expires, now))
    return entry;
  *pending = true;
  entry = lb_flow_lookup(key, v6, true);
  return entry && !lb_is_over(lb_flow_of(entry, v6)->expires, now) ? entry : NULL;
}

/*
 * Stores a pending entry unless a living one has the key. Two CPUs that find the same dead entry
 * are told apart by who gets to move its time.
 */
static __always_inline bool lb_flow_claim(const union lb_tuple *key, const union lb_tuple *to,
                                          const struct lb_flow *flow, bool v6, __u32 now)
{
  void *entry = lb_flow_lookup(key, v6, false);
  struct lb_flow *old;
  __u32 expires;

  if (entry && !lb_is_over(lb_flow_of(entry, v6)->expires, now))
    return false;
  if (lb_flow_store(key, to, flow, v6, true, BPF_NOEXIST) == 0)
    return true;
  entry = lb_flow_lookup(key, v6, true);
  if (!entry)
    return false;
  old = lb_flow_of(entry, v6);
  expires = old->expires;
  if (!lb_is_over(expires, now) ||
      __sync_val_compare_and_swap(&old->expires, expires, flow->expires) != expires)
    return false;
  return lb_flow_store(key, to, flow, v6, true, BPF_ANY) == 0;
}

static __always_inline bool
lb_tuple_equal(const union lb_tuple *a, const union lb_tuple *b, bool v6)
{
  if (v6)
    return lb_addr_equal(a->v6.saddr, b->v6.saddr) && lb_addr_equal(a->v6.daddr, b->v6.daddr) &&
           a->v6.sport == b->v6.sport && a->v6.dport == b->v6.dport;
  return a->v4.saddr == b->v4.saddr && a->v4.daddr == b->v4.daddr && a->v4.sport == b->v4.sport &&
         a->v4.dport == b->v4.dport;
}

enum lb_peer_result { LB_PEER, LB_PEER_MISSING, LB_PEER_FOREIGN };

/*
 * The other entry of the flow from `key` to `to`. Either may have been evicted without the other,
 * and its key taken by another flow: it is ours only if it leads back.
 */
static __always_inline enum lb_peer_result
lb_flow_peer(const union lb_tuple *key, const union lb_tuple *to, bool v6, bool pending,
             struct lb_flow **peer)
{
  union lb_tuple turned, peer_to;
  void *entry;

  lb_turn(to, v6, &turned);
  entry = lb_flow_lookup(&turned, v6, pending);
  if (!entry)
    return LB_PEER_MISSING;
  lb_turn(key, v6, &turned);
  lb_flow_target(entry, v6, &peer_to);
  if (!lb_tuple_equal(&peer_to, &turned, v6))
    return LB_PEER_FOREIGN;
  *peer = lb_flow_of(entry, v6);
  return LB_PEER;
}

/* The flow as its other direction sees it. */
static __always_inline void lb_flow_reversed(const struct lb_flow *flow, struct lb_flow *reversed)
{
  *reversed = *flow;
  reversed->flags ^= LB_FLOW_REPLY;
  reversed->fin = flow->peer_fin;
  reversed->peer_fin = flow->fin;
  /* The differences are these, negated: in one's complement, inverted. */
  reversed->address_delta = ~flow->address_delta;
  /* No difference stays none: it means that there is nothing to do. */
  reversed->port_delta = flow->port_delta ? ~flow->port_delta : 0;
}

/* The backend, from either direction. */
static __always_inline struct lb_load *
lb_flow_load(const struct lb_flow *flow, const union lb_tuple *key, const union lb_tuple *to,
             bool v6, bool create)
{
  bool reply = flow->flags & LB_FLOW_REPLY;
  struct lb_addr backend = reply ? lb_source(key, v6) : lb_destination(to, v6);
  __be16 port = reply ? lb_sport(key, v6) : lb_dport(to, v6);

  return lb_load_find(backend.word, port, v6 ? key->v6.protocol : key->v4.protocol, create);
}

static __always_inline struct lb_calendar *lb_flow_calendar(struct lb_load *load, __u8 state)
{
  return state == LB_FLOW_DATAGRAM ? &load->datagrams : &load->streams;
}

/* Moves a counted flow to the period in which it now ends. The forward entry says who was first. */
static __noinline int
lb_flow_recount(struct lb_flow *forward, struct lb_flow *reply, struct lb_load *load, __u32 period)
{
  __u32 was = forward->period;
  struct lb_calendar *calendar;

  if (!forward || !reply || !load)
    return 0;
  if (__sync_val_compare_and_swap(&forward->period, was, period) != was)
    return 0;
  reply->period = period;
  calendar = lb_flow_calendar(load, forward->state);
  lb_calendar_add(calendar, period);
  lb_calendar_remove(calendar, was);
  return 0;
}

/*
 * Keeps both directions alive, and both there: once a second and once an epoch the other entry is
 * looked at, so that an LRU that needs room sees both used when one is. False when another flow has
 * its key: then this flow is over.
 */
static __always_inline bool lb_flow_touch(struct lb_work *w, struct lb_flow *flow, bool v6,
                                          bool pending, __u32 now, const struct lb_settings *s)
{
  const union lb_tuple *key = &w->packet.tuple, *to = &w->to;
  __u32 expires = now + lb_lifetime(s, flow->state);
  __u8 epoch = lb_flow_epoch(s, v6);
  struct lb_flow *peer;

  if (flow->expires == expires && flow->epoch == epoch)
    return true;
  flow->expires = expires;
  flow->epoch = epoch;
  switch (lb_flow_peer(key, to, v6, pending, &peer)) {
  case LB_PEER:
    peer->expires = expires;
    peer->epoch = epoch;
    if (!pending && flow->flags & LB_FLOW_COUNTED) {
      __u32 period = lb_load_period(s, flow->state == LB_FLOW_DATAGRAM, expires);
      struct lb_load *load;

      if (flow->period != period) {
        load = lb_flow_load(flow, key, to, v6, true);
        if (load && flow->flags & LB_FLOW_REPLY)
          lb_flow_recount(peer, flow, load, period);
        else if (load)
          lb_flow_recount(flow, peer, load, period);
      }
    }
    return true;
  case LB_PEER_FOREIGN:
    return false;
  case LB_PEER_MISSING:
    break;
  }
  lb_turn(to, v6, &w->turned);
  if (!pending) {
    void *claim = lb_flow_lookup(&w->turned, v6, true);

    if (claim && !lb_is_over(lb_flow_of(claim, v6)->expires, now))
      return false;
  }
  lb_turn(key, v6, &w->back);
  lb_flow_reversed(flow, &w->reversed);
  if (lb_flow_store(&w->turned, &w->back, &w->reversed, v6, pending, BPF_NOEXIST))
    return false;
  lb_count(LB_COUNTER_FLOW_REPAIRED);
  return true;
}

/* A flow that is as good as over. Only confirmed ones have been counted. */
static __always_inline void lb_flow_discount(struct lb_flow *flow, const union lb_tuple *key,
                                             const union lb_tuple *to, bool v6, bool pending)
{
  struct lb_load *load;

  if (!(flow->flags & LB_FLOW_COUNTED))
    return;
  flow->flags &= ~LB_FLOW_COUNTED;
  if (pending)
    return;
  load = lb_flow_load(flow, key, to, v6, false);
  if (load)
    lb_calendar_remove(lb_flow_calendar(load, flow->state), flow->period);
}

/* What TCP flags change, in both entries. Rare, so it may cost a second lookup. */
static __always_inline void
lb_flow_tcp(struct lb_flow *flow, const union lb_tuple *key, const union lb_tuple *to, bool v6,
            bool pending, __u8 tcp_flags)
{
  struct lb_flow *peer = NULL;
  __u8 state = flow->state;

  if (tcp_flags & LB_TCP_FIN)
    flow->fin = 1;
  if (tcp_flags & LB_TCP_RST || (flow->fin && flow->peer_fin))
    state = LB_FLOW_CLOSING;
  else if (flow->fin || flow->peer_fin)
    state = LB_FLOW_HALF_CLOSED;
  if (state == flow->state && !(tcp_flags & LB_TCP_FIN))
    return;
  if (state == LB_FLOW_CLOSING)
    lb_flow_discount(flow, key, to, v6, pending);
  flow->state = state;
  if (lb_flow_peer(key, to, v6, pending, &peer) != LB_PEER)
    return;
  peer->state = state;
  peer->peer_fin = flow->fin;
  if (state == LB_FLOW_CLOSING)
    peer->flags &= ~LB_FLOW_COUNTED;
}

/* Ends a flow, and frees the source port that its reply entry claims. */
static __always_inline void lb_flow_end(struct lb_flow *flow, const union lb_tuple *key,
                                        const union lb_tuple *to, bool v6, bool pending)
{
  union lb_tuple peer_key;
  struct lb_flow *peer;

  lb_flow_discount(flow, key, to, v6, pending);
  if (lb_flow_peer(key, to, v6, pending, &peer) == LB_PEER) {
    lb_turn(to, v6, &peer_key);
    lb_flow_delete(&peer_key, v6, pending);
  }
  lb_flow_delete(key, v6, pending);
}

/* The backend has answered: both entries know it. */
static __always_inline void
lb_flow_answered(struct lb_flow *flow, const union lb_tuple *key, const union lb_tuple *to, bool v6)
{
  struct lb_flow *peer;

  flow->replied = 1;
  if (lb_flow_peer(key, to, v6, true, &peer) == LB_PEER)
    peer->replied = 1;
}

/*
 * Moves a pending flow, whose client has come back, to the others. What it leaves behind is over at
 * once, and need not be deleted.
 */
static __always_inline void lb_flow_confirm(struct lb_work *w, struct lb_flow *flow, bool v6,
                                            __u32 now, const struct lb_settings *s)
{
  const union lb_tuple *key = &w->packet.tuple, *to = &w->to;
  struct lb_flow *confirmed = &w->flow, *peer;
  __u32 *stores = lb_flow_stores(v6);

  *confirmed = *flow;
  if (confirmed->state == LB_FLOW_OPENING)
    confirmed->state = LB_FLOW_ESTABLISHED;
  confirmed->expires = now + lb_lifetime(s, confirmed->state);
  confirmed->epoch = lb_flow_epoch(s, v6);
  if (confirmed->flags & LB_FLOW_COUNTED) {
    struct lb_load *load = lb_flow_load(confirmed, key, to, v6, true);

    confirmed->period = lb_load_period(s, confirmed->state == LB_FLOW_DATAGRAM, confirmed->expires);
    if (load)
      lb_calendar_add(lb_flow_calendar(load, confirmed->state), confirmed->period);
  }
  lb_flow_reversed(confirmed, &w->reversed);
  lb_turn(to, v6, &w->turned);
  lb_turn(key, v6, &w->back);
  /* The reply first: it is the claim on the source port. */
  if (lb_flow_store(&w->turned, &w->back, &w->reversed, v6, false, BPF_ANY))
    return;
  if (lb_flow_store(key, to, confirmed, v6, false, BPF_ANY)) {
    lb_flow_delete(&w->turned, v6, false);
    return;
  }
  if (stores)
    __sync_fetch_and_add(stores, 2);
  if (lb_flow_peer(key, to, v6, true, &peer) == LB_PEER)
    peer->expires = now - 1;
  flow->expires = now - 1;
  lb_count(LB_COUNTER_FLOW_CONFIRMED);
}

#endif /* BPF_LB_FLOW_H */

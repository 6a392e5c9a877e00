/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows: the decision about a connection, kept as two entries, one per direction. An entry holds
 * the tuple that a packet must have afterwards, so that an established packet costs one lookup and
 * no decision.
 *
 * The two entries name each other: the key of one is the other's `to`, turned round. Nothing walks
 * the table; an entry whose time is over is as good as absent and is taken over in place.
 */
#ifndef BPF_LB_FLOW_H
#define BPF_LB_FLOW_H

#include "maps.h"
#include "packet.h"
#include "service.h"

#define LB_NS_PER_SECOND 1000000000ull
#define LB_PORT_TRIES 32

static __always_inline __u32 lb_now(void)
{
  return (__u32)(bpf_ktime_get_coarse_ns() / LB_NS_PER_SECOND);
}

static __always_inline bool lb_expired(const struct lb_flow *flow, __u32 now)
{
  return (__s32)(now - flow->expires) > 0;
}

static __always_inline __u32 lb_lifetime(const struct lb_settings *s, __u8 state)
{
  switch (state) {
  case LB_FLOW_ESTABLISHED:
    return s->flow_established;
  case LB_FLOW_CLOSING:
    return s->flow_closing;
  case LB_FLOW_DATAGRAM:
    return s->flow_datagram;
  default:
    return s->flow_opening;
  }
}

static __always_inline void *lb_flow_lookup(const union lb_tuple *key, bool v6)
{
  return v6 ? bpf_map_lookup_elem(&flows6, &key->v6) : bpf_map_lookup_elem(&flows4, &key->v4);
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

static __always_inline long lb_flow_store(const union lb_tuple *key, const union lb_tuple *to,
                                          const struct lb_flow *flow, bool v6, __u64 flags)
{
  if (v6) {
    struct lb_flow6 entry = {.to = to->v6, .flow = *flow};

    return bpf_map_update_elem(&flows6, &key->v6, &entry, flags);
  }
  struct lb_flow4 entry = {.to = to->v4, .flow = *flow};

  return bpf_map_update_elem(&flows4, &key->v4, &entry, flags);
}

static __always_inline void lb_flow_delete(const union lb_tuple *key, bool v6)
{
  if (v6)
    bpf_map_delete_elem(&flows6, &key->v6);
  else
    bpf_map_delete_elem(&flows4, &key->v4);
}

/*
 * Stores the entry unless a living one has the key. Two CPUs that find the same dead entry are told
 * apart by who gets to move its time.
 */
static __always_inline bool lb_flow_claim(const union lb_tuple *key, const union lb_tuple *to,
                                          const struct lb_flow *flow, bool v6, __u32 now)
{
  struct lb_flow *old;
  void *entry;
  __u32 expires;

  if (lb_flow_store(key, to, flow, v6, BPF_NOEXIST) == 0)
    return true;
  entry = lb_flow_lookup(key, v6);
  if (!entry)
    return false;
  old = lb_flow_of(entry, v6);
  expires = old->expires;
  if ((__s32)(now - expires) <= 0 ||
      __sync_val_compare_and_swap(&old->expires, expires, flow->expires) != expires)
    return false;
  return lb_flow_store(key, to, flow, v6, BPF_ANY) == 0;
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
lb_flow_peer(const union lb_tuple *key, const union lb_tuple *to, bool v6, struct lb_flow **peer)
{
  union lb_tuple peer_key, back, peer_to;
  void *entry;

  lb_turn(to, v6, &peer_key);
  entry = lb_flow_lookup(&peer_key, v6);
  if (!entry)
    return LB_PEER_MISSING;
  lb_turn(key, v6, &back);
  lb_flow_target(entry, v6, &peer_to);
  if (!lb_tuple_equal(&peer_to, &back, v6))
    return LB_PEER_FOREIGN;
  *peer = lb_flow_of(entry, v6);
  return LB_PEER;
}

/*
 * Keeps both directions alive, and both there: the other entry is looked at once a second at most.
 * False when another flow has its key: then this flow is over.
 */
static __always_inline bool
lb_flow_touch(struct lb_flow *flow, const union lb_tuple *key, const union lb_tuple *to, bool v6,
              __u32 now, const struct lb_settings *s)
{
  __u32 expires = now + lb_lifetime(s, flow->state);
  union lb_tuple peer_key, back;
  struct lb_flow *peer, again;

  if (flow->expires == expires)
    return true;
  flow->expires = expires;
  switch (lb_flow_peer(key, to, v6, &peer)) {
  case LB_PEER:
    peer->expires = expires;
    return true;
  case LB_PEER_FOREIGN:
    return false;
  case LB_PEER_MISSING:
    break;
  }
  lb_turn(to, v6, &peer_key);
  lb_turn(key, v6, &back);
  again = *flow;
  again.flags ^= LB_FLOW_REPLY;
  again.fin = flow->peer_fin;
  again.peer_fin = flow->fin;
  /* The differences of the other direction are these, negated: in one's complement, inverted. */
  again.address_delta = ~flow->address_delta;
  again.port_delta = ~flow->port_delta;
  lb_count(LB_COUNTER_FLOW_REPAIRED);
  return lb_flow_store(&peer_key, &back, &again, v6, BPF_NOEXIST) == 0;
}

/* What TCP flags change, in both entries. Rare, so it may cost a second lookup. */
static __always_inline void lb_flow_tcp(struct lb_flow *flow, const union lb_tuple *key,
                                        const union lb_tuple *to, bool v6, __u8 tcp_flags)
{
  struct lb_flow *peer = NULL;
  __u8 state = flow->state;

  if (tcp_flags & LB_TCP_FIN)
    flow->fin = 1;
  if (tcp_flags & LB_TCP_RST || (flow->fin && flow->peer_fin))
    state = LB_FLOW_CLOSING;
  else if (state == LB_FLOW_OPENING && !(tcp_flags & LB_TCP_SYN) && !(flow->flags & LB_FLOW_REPLY))
    state = LB_FLOW_ESTABLISHED;
  if (state == flow->state && !(tcp_flags & LB_TCP_FIN))
    return;
  flow->state = state;
  if (lb_flow_peer(key, to, v6, &peer) != LB_PEER)
    return;
  peer->state = state;
  peer->peer_fin = flow->fin;
}

/* Ends a flow, and frees the source port that its reply entry claims. */
static __always_inline void
lb_flow_end(const union lb_tuple *key, const union lb_tuple *to, bool v6)
{
  union lb_tuple peer_key;
  struct lb_flow *peer;

  if (lb_flow_peer(key, to, v6, &peer) == LB_PEER) {
    lb_turn(to, v6, &peer_key);
    lb_flow_delete(&peer_key, v6);
  }
  lb_flow_delete(key, v6);
}

/* Port i of a walk through the window that meets every port once before it repeats one. */
static __always_inline __be16 lb_candidate(const struct lb_settings *s, __u32 start, __u32 step,
                                           __u32 i)
{
  __u32 size = (__u32)s->snat_port_max - s->snat_port_min + 1;

  return bpf_htons(s->snat_port_min + (start + i * step) % size);
}

static __always_inline void lb_set_sport(union lb_tuple *t, __be16 port, bool v6)
{
  if (v6)
    t->v6.sport = port;
  else
    t->v4.sport = port;
}

static __always_inline __u32 lb_address_delta(const union lb_tuple *from, const union lb_tuple *to,
                                              bool v6)
{
  if (v6)
    return bpf_csum_diff((__be32 *)from->v6.saddr, 32, (__be32 *)to->v6.saddr, 32, 0);
  return bpf_csum_diff((__be32 *)&from->v4.saddr, 8, (__be32 *)&to->v4.saddr, 8, 0);
}

static __always_inline __u32 lb_port_delta(const union lb_tuple *from, const union lb_tuple *to,
                                           bool v6)
{
  if (v6)
    return bpf_csum_diff((__be32 *)&from->v6.sport, 4, (__be32 *)&to->v6.sport, 4, 0);
  return bpf_csum_diff((__be32 *)&from->v4.sport, 4, (__be32 *)&to->v4.sport, 4, 0);
}

enum lb_create_result { LB_CREATED, LB_EXISTS, LB_NO_PORT, LB_FULL };

/*
 * Makes both entries of a new flow: from `key` to `to`, and the reply back. The reply's entry is
 * the claim on the source port; while another living flow holds it, the next port is tried. The
 * client's own port comes first: where nothing clashes, it stays as it is.
 */
static __always_inline enum lb_create_result
lb_flow_create(const union lb_tuple *key, union lb_tuple *to, struct lb_flow *flow, bool v6,
               bool own_source, __u32 now, const struct lb_settings *s)
{
  __u16 wanted = bpf_ntohs(lb_sport(key, v6));
  bool keep = !own_source || (wanted >= s->snat_port_min && wanted <= s->snat_port_max);
  __u32 random = bpf_get_prandom_u32();
  __u32 start = random & 0xffff;
  /* Odd, and prime to every window that is a power of two; others lose a few candidates. */
  __u32 step = random >> 16 | 1;
  union lb_tuple back, reply_key;
  struct lb_flow reply = *flow;
  bool claimed = false;

  lb_turn(key, v6, &back);
  reply.flags |= LB_FLOW_REPLY;
  for (__u32 i = 0; i < LB_PORT_TRIES && !claimed; i++) {
    if (i > 0 || !keep)
      lb_set_sport(to, lb_candidate(s, start, step, i), v6);
    lb_turn(to, v6, &reply_key);
    reply.address_delta = lb_address_delta(&reply_key, &back, v6);
    reply.port_delta = lb_port_delta(&reply_key, &back, v6);
    claimed = lb_flow_claim(&reply_key, &back, &reply, v6, now);
  }
  if (!claimed)
    return LB_NO_PORT;
  flow->address_delta = lb_address_delta(key, to, v6);
  flow->port_delta = lb_port_delta(key, to, v6);
  if (lb_flow_claim(key, to, flow, v6, now))
    return LB_CREATED;
  lb_flow_delete(&reply_key, v6);
  return lb_flow_lookup(key, v6) ? LB_EXISTS : LB_FULL;
}

#endif /* BPF_LB_FLOW_H */

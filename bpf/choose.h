/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a destination to a backend, for sockets and packets alike: the frontend, the rules of its
 * service, and one of the algorithms. Knows nothing of hooks: who asks comes as a struct of
 * answers.
 */
#ifndef BPF_LB_CHOOSE_H
#define BPF_LB_CHOOSE_H

#include "affinity.h"
#include "load.h"
#include "random.h"

struct lb_choice {
  struct lb_addr address;
  __be16 port;
  __u16 backend; /* enum lb_backend_flag */
  __u32 service;
  __u32 flags; /* enum lb_service_flag */
};

/* A destination that somebody asks for. */
struct lb_request {
  struct lb_addr to;
  __be16 port;
  __u8 protocol;
  __u8 hints;    /* of the port */
  bool loopback; /* a loopback address, asked for by the host */
  /*
   * Whether the answer has to be one that would have been given before, and if there is one: for
   * packets in the middle of a connection.
   */
  bool again;
};

/*
 * What has to be known of the one who asks only if there is a choice to make; most destinations are
 * no service's.
 */
struct lb_asker {
  /* 64 random bits; for an unconnected datagram socket the same ones every time. */
  __u64 (*draw)(void *source);
  /* Its address. False when that cannot be known. */
  bool (*client)(void *source, struct lb_addr *client);
  /* Its port, in the place of which a socket has random bits. */
  __u64 (*port)(void *source);
  /* Is told what is on offer to it, if it wants to know. */
  void (*offered)(void *source, const struct lb_offer *offer);
};

static __always_inline __u64 lb_hash_client(const struct lb_addr *client, __u64 port)
{
  __u64 hash = lb_mix((__u64)client->word[0] << 32 | client->word[1]);

  hash = lb_mix(hash ^ ((__u64)client->word[2] << 32 | client->word[3]));
  return lb_mix(hash ^ port);
}

/* What the choice of a backend may end in besides its index. */
enum {
  LB_SELECT_TORN = -1,      /* the service changed meanwhile */
  LB_SELECT_UNDECIDED = -2, /* the answer given before is asked for, and nobody can tell it */
};

/* By weights. */
static __always_inline int lb_select_random(const struct lb_offer *offer, __u64 random)
{
  __u32 index = lb_below(random >> 32, offer->count);
  const struct lb_backend *backend;

  if (!(offer->flags & LB_SERVICE_WEIGHTED))
    return (int)index;
  backend = lb_backend_at(offer, index);
  if (!backend)
    return LB_SELECT_TORN;
  if ((__u32)random < backend->threshold || backend->threshold == ~0u)
    return (int)index;
  return (int)backend->alias;
}

static __always_inline int lb_select_maglev(const struct lb_offer *offer, __u64 hash)
{
  __u32 slot = offer->maglev + lb_below(hash >> 32, offer->maglev_size);
  __u32 index = slot / LB_MAGLEV_SLOTS_PER_WORD;
  const struct lb_maglev_word *word = bpf_map_lookup_elem(&maglev, &index);

  return word ? word->backends[slot % LB_MAGLEV_SLOTS_PER_WORD] : LB_SELECT_TORN;
}

/* The less loaded of two that were drawn (Mitzenmacher: the power of two choices). */
static __always_inline int
lb_select_least(const struct lb_offer *offer, __u64 random, __u8 protocol)
{
  const struct lb_settings *s = lb_settings();
  int one = lb_select_random(offer, random), other = lb_select_random(offer, lb_mix(random + 1));
  const struct lb_backend *a, *b;
  __u32 now = lb_now(), load;

  if (one < 0 || other < 0 || !s)
    return LB_SELECT_TORN;
  a = lb_backend_at(offer, one);
  if (!a)
    return LB_SELECT_TORN;
  load = lb_load_count(a->address, a->port, protocol, s, now);
  b = lb_backend_at(offer, other);
  if (!b)
    return LB_SELECT_TORN;
  return lb_load_count(b->address, b->port, protocol, s, now) < load ? other : one;
}

/* The one who asks, as far as an algorithm wants to know. */
struct lb_draw {
  struct lb_addr client;
  __u64 random;
  __u64 port; /* the client's, or random bits in its place */
  __u8 protocol;
  bool again; /* see lb_request */
};

/* The index of the backend for a draw, by the service's affinity and algorithm. */
__weak __noinline int lb_select(struct lb_offer *offer, struct lb_draw *draw)
{
  bool sticky;
  int index;

  if (!offer || !draw)
    return LB_SELECT_TORN;
  sticky = offer->flags & LB_SERVICE_AFFINITY;
  if (sticky) {
    index = lb_affinity_find(offer, &draw->client);
    if (index >= 0)
      return index;
  }
  if (offer->count == 1)
    index = 0;
  else if (offer->flags & LB_SERVICE_MAGLEV)
    index = lb_select_maglev(offer, lb_hash_client(&draw->client, sticky ? 0 : draw->port));
  else if (draw->again)
    return LB_SELECT_UNDECIDED;
  else if (offer->flags & LB_SERVICE_LEAST)
    index = lb_select_least(offer, draw->random, draw->protocol);
  else
    /*
     * The pick of a client that will stay is the same wherever it asks for the service at a time,
     * and another one when it comes back after it was forgotten.
     */
    index = lb_select_random(
        offer, sticky ? lb_hash_client(&draw->client, (__u64)offer->last << 32 | offer->group)
                      : draw->random);
  if (sticky && index >= 0)
    lb_affinity_keep(offer, &draw->client, index);
  return index;
}

/* Whether the client may come, by source ranges. Unknown clients are judged as packets. */
static __always_inline enum lb_choice_result
lb_admit(const struct lb_offer *offer, const struct lb_request *request, bool v6, bool known,
         const struct lb_addr *client)
{
  if (!(offer->flags & LB_SERVICE_RANGES))
    return LB_CHOSEN;
  if (!known)
    return LB_NO_SERVICE;
  if (lb_in_ranges(offer->ranges, client, v6) != !!(offer->flags & LB_SERVICE_RANGES_DENY))
    return LB_CHOSEN;
  if (offer->flags & LB_SERVICE_RANGES_SELF && lb_addr_equal(client->word, request->to.word))
    return LB_CHOSEN;
  return LB_DENIED;
}

#define LB_SERVICE_ASKS_CLIENT (LB_SERVICE_RANGES | LB_SERVICE_AFFINITY | LB_SERVICE_MAGLEV)
#define LB_SERVICE_SELECTS                                                                         \
  (LB_SERVICE_AFFINITY | LB_SERVICE_WEIGHTED | LB_SERVICE_MAGLEV | LB_SERVICE_LEAST)

/*
 * The service at `address`, which is the one asked for or, for a wildcard, none; then `own` are the
 * flags of the one asked for.
 */
static __always_inline enum lb_choice_result
lb_service_choose(const struct lb_addr *address, const struct lb_request *request, bool wildcard,
                  __u32 own, bool v6, enum lb_side side, struct lb_asker asker, void *source,
                  struct lb_choice *choice)
{
  bool inside = side != LB_SIDE_OUTSIDE;

  for (int attempt = 0; attempt < LB_ATTEMPTS; attempt++) {
    struct lb_draw draw = {.protocol = request->protocol, .again = request->again};
    struct lb_offer offer;
    const struct lb_backend *backend;
    enum lb_choice_result result;
    const struct lb_service *service;
    bool known = true;
    __u64 check;
    int index;

    service = lb_service_find(address, request->port, request->protocol, v6, &check);
    if (!service)
      return LB_NO_SERVICE;
    if (!lb_service_read(service, check, inside, &offer))
      continue;
    if (wildcard) {
      __u32 here = inside ? LB_ADDRESS_NODE : LB_ADDRESS_EXTERNAL;

      if (!(own & (offer.flags & LB_SERVICE_HOST_PORT ? here : LB_ADDRESS_NODEPORT)))
        return LB_NO_SERVICE;
    }
    if (asker.offered)
      asker.offered(source, &offer);
    if (!(offer.flags & (inside ? LB_SERVICE_INSIDE : LB_SERVICE_OUTSIDE)))
      return inside ? LB_NO_SERVICE : LB_NOT_OUTSIDE;
    if (offer.flags & LB_SERVICE_ASKS_CLIENT)
      known = asker.client(source, &draw.client);
    result = lb_admit(&offer, request, v6, known, &draw.client);
    if (result != LB_CHOSEN)
      return result;
    if (offer.count == 0)
      return offer.flags & LB_SERVICE_USABLE ? LB_NO_LOCAL_BACKEND : LB_NO_BACKEND;
    if (offer.flags & LB_SERVICE_SELECTS || (request->again && offer.count > 1)) {
      draw.random = request->again ? 0 : asker.draw(source);
      draw.port = asker.port(source);
      index = lb_select(&offer, &draw);
      if (index == LB_SELECT_UNDECIDED)
        return LB_UNDECIDED;
      if (index < 0)
        continue;
    } else {
      index = lb_below(asker.draw(source) >> 32, offer.count);
    }
    backend = lb_backend_at(&offer, index);
    if (!backend)
      continue;
    lb_addr_copy(choice->address.word, backend->address);
    choice->port = backend->port;
    choice->backend = backend->flags;
    choice->service = offer.id;
    choice->flags = offer.flags;
    return LB_CHOSEN;
  }
  return LB_TORN;
}

/*
 * Whether a backend is still on offer at a frontend, for a connection that begins where an older
 * one was. What cannot be told while the service changes is not taken away.
 */
static __always_inline bool
lb_offers(const struct lb_request *request, bool v6, bool inside, const struct lb_addr *backend,
          __be16 port, struct lb_offer *offer)
{
  const struct lb_service *service;
  struct lb_addr any = {};
  __u64 check;

  service = lb_service_find(&request->to, request->port, request->protocol, v6, &check);
  if (!service)
    service = lb_service_find(&any, request->port, request->protocol, v6, &check);
  if (!service)
    return false;
  if (!lb_service_read(service, check, inside, offer))
    return true;
  return lb_offer_find(offer, backend->word, port, 0) >= 0;
}

/* What a destination is that has no service, on an address where frontends are or may be. */
static __always_inline enum lb_choice_result
lb_unserved(const struct lb_request *request, bool v6, enum lb_side side)
{
  __u32 flags = lb_frontend_flags(&request->to, v6);
  const struct lb_settings *s;

  if (flags & LB_FRONTEND_CLUSTER_IP)
    return side == LB_SIDE_OUTSIDE && !(flags & LB_FRONTEND_OUTSIDE) ? LB_NOT_OUTSIDE
                                                                     : LB_UNKNOWN_PORT;
  if (flags & LB_FRONTEND_VIP)
    return side == LB_SIDE_OUTSIDE ? LB_UNSERVED_PORT : LB_NO_SERVICE;
  s = lb_settings();
  if (s && s->flags & LB_SETTING_SERVICE_RANGES && lb_in_ranges(0, &request->to, v6))
    return LB_UNALLOCATED;
  return LB_NO_SERVICE;
}

/*
 * What becomes of a request: the frontend that it names is looked for under its address and, where
 * that may be any of this node's, as the wildcard of its port.
 */
static __always_inline enum lb_choice_result
lb_choose(const struct lb_request *request, bool v6, enum lb_side side, struct lb_asker asker,
          void *source, struct lb_choice *choice)
{
  bool near = !lb_addr_is_any(&request->to, v6) && lb_network_has_frontends(&request->to, v6);
  enum lb_choice_result result = LB_NO_SERVICE;
  struct lb_addr any = {};
  __u32 own;

  if (near && request->hints & LB_PORT_FRONTEND)
    result = lb_service_choose(&request->to, request, false, 0, v6, side, asker, source, choice);
  if (result != LB_NO_SERVICE)
    return result;
  if (request->hints & LB_PORT_WILDCARD) {
    const struct lb_settings *s = lb_settings();
    __u32 localhost = v6 ? LB_SETTING_LOCALHOST6 : LB_SETTING_LOCALHOST4;

    if (request->loopback)
      own = LB_ADDRESS_NODE | (s && s->flags & localhost ? LB_ADDRESS_NODEPORT : 0);
    else
      own = lb_address_flags(&request->to, v6);
    if (own)
      result = lb_service_choose(&any, request, true, own, v6, side, asker, source, choice);
    if (result != LB_NO_SERVICE)
      return result;
  }
  return near ? lb_unserved(request, v6, side) : LB_NO_SERVICE;
}

#endif /* BPF_LB_CHOOSE_H */

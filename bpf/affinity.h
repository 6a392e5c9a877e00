/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Session affinity: a client, by its address, stays with a backend of a service for as long as it
 * comes back in time and the backend is on offer. Sockets and packets share the table.
 *
 * Functions that are not static are looked at by the verifier once, and not on every way to them.
 */
#ifndef BPF_LB_AFFINITY_H
#define BPF_LB_AFFINITY_H

#include "clock.h"
#include "service.h"

static __always_inline const struct lb_backend *
lb_backend_at(const struct lb_offer *offer, __u32 index)
{
  __u32 i = offer->first + index;
  const struct lb_backend *backend = bpf_map_lookup_elem(&backends, &i);

  return backend && LB_READ_ONCE(backend->set) == offer->set ? backend : NULL;
}

static __always_inline bool
lb_backend_is(const struct lb_backend *backend, const __be32 *address, __be16 port)
{
  return backend->port == port && lb_addr_equal(backend->address, address);
}

struct lb_search {
  const struct lb_offer *offer;
  const __be32 *address;
  __be16 port;
  bool found;
  __u32 index;
};

static long lb_search_step(__u32 index, void *ctx)
{
  struct lb_search *search = ctx;
  const struct lb_backend *backend = lb_backend_at(search->offer, index);

  if (!backend || !lb_backend_is(backend, search->address, search->port))
    return 0;
  search->found = true;
  search->index = index;
  return 1;
}

/*
 * Where the offer has the backend; negative when it does not. Looks at `hint` first: ranges are
 * rewritten at every change, and mostly the backend is where it was.
 */
static __always_inline int
lb_offer_find(const struct lb_offer *offer, const __be32 *address, __be16 port, __u32 hint)
{
  struct lb_search search = {.offer = offer, .address = address, .port = port};
  const struct lb_backend *backend = hint < offer->count ? lb_backend_at(offer, hint) : NULL;

  if (backend && lb_backend_is(backend, address, port))
    return (int)hint;
  bpf_loop(offer->count, lb_search_step, &search, 0);
  return search.found ? (int)search.index : -1;
}

static __always_inline void
lb_affinity_key(const struct lb_offer *offer, const struct lb_addr *client,
                struct lb_affinity_key *key)
{
  lb_addr_copy(key->client, client->word);
  key->group = offer->group;
}

/* Where the backend is that the client was given before; negative when the offer has it no more. */
__weak __noinline int lb_affinity_find(struct lb_offer *offer, struct lb_addr *client)
{
  struct lb_affinity_key key;
  struct lb_affinity *affinity;
  struct lb_affinity last;
  __u32 now = lb_now(), expires;
  int index;

  if (!offer || !client)
    return -1;
  lb_affinity_key(offer, client, &key);
  affinity = bpf_map_lookup_elem(&affinities, &key);
  if (!affinity)
    return -1;
  last = *affinity;
  if (lb_is_over(last.expires, now)) {
    offer->last = last.expires;
    return -1;
  }
  index = lb_offer_find(offer, last.address, last.port, last.index);
  if (index < 0)
    return -1;
  if (lb_shadows())
    return index;
  expires = now + offer->affinity_timeout;
  if (last.index != (__u32)index)
    affinity->index = index;
  if (last.expires != expires)
    affinity->expires = expires;
  return index;
}

__weak __noinline int lb_affinity_keep(struct lb_offer *offer, struct lb_addr *client, __u32 index)
{
  const struct lb_backend *backend;
  struct lb_affinity affinity = {};
  struct lb_affinity_key key;

  if (!offer || !client || lb_shadows())
    return -1;
  backend = lb_backend_at(offer, index);
  if (!backend)
    return -1;
  lb_affinity_key(offer, client, &key);
  lb_addr_copy(affinity.address, backend->address);
  affinity.port = backend->port;
  affinity.index = index;
  affinity.expires = lb_now() + offer->affinity_timeout;
  return (int)lb_lru_store(&affinities, &key, &affinity, BPF_ANY);
}

#endif /* BPF_LB_AFFINITY_H */

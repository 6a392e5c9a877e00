/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a translated socket is told about its peer: the frontend that it asked for.
 *
 * Socket storage alone would do, but its two allocations cost more than the whole translation
 * (docs/decisions.md has the figures). So every socket first tries the array slot that its cookie
 * selects: cookies are handed out in sequence, so live sockets rarely meet. A taken slot is never
 * overwritten; the later socket uses its storage. The release hook frees the slot.
 */
#ifndef BPF_LB_ORIGIN_H
#define BPF_LB_ORIGIN_H

#include "address.h"
#include "load.h"
#include "maps.h"

static __always_inline struct lb_origin_slot *lb_origin_slot(__u64 cookie)
{
  const struct lb_settings *s = lb_settings();
  __u32 index;

  if (!s || cookie == 0)
    return NULL;
  index = (__u32)cookie & s->origin_mask;
  return bpf_map_lookup_elem(&origins, &index);
}

static __always_inline bool
lb_origin_from(const struct lb_origin *origin, const struct lb_addr *backend, __be16 port)
{
  return origin->backend_port == port && lb_addr_equal(origin->backend, backend->word);
}

/*
 * Counts a socket in, or out. The count may have been evicted while the socket was in it, and begun
 * anew with less: it never falls below zero, and so is right again when the sockets of that time
 * are gone.
 */
static __always_inline void lb_origin_count(const struct lb_origin *origin, int by)
{
  struct lb_load *load;

  if (!origin->counted)
    return;
  load = lb_load_find(origin->backend, origin->backend_port, origin->counted, by > 0);
  if (load && (by > 0 || load->sockets > 0))
    __sync_fetch_and_add(&load->sockets, by);
}

static __always_inline bool lb_origin_list_put(struct bpf_sock *sk, const struct lb_origin *origin)
{
  struct lb_origin_list *list =
      bpf_sk_storage_get(&origin_lists, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
  const struct lb_addr *backend = (const void *)origin->backend;

  if (!list)
    return false;
  for (int i = 0; i < LB_ORIGINS_PER_SOCKET; i++) {
    if (lb_origin_from(&list->origins[i], backend, origin->backend_port)) {
      list->origins[i] = *origin;
      return true;
    }
  }
  list->origins[list->next++ % LB_ORIGINS_PER_SOCKET] = *origin;
  return true;
}

/*
 * Remembers `origin`. A connected socket has one peer, so a new origin replaces the old; an
 * unconnected one may await replies from several.
 */
static __always_inline bool
lb_origin_put(struct bpf_sock *sk, __u64 cookie, const struct lb_origin *origin, bool connected)
{
  struct lb_origin_slot *slot = lb_origin_slot(cookie);
  const struct lb_addr *backend = (const void *)origin->backend;

  if (slot) {
    __u64 owner = slot->cookie;

    if (owner == 0)
      owner = __sync_val_compare_and_swap(&slot->cookie, 0, cookie);
    if (owner == 0 || (owner == cookie && connected)) {
      if (owner)
        lb_origin_count(&slot->origin, -1);
      slot->origin = *origin;
      lb_origin_count(origin, 1);
      return true;
    }
    if (owner == cookie && lb_origin_from(&slot->origin, backend, origin->backend_port)) {
      if (slot->origin.frontend_port != origin->frontend_port ||
          !lb_addr_equal(slot->origin.frontend, origin->frontend))
        slot->origin = *origin;
      return true;
    }
  }
  return sk && lb_origin_list_put(sk, origin);
}

/* The origin of what comes from `backend`, or NULL when this socket was not translated to it. */
static __always_inline const struct lb_origin *
lb_origin_get(struct bpf_sock *sk, __u64 cookie, const struct lb_addr *backend, __be16 port)
{
  const struct lb_origin_slot *slot = lb_origin_slot(cookie);
  const struct lb_origin_list *list;

  if (cookie == 0)
    return NULL;
  if (slot && slot->cookie == cookie && lb_origin_from(&slot->origin, backend, port))
    return &slot->origin;
  list = sk ? bpf_sk_storage_get(&origin_lists, sk, NULL, 0) : NULL;
  if (!list)
    return NULL;
  for (int i = 0; i < LB_ORIGINS_PER_SOCKET; i++) {
    if (lb_origin_from(&list->origins[i], backend, port))
      return &list->origins[i];
  }
  return NULL;
}

static __always_inline void lb_origin_release(__u64 cookie)
{
  struct lb_origin_slot *slot = lb_origin_slot(cookie);

  if (!slot || slot->cookie != cookie)
    return;
  lb_origin_count(&slot->origin, -1);
  slot->cookie = 0;
}

/* For a socket that lives on. */
static __always_inline void lb_origin_forget(struct bpf_sock *sk, __u64 cookie)
{
  if (cookie == 0)
    return;
  lb_origin_release(cookie);
  if (sk)
    bpf_sk_storage_delete(&origin_lists, sk);
}

#endif /* BPF_LB_ORIGIN_H */

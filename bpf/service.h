/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a destination to a backend: one hash lookup, one array lookup.
 *
 * The control plane writes a changed backend set to a fresh range and then replaces the service
 * value. A range is reused only after an RCU grace period, but the value's own memory may be given
 * to another writer at once. A hash map's copy runs upwards, so `check` and `set` are written
 * first: when both are the same before and after the other fields were read, and the backend
 * carries the same set, all of it belongs together. If not, the service is looked up again.
 */
#ifndef BPF_LB_SERVICE_H
#define BPF_LB_SERVICE_H

#include "address.h"
#include "maps.h"

#define LB_ATTEMPTS 4

#define LB_READ_ONCE(x) (*(const volatile typeof(x) *)&(x))

/* Who asks: decides which range of the service is offered. */
enum lb_side {
  LB_SIDE_SOCKET,
  LB_SIDE_DEVICE,
};

enum lb_choice_result {
  LB_CHOSEN,
  LB_NO_SERVICE,
  LB_NO_BACKEND,       /* nobody could serve this: refuse */
  LB_NO_LOCAL_BACKEND, /* others could, a traffic policy forbids it: stay silent */
  LB_TORN,
};

struct lb_choice {
  struct lb_addr address;
  __be16 port;
  enum lb_backend_flag flags;
  __u32 service;
};

static __always_inline __u64 lb_key4_check(const struct lb_key4 *key)
{
  return (__u64)key->address << 32 | (__u64)key->port << 16 | key->protocol;
}

static __always_inline __u64 lb_key6_check(const struct lb_key6 *key)
{
  __u64 high = (__u64)key->address[0] << 32 | key->address[1];
  __u64 low = (__u64)key->address[2] << 32 | key->address[3];

  return high ^ low ^ ((__u64)key->port << 16 | key->protocol);
}

static __always_inline const struct lb_service *
lb_service_find(const struct lb_addr *address, __be16 port, __u8 protocol, bool v6, __u64 *check)
{
  if (v6) {
    struct lb_key6 key = {.port = port, .protocol = protocol};

    lb_addr_copy(key.address, address->word);
    *check = lb_key6_check(&key);
    return bpf_map_lookup_elem(&services6, &key);
  }
  struct lb_key4 key = {.address = address->word[3], .port = port, .protocol = protocol};

  *check = lb_key4_check(&key);
  return bpf_map_lookup_elem(&services4, &key);
}

/*
 * Draws the number that picks a backend; the same one picks the same backend while the set is
 * unchanged. Called when there is a choice to make: most destinations are no service's.
 */
typedef __u32 (*lb_draw)(void *source);

static __always_inline enum lb_choice_result
lb_service_choose(const struct lb_addr *address, __be16 port, __u8 protocol, bool v6,
                  enum lb_side side, lb_draw draw, void *source, struct lb_choice *choice)
{
  for (int attempt = 0; attempt < LB_ATTEMPTS; attempt++) {
    __u64 check;
    const struct lb_service *service = lb_service_find(address, port, protocol, v6, &check);

    if (!service)
      return LB_NO_SERVICE;

    __u32 set = LB_READ_ONCE(service->set);
    __u32 flags = LB_READ_ONCE(service->flags);
    __u32 offered = side == LB_SIDE_SOCKET ? LB_SERVICE_SOCKET : LB_SERVICE_DEVICE;
    __u32 narrowed = side == LB_SIDE_SOCKET ? LB_SERVICE_SOCKET_LOCAL : LB_SERVICE_DEVICE_LOCAL;
    bool local = flags & narrowed;
    __u32 first = local ? LB_READ_ONCE(service->local_first) : LB_READ_ONCE(service->first);
    __u32 count = local ? LB_READ_ONCE(service->local_count) : LB_READ_ONCE(service->count);
    __u32 id = LB_READ_ONCE(service->id);

    if (LB_READ_ONCE(service->set) != set || LB_READ_ONCE(service->check) != check)
      continue;
    if (!(flags & offered))
      return LB_NO_SERVICE;
    if (count == 0)
      return flags & LB_SERVICE_USABLE ? LB_NO_LOCAL_BACKEND : LB_NO_BACKEND;

    __u32 index = first + (__u32)(((__u64)draw(source) * count) >> 32);
    const struct lb_backend *backend = bpf_map_lookup_elem(&backends, &index);

    if (!backend || LB_READ_ONCE(backend->set) != set)
      continue;
    lb_addr_copy(choice->address.word, backend->address);
    choice->port = backend->port;
    choice->flags = backend->flags;
    choice->service = id;
    return LB_CHOSEN;
  }
  lb_count(LB_COUNTER_SERVICE_TORN);
  return LB_TORN;
}

static __always_inline __u32 lb_address_flags(const struct lb_addr *address, bool v6)
{
  const struct lb_address_info *info;

  if (v6) {
    struct lb_address6 key;

    lb_addr_copy(key.address, address->word);
    info = bpf_map_lookup_elem(&addresses6, &key);
  } else {
    struct lb_address4 key = {.address = address->word[3]};

    info = bpf_map_lookup_elem(&addresses4, &key);
  }
  return info ? info->flags : 0;
}

/* Whether services4 or services6 may have the address: false is a proof, true a hint. */
static __always_inline bool lb_network_has_frontends(const struct lb_addr *address, bool v6)
{
  __u32 zero = 0;
  __u32 index = lb_network(address, v6);
  const struct lb_networks *all = bpf_map_lookup_elem(&networks, &zero);

  /* As in lb_port_hints(). */
  asm volatile("" : "+r"(index));
  return all && all->hints[index & 0xffff] & (v6 ? LB_NETWORK_FRONTEND6 : LB_NETWORK_FRONTEND4);
}

/*
 * The frontend that a destination names: itself, or, where the address may be any of this node's,
 * the wildcard of its port. `hints` are those of the port.
 */
static __always_inline enum lb_choice_result
lb_frontend_choose(const struct lb_addr *to, __be16 port, __u8 protocol, bool v6, enum lb_side side,
                   __u8 hints, bool loopback, lb_draw draw, void *source, struct lb_choice *choice)
{
  __u32 wanted = side == LB_SIDE_SOCKET ? LB_ADDRESS_NODE : LB_ADDRESS_NODEPORT;
  enum lb_choice_result result = LB_NO_SERVICE;

  if (hints & LB_PORT_FRONTEND && !lb_addr_is_any(to, v6) && lb_network_has_frontends(to, v6))
    result = lb_service_choose(to, port, protocol, v6, side, draw, source, choice);
  if (result == LB_NO_SERVICE && hints & LB_PORT_WILDCARD &&
      (loopback || lb_address_flags(to, v6) & wanted)) {
    struct lb_addr any = {};

    result = lb_service_choose(&any, port, protocol, v6, side, draw, source, choice);
  }
  return result;
}

#endif /* BPF_LB_SERVICE_H */

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a destination to a service, and what the service says to the one who asks.
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

/* What one service offers to one who asks: a copy that does not change any more. */
struct lb_offer {
  __u32 set;
  __u32 flags; /* enum lb_service_flag */
  __u32 first;
  __u32 count;
  __u32 id;
  __u32 group;
  __u32 affinity_timeout;
  __u32 ranges;
  __u32 maglev;
  __u32 maglev_size;
  __u32 last; /* when the client's affinity ended; 0: it had none */
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

/* Copies what the service offers; false when it changed meanwhile. */
static __always_inline bool
lb_service_read(const struct lb_service *service, __u64 check, bool inside, struct lb_offer *offer)
{
  __u32 narrowed = inside ? LB_SERVICE_INSIDE_LOCAL : LB_SERVICE_OUTSIDE_LOCAL;
  bool local;

  offer->set = LB_READ_ONCE(service->set);
  offer->flags = LB_READ_ONCE(service->flags);
  local = offer->flags & narrowed;
  offer->first = local ? LB_READ_ONCE(service->local_first) : LB_READ_ONCE(service->first);
  offer->count = local ? LB_READ_ONCE(service->local_count) : LB_READ_ONCE(service->count);
  offer->id = LB_READ_ONCE(service->id);
  offer->group = LB_READ_ONCE(service->group);
  offer->affinity_timeout = LB_READ_ONCE(service->affinity_timeout);
  offer->ranges = LB_READ_ONCE(service->ranges);
  offer->maglev = local ? LB_READ_ONCE(service->local_maglev) : LB_READ_ONCE(service->maglev);
  offer->maglev_size =
      local ? LB_READ_ONCE(service->local_maglev_size) : LB_READ_ONCE(service->maglev_size);
  offer->last = 0;
  return LB_READ_ONCE(service->set) == offer->set && LB_READ_ONCE(service->check) == check;
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

/* What an address of frontends is, whatever the port; 0 when no frontend has it. */
static __always_inline __u32 lb_frontend_flags(const struct lb_addr *address, bool v6)
{
  const struct lb_frontend_info *info;

  if (v6) {
    struct lb_address6 key;

    lb_addr_copy(key.address, address->word);
    info = bpf_map_lookup_elem(&frontends6, &key);
  } else {
    struct lb_address4 key = {.address = address->word[3]};

    info = bpf_map_lookup_elem(&frontends4, &key);
  }
  return info ? info->flags : 0;
}

/* Whether one of the ranges with the id contains the address. */
static __always_inline bool lb_in_ranges(__u32 id, const struct lb_addr *address, bool v6)
{
  if (v6) {
    struct lb_range6 key = {.prefix = 32 + 128, .id = id};

    lb_addr_copy(key.address, address->word);
    return bpf_map_lookup_elem(&ranges6, &key);
  }
  struct lb_range4 key = {.prefix = 32 + 32, .id = id, .address = address->word[3]};

  return bpf_map_lookup_elem(&ranges4, &key);
}

static __always_inline __u8 lb_network_hints(const struct lb_addr *address, bool v6)
{
  __u32 zero = 0;
  __u32 index = lb_network(address, v6);
  const struct lb_networks *all = bpf_map_lookup_elem(&networks, &zero);

  /* As in lb_port_hints(). */
  asm volatile("" : "+r"(index));
  return all ? all->hints[index & 0xffff] : 0;
}

/* Whether services4 or services6 may have the address: false is a proof, true a hint. */
static __always_inline bool lb_network_has_frontends(const struct lb_addr *address, bool v6)
{
  return lb_network_hints(address, v6) & (v6 ? LB_NETWORK_FRONTEND6 : LB_NETWORK_FRONTEND4);
}

#endif /* BPF_LB_SERVICE_H */

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. Sizes are the smallest that load; the library sets the real ones before loading.
 * Weak, because every object of the linked skeleton declares them.
 */
#ifndef BPF_LB_MAPS_H
#define BPF_LB_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define LB_MAP __weak SEC(".maps")

/* What a destination means. Read by every hook, written by lib/transaction.ts alone. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_key4);
  __type(value, struct lb_service);
} services4 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_key6);
  __type(value, struct lb_service);
} services6 LB_MAP;

/* Contiguous ranges of backends; a service points at its own. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_backend);
} backends LB_MAP;

/* Maglev tables, end to end. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_maglev_word);
} maglev LB_MAP;

/* Source ranges of services, and the ranges of cluster IPs. */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 1);
  __type(key, struct lb_range4);
  __type(value, __u8);
} ranges4 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 1);
  __type(key, struct lb_range6);
  __type(value, __u8);
} ranges6 LB_MAP;

/* Addresses that frontends have. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_address4);
  __type(value, struct lb_frontend_info);
} frontends4 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_address6);
  __type(value, struct lb_frontend_info);
} frontends6 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_ports);
} ports LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_networks);
} networks LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_settings);
} settings LB_MAP;

/* Addresses of this node: where wildcard frontends (NodePort, HostPort) are found. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_address4);
  __type(value, struct lb_address_info);
} addresses4 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_address6);
  __type(value, struct lb_address_info);
} addresses6 LB_MAP;

/* Selected devices, by ifindex. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_device);
} devices LB_MAP;

/* Which frontend a socket was translated from: see origin.h. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_origin_slot);
} origins LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct lb_origin_list);
} origin_lists LB_MAP;

/* By cookie: sockets that the next run of the iterators of destroy.bpf.c destroys. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, LB_CONDEMNED);
  __type(key, __u64);
  __type(value, struct lb_origin);
} condemned LB_MAP;

/* Namespaces and cgroups whose sockets are left alone. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_exception);
  __type(value, __u8);
} exceptions LB_MAP;

/* For the library alone, of the next process. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_state);
} state LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 1);
  __type(key, struct lb_definition_key);
  __type(value, struct lb_definition);
} definitions LB_MAP;

/* Which backend a client stays with. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_affinity_key);
  __type(value, struct lb_affinity);
} affinities LB_MAP;

/* By namespace cookie: what sockets in it are called as clients. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, __u64);
  __type(value, struct lb_client);
} clients LB_MAP;

/* Live counts of the backends of services that choose by them. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_load_key);
  __type(value, struct lb_load);
} loads LB_MAP;

/* Flows that both sides have confirmed, one entry per direction. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_tuple4);
  __type(value, struct lb_flow4);
} flows4 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_tuple6);
  __type(value, struct lb_flow6);
} flows6 LB_MAP;

/*
 * Flows that the client has not confirmed after the first answer. Apart, so that whoever sends
 * first packets from invented addresses displaces others of their kind, and no established flow.
 */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_tuple4);
  __type(value, struct lb_flow4);
} pending4 LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_tuple6);
  __type(value, struct lb_flow6);
} pending6 LB_MAP;

/* How many entries flows4 and flows6 have been given. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} flow_stores LB_MAP;

/* Ports of datagrams that come in fragments. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct lb_fragment_key);
  __type(value, struct lb_fragment);
} fragments LB_MAP;

/* When each bucket of enum lb_limit will be full again, in ns. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LB_LIMITS);
  __type(key, __u32);
  __type(value, __u64);
} limits LB_MAP;

/* struct lb_event, for the library. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 64 * 1024);
} events LB_MAP;

/* How often each decision was made in shadow mode. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, LB_DECISIONS);
  __type(key, struct lb_decision);
  __type(value, __u64);
} decisions LB_MAP;

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_counters);
} counters LB_MAP;

/*
 * Stores in an LRU, and looks at what was stored: for room, the kernel takes a new element that
 * nobody has looked at before old ones that somebody has, maybe within the same millisecond.
 */
#define lb_lru_store(map, key, value, flags)                                                       \
  ({                                                                                               \
    long stored = bpf_map_update_elem(map, key, value, flags);                                     \
                                                                                                   \
    if (!stored)                                                                                   \
      bpf_map_lookup_elem(map, key);                                                               \
    stored;                                                                                        \
  })

static __always_inline void lb_count(enum lb_counter counter)
{
  __u32 zero = 0;
  struct lb_counters *all = bpf_map_lookup_elem(&counters, &zero);

  if (all)
    all->counts[counter]++;
}

static __always_inline const struct lb_settings *lb_settings(void)
{
  __u32 zero = 0;

  return bpf_map_lookup_elem(&settings, &zero);
}

/*
 * Whether decisions are told and not carried out. A simulator never carries them out, and tells
 * what would come of them all the same.
 */
static __always_inline bool lb_shadows(void)
{
#ifdef __bpf__
  const struct lb_settings *s = lb_settings();

  return s && s->flags & LB_SETTING_SHADOW;
#else
  return false;
#endif
}

static __always_inline __u8 lb_port_hints(__u16 host_order_port)
{
  __u32 zero = 0;
  __u32 index = host_order_port;
  const struct lb_ports *all = bpf_map_lookup_elem(&ports, &zero);

  /* Linux 6.1 does not see that a swapped port has 16 bits: the mask must not be optimised away. */
  asm volatile("" : "+r"(index));
  return all ? all->hints[index & 0xffff] : 0;
}

#endif /* BPF_LB_MAPS_H */

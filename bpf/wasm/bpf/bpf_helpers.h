/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What libbpf's header of this name is to the programs, for WebAssembly: the same words; the tables
 * are held by whoever runs the module. See ../simulator.c.
 */
#ifndef BPF_LB_WASM_BPF_HELPERS_H
#define BPF_LB_WASM_BPF_HELPERS_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name)
#define __weak __attribute__((weak))
#define __noinline __attribute__((noinline))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))

/*
 * A map's declaration is a struct of pointers, which are there for their types. One is used: the
 * `value` of an array that is held in this memory is where its elements begin.
 */
#define __uint(name, number) int(*name)[number]
#define __type(name, type) typeof(type) *name

#define LB_MAP_TYPE(map) (sizeof(*(map)->type) / sizeof(int))

#define LB_HOST(name) __attribute__((import_module("host"), import_name(#name)))

/* Where a copy of the value is, until the decision has been made; NULL when there is none. */
LB_HOST(lookup) void *lb_host_lookup(const void *map, const void *key);
LB_HOST(update) void lb_host_update(const void *map, const void *key, const void *value);
/* Seconds of the clock of all lifetimes. */
LB_HOST(now) double lb_host_now(void);

static __always_inline void *
lb_wasm_lookup(const void *map, bool array, void *values, __u32 value_size, const void *key)
{
  if (!array || !values)
    return lb_host_lookup(map, key);
  /* The kernel rounds up, too. */
  return (char *)values + *(const __u32 *)key * ((value_size + 7) & ~7u);
}

#define bpf_map_lookup_elem(map, key)                                                              \
  lb_wasm_lookup((map), LB_MAP_TYPE(map) == BPF_MAP_TYPE_ARRAY, (map)->value,                      \
                 sizeof(*(map)->value), (key))

#define bpf_map_update_elem(map, key, value, flags) (lb_host_update((map), (key), (value)), 0)

static __always_inline __u64 bpf_ktime_get_coarse_ns(void) { return (__u64)(lb_host_now() * 1e9); }

static __always_inline long
bpf_loop(__u32 count, long (*step)(__u32 index, void *context), void *context, __u64 flags)
{
  __u32 i = 0;

  while (i < count && step(i, context) == 0)
    i++;
  return i;
}

#endif /* BPF_LB_WASM_BPF_HELPERS_H */

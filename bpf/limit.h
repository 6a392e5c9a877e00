/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rate limits without a token count: a bucket is the time at which it would be full again, so that
 * one compare-and-swap takes a token (generic cell rate algorithm, ITU-T I.371).
 */
#ifndef BPF_LB_LIMIT_H
#define BPF_LB_LIMIT_H

#include "maps.h"

/* Takes one of `rate` tokens per second, of which `burst` may have been saved. */
static __always_inline bool lb_allowed(enum lb_limit limit, __u32 rate, __u32 burst)
{
  __u32 index = limit;
  __u64 *bucket = bpf_map_lookup_elem(&limits, &index);
  __u64 now = bpf_ktime_get_ns();
  __u64 full, next, cost;

  if (!bucket || rate == 0)
    return false;
  cost = 1000000000ull / rate;
  full = *bucket;
  next = (full > now ? full : now) + cost;
  if (next - now > cost * burst)
    return false;
  /* Who loses against another CPU counts as one too many: rare, and on the safe side. */
  return __sync_val_compare_and_swap(bucket, full, next) == full;
}

#endif /* BPF_LB_LIMIT_H */

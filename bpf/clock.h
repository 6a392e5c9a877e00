/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The clock of all lifetimes: seconds since the machine was started, good to a few milliseconds. */
#ifndef BPF_LB_CLOCK_H
#define BPF_LB_CLOCK_H

#include <stdbool.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define LB_NS_PER_SECOND 1000000000ull

static __always_inline __u32 lb_now(void)
{
  return (__u32)(bpf_ktime_get_coarse_ns() / LB_NS_PER_SECOND);
}

static __always_inline bool lb_is_over(__u32 expires, __u32 now)
{
  return (__s32)(now - expires) > 0;
}

#endif /* BPF_LB_CLOCK_H */

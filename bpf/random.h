/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers that look random. */
#ifndef BPF_LB_RANDOM_H
#define BPF_LB_RANDOM_H

#include <linux/types.h>

/* The finalizer of MurmurHash3: every bit of the result depends on every bit of the argument. */
static __always_inline __u64 lb_mix(__u64 x)
{
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccd;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53;
  x ^= x >> 33;
  return x;
}

/* A number below `n`, from 32 random bits. */
static __always_inline __u32 lb_below(__u32 random, __u32 n)
{
  return (__u32)(((__u64)random * n) >> 32);
}

#endif /* BPF_LB_RANDOM_H */

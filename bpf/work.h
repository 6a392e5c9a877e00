/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the packet path knows of the packet in hand. It would not fit on the stack, so there is one
 * per CPU: a packet is worked on with soft interrupts off, from beginning to end on one CPU.
 */
#ifndef BPF_LB_WORK_H
#define BPF_LB_WORK_H

#include "choose.h"
#include "conntrack.h"
#include "maps.h"
#include "packet.h"

struct lb_work {
  struct lb_packet packet;
  union lb_tuple to; /* what the packet is to become, and what that does to its checksums */
  __u32 address_delta;
  __u32 port_delta;
  __u32 flags; /* of its flow: enum lb_flow_flag */
  struct lb_request request;
  struct lb_offer offer;
  struct lb_choice choice;
  struct lb_flow flow; /* a new one */
  struct lb_flow reversed;
  union lb_tuple key, back, turned;
  struct bpf_fib_lookup fib;
  struct lb_tracking tracking;
  struct lb_quote quote;
  __u32 answer[160];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct lb_work);
} work LB_MAP;

static __always_inline struct lb_work *lb_work(void)
{
  __u32 zero = 0;

  return bpf_map_lookup_elem(&work, &zero);
}

#endif /* BPF_LB_WORK_H */

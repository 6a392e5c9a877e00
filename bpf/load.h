/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Live counts of backends. Sockets are counted in and out. A flow may end without a packet that
 * says so, or be evicted, so it is counted in the period in which it would expire, and moves on
 * while packets come: what is over falls out of the count with its period, and no table is walked.
 */
#ifndef BPF_LB_LOAD_H
#define BPF_LB_LOAD_H

#include "address.h"
#include "clock.h"
#include "maps.h"

static const struct lb_load lb_no_load;

static __always_inline struct lb_load *
lb_load_find(const __be32 *address, __be16 port, __u8 protocol, bool create)
{
  struct lb_load_key key = {.port = port, .protocol = protocol};
  struct lb_load *load;

  lb_addr_copy(key.address, address);
  load = bpf_map_lookup_elem(&loads, &key);
  if (!load && create) {
    bpf_map_update_elem(&loads, &key, &lb_no_load, BPF_NOEXIST);
    load = bpf_map_lookup_elem(&loads, &key);
  }
  return load;
}

/* Seconds of a period: all of them together hold the longest lifetime. */
static __always_inline __u32 lb_load_span(const struct lb_settings *s, bool datagram)
{
  __u32 stream =
      s->flow_half_closed > s->flow_established ? s->flow_half_closed : s->flow_established;
  __u32 lifetime = datagram ? s->flow_datagram : stream;

  return lifetime / (LB_LOAD_PERIODS - 2) + 1;
}

static __always_inline __u32 lb_load_period(const struct lb_settings *s, bool datagram, __u32 time)
{
  return time / lb_load_span(s, datagram);
}

static __always_inline void lb_calendar_add(struct lb_calendar *calendar, __u32 period)
{
  __u32 i = period % LB_LOAD_PERIODS;

  if (calendar->period[i] != period) {
    calendar->count[i] = 0;
    calendar->period[i] = period;
  }
  __sync_fetch_and_add(&calendar->count[i], 1);
}

static __always_inline void lb_calendar_remove(struct lb_calendar *calendar, __u32 period)
{
  __u32 i = period % LB_LOAD_PERIODS;

  if (calendar->period[i] == period && calendar->count[i] > 0)
    __sync_fetch_and_add(&calendar->count[i], -1);
}

static __always_inline __u32 lb_calendar_sum(const struct lb_calendar *calendar, __u32 period)
{
  __u32 sum = 0;

  for (int i = 0; i < LB_LOAD_PERIODS; i++) {
    if (calendar->period[i] >= period)
      sum += calendar->count[i];
  }
  return sum;
}

static __always_inline __u32 lb_load_count(const __be32 *address, __be16 port, __u8 protocol,
                                           const struct lb_settings *s, __u32 now)
{
  const struct lb_load *load = lb_load_find(address, port, protocol, false);

  if (!load)
    return 0;
  return (load->sockets > 0 ? load->sockets : 0) +
         lb_calendar_sum(&load->streams, lb_load_period(s, false, now)) +
         lb_calendar_sum(&load->datagrams, lb_load_period(s, true, now));
}

#endif /* BPF_LB_LOAD_H */

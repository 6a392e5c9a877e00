/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Shadow mode: what would be done to a new connection is counted, and told the library at a limited
 * rate, and is not done.
 */
#ifndef BPF_LB_SHADOW_H
#define BPF_LB_SHADOW_H

#include "choose.h"
#include "limit.h"
#include "verdict.h"

/* `choice` is read only if it was made. */
static __always_inline void
lb_decision_fill(struct lb_decision *decision, const struct lb_addr *to, __be16 port, __u8 protocol,
                 enum lb_side side, enum lb_fate fate, enum lb_choice_result result,
                 const struct lb_choice *choice)
{
  __builtin_memset(decision, 0, sizeof(*decision));
  lb_addr_copy(decision->frontend, to->word);
  decision->frontend_port = port;
  decision->protocol = protocol;
  decision->side = side;
  decision->fate = fate;
  decision->result = result;
  if (result != LB_CHOSEN)
    return;
  lb_addr_copy(decision->backend, choice->address.word);
  decision->backend_port = choice->port;
}

static __always_inline void lb_decision_count(const struct lb_decision *decision)
{
  __u64 first = 1, *count = bpf_map_lookup_elem(&decisions, decision);

  if (!count) {
    if (!bpf_map_update_elem(&decisions, decision, &first, BPF_NOEXIST))
      return;
    count = bpf_map_lookup_elem(&decisions, decision);
  }
  if (count)
    __sync_fetch_and_add(count, 1);
}

static __always_inline void
lb_decision_send(const struct lb_decision *decision, const struct lb_addr *client, __be16 port)
{
  struct lb_decision_event *event;

  /* In shadow mode no ports are searched for, so that nobody else takes from this bucket. */
  if (!lb_allowed(LB_LIMIT_EVENT, LB_DECISIONS_PER_SECOND, LB_DECISIONS_PER_SECOND))
    return;
  event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event)
    return;
  __builtin_memset(event, 0, sizeof(*event));
  event->kind = LB_EVENT_DECISION;
  event->decision = *decision;
  lb_addr_copy(event->client, client->word);
  event->client_port = port;
  bpf_ringbuf_submit(event, 0);
}

/* Not about what goes on as it is. Not static, so that the verifier looks at it once. */
__weak __noinline int
lb_decision_tell(struct lb_decision *decision, struct lb_addr *client, __be16 port)
{
  struct lb_decision counted;

  if (!decision || !client || decision->fate == LB_FATE_PASS)
    return 0;
  lb_decision_send(decision, client, port);
  /* Linux 6.1 looks for keys on the stack. */
  counted = *decision;
  /* Who tries all ports or addresses must not use up the table. */
  if (lb_yields(counted.result))
    counted.frontend_port = 0;
  if (counted.result == LB_UNALLOCATED)
    __builtin_memset(counted.frontend, 0, sizeof(counted.frontend));
  lb_decision_count(&counted);
  return 0;
}

#endif /* BPF_LB_SHADOW_H */

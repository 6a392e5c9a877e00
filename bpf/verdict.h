/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet or of a socket's call, by what the choice of a backend ended in. */
#ifndef BPF_LB_VERDICT_H
#define BPF_LB_VERDICT_H

#include "service.h"

struct lb_verdict {
  enum lb_fate fate;
  enum lb_counter counter; /* of rejections and drops */
};

/*
 * Whether the result is about an address of frontends that may be this node's own, too: then its
 * other ports are as well, and it goes on as it is.
 */
static __always_inline bool lb_yields(enum lb_choice_result result)
{
  return result == LB_UNKNOWN_PORT || result == LB_UNALLOCATED || result == LB_NOT_OUTSIDE ||
         result == LB_UNSERVED_PORT;
}

/* `settings`: enum lb_setting. */
static __always_inline struct lb_verdict
lb_packet_verdict(enum lb_choice_result result, __u32 settings)
{
  switch (result) {
  case LB_CHOSEN:
    return (struct lb_verdict){.fate = LB_FATE_FORWARD};
  case LB_NO_SERVICE:
    return (struct lb_verdict){.fate = LB_FATE_PASS};
  case LB_NO_BACKEND:
    if (settings & LB_SETTING_REJECT)
      return (struct lb_verdict){LB_FATE_REJECT, LB_COUNTER_REJECT_NO_BACKEND};
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_DROP_NO_BACKEND};
  case LB_NO_LOCAL_BACKEND:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_DROP_NO_LOCAL_BACKEND};
  case LB_DENIED:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_DROP_DENIED};
  case LB_NOT_OUTSIDE:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_DROP_CLUSTER_IP};
  case LB_UNKNOWN_PORT:
    return (struct lb_verdict){LB_FATE_REJECT, LB_COUNTER_REJECT_PORT};
  case LB_UNSERVED_PORT:
    return (struct lb_verdict){LB_FATE_UNROUTED, LB_COUNTER_DROP_PORT};
  case LB_UNALLOCATED:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_DROP_UNALLOCATED};
  case LB_UNDECIDED:
    return (struct lb_verdict){LB_FATE_REJECT, LB_COUNTER_REJECT_NO_FLOW};
  case LB_TORN:
    break;
  }
  return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_SERVICE_TORN};
}

static __always_inline struct lb_verdict lb_socket_verdict(enum lb_choice_result result)
{
  switch (result) {
  case LB_CHOSEN:
    return (struct lb_verdict){LB_FATE_FORWARD, LB_COUNTER_SOCKET_TRANSLATED};
  case LB_NO_SERVICE:
    return (struct lb_verdict){.fate = LB_FATE_PASS};
  case LB_NO_LOCAL_BACKEND:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_SOCKET_NO_LOCAL_BACKEND};
  case LB_DENIED:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_SOCKET_DENIED};
  case LB_UNALLOCATED:
    return (struct lb_verdict){LB_FATE_DROP, LB_COUNTER_SOCKET_UNALLOCATED};
  case LB_TORN:
    return (struct lb_verdict){LB_FATE_REJECT, LB_COUNTER_SERVICE_TORN};
  default:
    return (struct lb_verdict){LB_FATE_REJECT, LB_COUNTER_SOCKET_REFUSED};
  }
}

#endif /* BPF_LB_VERDICT_H */

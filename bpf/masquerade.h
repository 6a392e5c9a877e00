/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a flow has to leave with an address of this node: kube-proxy's rules of masquerading. */
#ifndef BPF_LB_MASQUERADE_H
#define BPF_LB_MASQUERADE_H

#include "choose.h"

/* `settings`: enum lb_setting. A backend that asks for itself would answer itself. */
static __always_inline bool
lb_masquerades(const struct lb_choice *choice, const struct lb_addr *client, bool inside,
               __u32 settings)
{
  if (lb_addr_equal(client->word, choice->address.word))
    return true;
  if (!(choice->flags & (inside ? LB_SERVICE_INSIDE_SNAT : LB_SERVICE_OUTSIDE_SNAT)))
    return false;
  return !(choice->backend & LB_BACKEND_LOCAL) || settings & LB_SETTING_MASQUERADE_LOCAL;
}

#endif /* BPF_LB_MASQUERADE_H */

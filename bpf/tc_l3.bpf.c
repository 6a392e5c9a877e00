// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The packet path on devices without link headers (tun, WireGuard, PPP): the IP header comes first.
 */
#define LB_L3 0
#define LB_INGRESS bpf_lb_ingress_l3
#define LB_EGRESS bpf_lb_egress_l3
#define LB_PART(name) lb_l3_##name
#include "tc.bpf.c"

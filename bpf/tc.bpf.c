// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The packet path. The ingress program of a selected device translates packets to frontends, and
 * the replies of backends, and sends them out itself; the egress program gives the replies of this
 * node's backends the frontend as their source. What is no service's is left to the next program.
 *
 * Compiled twice: tc_l3.bpf.c is the same for devices without link headers.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#ifndef LB_INGRESS
#define LB_INGRESS bpf_lb_ingress
#define LB_EGRESS bpf_lb_egress
#define LB_PART(name) lb_##name
#endif

#include "continued.h"
#include "control.h"
#include "first.h"
#include "leave.h"
#include "share.h"
#include "work.h"

/*
 * A packet of a flow that exists. Cheap tests come before the tables: what backends send comes from
 * a port of theirs, and what clients send goes to an address of frontends, or of this node.
 */
static __always_inline int pass(struct __sk_buff *skb, bool v6)
{
  struct lb_work *w = lb_work();
  __u8 from, to, network;
  struct lb_addr address;
  int verdict;

  if (!w)
    return LB_NEXT;
  verdict = parse(skb, v6, &w->packet);
  if (verdict != LB_NO_FLOW)
    return verdict;
  address = lb_destination(&w->packet.tuple, v6);
  network = lb_network_hints(&address, v6);
  from = lb_port_hints(bpf_ntohs(lb_sport(&w->packet.tuple, v6)));
  to = lb_port_hints(bpf_ntohs(lb_dport(&w->packet.tuple, v6)));
  if ((from & LB_PORT_FLOW ||
       (to & LB_PORT_FLOW &&
        (to & LB_PORT_WILDCARD || network & (v6 ? LB_NETWORK_FLOW6 : LB_NETWORK_FLOW4) ||
         lb_address_flags(&address, v6)))) &&
      continued(w, v6, false))
    return forward(skb, w, v6);
  /* The rest is for services, if there may be one. */
  return to & LB_PORT_WILDCARD || network & (v6 ? LB_NETWORK_FRONTEND6 : LB_NETWORK_FRONTEND4)
             ? LB_NO_FLOW
             : LB_NEXT;
}

/*
 * Functions of their own, one after the other: all their variables would not fit on one stack. Not
 * static, so that the verifier looks at each of them once.
 */
__noinline int LB_PART(pass4)(struct __sk_buff *skb) { return pass(skb, false); }

__noinline int LB_PART(pass6)(struct __sk_buff *skb) { return pass(skb, true); }

__noinline int LB_PART(decide4)(bool inside)
{
  return inside ? decide(false, LB_SIDE_POD) : decide(false, LB_SIDE_OUTSIDE);
}

__noinline int LB_PART(decide6)(bool inside)
{
  return inside ? decide(true, LB_SIDE_POD) : decide(true, LB_SIDE_OUTSIDE);
}

__noinline int LB_PART(owner4)(struct __sk_buff *skb, bool inside)
{
  return owner_of(skb, false, inside);
}

__noinline int LB_PART(owner6)(struct __sk_buff *skb, bool inside)
{
  return owner_of(skb, true, inside);
}

__noinline int LB_PART(tell4)(struct __sk_buff *skb, bool inside, enum lb_choice_result result)
{
  return tell(skb, false, inside, result);
}

__noinline int LB_PART(tell6)(struct __sk_buff *skb, bool inside, enum lb_choice_result result)
{
  return tell(skb, true, inside, result);
}

__noinline int LB_PART(start4)(struct __sk_buff *skb, bool inside)
{
  return start(skb, false, inside);
}

__noinline int LB_PART(start6)(struct __sk_buff *skb, bool inside)
{
  return start(skb, true, inside);
}

__noinline int LB_PART(refuse4)(struct __sk_buff *skb, enum lb_choice_result result)
{
  return refuse(skb, false, result);
}

__noinline int LB_PART(refuse6)(struct __sk_buff *skb, enum lb_choice_result result)
{
  return refuse(skb, true, result);
}

__noinline int LB_PART(control4)(struct __sk_buff *skb, bool leaving)
{
  return control(skb, false, leaving);
}

__noinline int LB_PART(control6)(struct __sk_buff *skb, bool leaving)
{
  return control(skb, true, leaving);
}

__noinline int LB_PART(leave4)(struct __sk_buff *skb) { return leave(skb, false); }

__noinline int LB_PART(leave6)(struct __sk_buff *skb) { return leave(skb, true); }

__noinline int LB_PART(own4)(struct __sk_buff *skb) { return own(skb, false); }

__noinline int LB_PART(own6)(struct __sk_buff *skb) { return own(skb, true); }

/* A packet of no flow: the first of one, if it is for a service. */
static __always_inline int open(struct __sk_buff *skb, bool v6)
{
  bool inside = side_of(skb) == LB_SIDE_POD;
  int owner = LB_OWNER_US, result;

  if (lb_shares())
    owner = v6 ? LB_PART(owner6)(skb, inside) : LB_PART(owner4)(skb, inside);
  if (owner == LB_OWNER_OTHERS)
    return LB_NEXT;
  result = v6 ? LB_PART(decide6)(inside) : LB_PART(decide4)(inside);
  if (result == LB_NO_SERVICE)
    return LB_NEXT;
  if (owner == LB_OWNER_SHADOWED)
    return v6 ? LB_PART(tell6)(skb, inside, result) : LB_PART(tell4)(skb, inside, result);
  if (result == LB_CHOSEN)
    return v6 ? LB_PART(start6)(skb, inside) : LB_PART(start4)(skb, inside);
  return v6 ? LB_PART(refuse6)(skb, result) : LB_PART(refuse4)(skb, result);
}

/* A tag that the device took off belongs to a VLAN device, which has programs of its own. */
SEC("tcx/ingress")
int LB_INGRESS(struct __sk_buff *skb)
{
  int verdict;

  /* A device that listens to all shows frames that are for others. */
  if (skb->vlan_present || skb->pkt_type != PACKET_HOST)
    return LB_NEXT;
  /* Where it was sent from this machine, its way begins anew. */
  if (skb->tc_index == LB_TRANSLATED)
    skb->tc_index = 0;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    verdict = LB_PART(pass4)(skb);
    return verdict == LB_NO_FLOW      ? open(skb, false)
           : verdict == LB_IS_CONTROL ? LB_PART(control4)(skb, false)
                                      : verdict;
  }
  if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    verdict = LB_PART(pass6)(skb);
    return verdict == LB_NO_FLOW      ? open(skb, true)
           : verdict == LB_IS_CONTROL ? LB_PART(control6)(skb, false)
                                      : verdict;
  }
  return LB_NEXT;
}

SEC("tcx/egress")
int LB_EGRESS(struct __sk_buff *skb)
{
  int verdict;

  /* The mark stays on: others of our programs may follow, of another LoadBalancer. */
  if (skb->tc_index == LB_TRANSLATED || skb->vlan_present)
    return LB_NEXT;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    verdict = LB_PART(leave4)(skb);
    return verdict == LB_NO_FLOW      ? LB_PART(own4)(skb)
           : verdict == LB_IS_CONTROL ? LB_PART(control4)(skb, true)
                                      : verdict;
  }
  if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    verdict = LB_PART(leave6)(skb);
    return verdict == LB_NO_FLOW      ? LB_PART(own6)(skb)
           : verdict == LB_IS_CONTROL ? LB_PART(control6)(skb, true)
                                      : verdict;
  }
  return LB_NEXT;
}

char _license[] SEC("license") = "Dual BSD/GPL";

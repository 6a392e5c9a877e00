// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The way in from outside. The ingress program of a selected device translates packets to frontends
 * and the replies of backends on other nodes, and sends them out itself; the egress program gives
 * the replies of this node's backends the frontend as their source. What is no service's is left
 * to the next program.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"
#include "packet.h"
#include "service.h"

/* In tc_index of a packet that an ingress program sent to a device with an egress program. */
#define LB_TRANSLATED 0xb1b

/* Both clsact and tcx go on with the next program. */
#define LB_NEXT TC_ACT_UNSPEC

static __always_inline int drop(enum lb_counter reason)
{
  lb_count(reason);
  return TC_ACT_SHOT;
}

static __always_inline long
route(struct __sk_buff *skb, const union lb_tuple *t, bool v6, struct bpf_fib_lookup *fib)
{
  __builtin_memset(fib, 0, sizeof(*fib));
  fib->ifindex = skb->ifindex;
  if (v6) {
    fib->family = LB_AF_INET6;
    lb_addr_copy(fib->ipv6_src, t->v6.saddr);
    lb_addr_copy(fib->ipv6_dst, t->v6.daddr);
  } else {
    fib->family = LB_AF_INET;
    fib->ipv4_src = t->v4.saddr;
    fib->ipv4_dst = t->v4.daddr;
  }
  return bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
}

/* There is a way on; its neighbour may still have to be resolved, which the redirect does. */
static __always_inline bool routed(long result)
{
  return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH;
}

/* Sends a translated packet on, past the stack of this node. */
static __always_inline int send(struct __sk_buff *skb, const struct bpf_fib_lookup *fib)
{
  /* Of the next hop, which for an IPv4 route may be an IPv6 one. */
  struct bpf_redir_neigh next = {.nh_family = fib->family};
  __u32 ifindex = fib->ifindex;

  lb_addr_copy(next.ipv6_nh, fib->ipv6_dst);
  if (bpf_map_lookup_elem(&devices, &ifindex))
    skb->tc_index = LB_TRANSLATED;
  return (int)bpf_redirect_neigh(ifindex, &next, sizeof(next), 0);
}

/* Translates one packet of a flow and passes it on. */
static __always_inline int
forward(struct __sk_buff *skb, struct lb_packet *p, const union lb_tuple *to, __u32 address_delta,
        __u32 port_delta, bool v6)
{
  struct bpf_fib_lookup fib;
  bool redirect = routed(route(skb, to, v6, &fib));

  if (redirect && p->ttl <= 1)
    return drop(LB_COUNTER_DROP_TTL);
  if (!lb_rewrite(skb, p, to, v6, address_delta, port_delta, redirect))
    return drop(LB_COUNTER_DROP_MALFORMED);
  /* Not routed: for a socket of this node, or for the stack to answer with an error. */
  return redirect ? send(skb, &fib) : LB_NEXT;
}

static __always_inline struct lb_addr destination(const struct lb_packet *p, bool v6)
{
  struct lb_addr to;

  if (!v6)
    return lb_addr_from4(p->tuple.v4.daddr);
  lb_addr_copy(to.word, p->tuple.v6.daddr);
  return to;
}

static __always_inline __u32 draw(void *unused) { return bpf_get_prandom_u32(); }

static __always_inline enum lb_choice_result
choose(const struct lb_packet *p, bool v6, __u8 hints, struct lb_choice *choice)
{
  struct lb_addr to = destination(p, v6);

  return lb_frontend_choose(&to, lb_dport(&p->tuple, v6), p->protocol, v6, LB_SIDE_DEVICE, hints,
                            false, draw, NULL, choice);
}

/*
 * The first packet of a flow. A backend that is reached through a device to other nodes would
 * answer the client directly, so the flow gets this node's address as its source; one on this node
 * sees the client.
 */
static __always_inline int
begin(struct __sk_buff *skb, struct lb_packet *p, bool v6, const struct lb_choice *choice)
{
  const struct lb_settings *s = lb_settings();
  __u32 now = lb_now();
  struct lb_flow flow = {.service = choice->service};
  union lb_tuple to = p->tuple;
  bool own_source = false;
  struct bpf_fib_lookup fib;
  __u32 ifindex;

  if (!s)
    return LB_NEXT;
  if (v6) {
    lb_addr_copy(to.v6.daddr, choice->address.word);
    to.v6.dport = choice->port;
  } else {
    to.v4.daddr = choice->address.word[3];
    to.v4.dport = choice->port;
  }
  if (!(choice->flags & LB_BACKEND_LOCAL) && routed(route(skb, &to, v6, &fib))) {
    const struct lb_device *device;

    ifindex = fib.ifindex;
    device = bpf_map_lookup_elem(&devices, &ifindex);
    if (device && device->role == LB_DEVICE_EXTERNAL) {
      if (v6 ? !(device->source6[0] | device->source6[1] | device->source6[2] | device->source6[3])
             : !device->source4)
        return drop(LB_COUNTER_DROP_NO_SOURCE);
      own_source = true;
      if (v6)
        lb_addr_copy(to.v6.saddr, device->source6);
      else
        to.v4.saddr = device->source4;
    }
  }
  flow.state = p->protocol == IPPROTO_TCP ? LB_FLOW_OPENING : LB_FLOW_DATAGRAM;
  flow.expires = now + lb_lifetime(s, flow.state);
  switch (lb_flow_create(&p->tuple, &to, &flow, v6, own_source, now, s)) {
  case LB_CREATED:
    lb_count(LB_COUNTER_FLOW_CREATED);
    return forward(skb, p, &to, flow.address_delta, flow.port_delta, v6);
  case LB_EXISTS: {
    /* Another CPU was first with a packet of the same flow: its choice stands. */
    void *entry = lb_flow_lookup(&p->tuple, v6);
    struct lb_flow *other;

    if (!entry)
      return drop(LB_COUNTER_DROP_FLOW_FULL);
    other = lb_flow_of(entry, v6);
    lb_flow_target(entry, v6, &to);
    return forward(skb, p, &to, other->address_delta, other->port_delta, v6);
  }
  case LB_NO_PORT:
    return drop(LB_COUNTER_DROP_NO_PORT);
  default:
    return drop(LB_COUNTER_DROP_FLOW_FULL);
  }
}

/*
 * The flow of a packet, brought up to date; NULL when there is none, or when the packet opens a
 * connection anew on the tuple of a closed one. `replies`: only flows from backends to clients.
 */
static __always_inline struct lb_flow *
continued(const struct lb_packet *p, bool v6, bool replies, union lb_tuple *to)
{
  void *entry = lb_flow_lookup(&p->tuple, v6);
  const struct lb_settings *s = lb_settings();
  struct lb_flow *flow;
  __u32 now;

  if (!entry || !s)
    return NULL;
  now = lb_now();
  flow = lb_flow_of(entry, v6);
  if (lb_expired(flow, now) || (replies && !(flow->flags & LB_FLOW_REPLY)))
    return NULL;
  lb_flow_target(entry, v6, to);
  if (p->protocol == IPPROTO_TCP) {
    if (p->tcp_flags & LB_TCP_SYN && flow->state == LB_FLOW_CLOSING &&
        !(flow->flags & LB_FLOW_REPLY)) {
      lb_flow_end(&p->tuple, to, v6);
      return NULL;
    }
    if (flow->state == LB_FLOW_OPENING || p->tcp_flags & (LB_TCP_FIN | LB_TCP_RST) ||
        (flow->fin && flow->peer_fin))
      lb_flow_tcp(flow, &p->tuple, to, v6, p->tcp_flags);
  }
  if (!lb_flow_touch(flow, &p->tuple, to, v6, now, s)) {
    lb_flow_delete(&p->tuple, v6);
    return NULL;
  }
  return flow;
}

/* Whether a packet is addressed to this node itself. */
static __always_inline bool is_own(const struct lb_packet *p, bool v6)
{
  struct lb_addr to = destination(p, v6);

  return lb_address_flags(&to, v6) & LB_ADDRESS_NODE;
}

/* Not a verdict: there is no flow yet, but there may be a service. */
#define LB_NO_FLOW (-2)

/* A packet of a flow that exists. */
static __always_inline int pass(struct __sk_buff *skb, bool v6)
{
  struct lb_packet p = {};
  struct lb_flow *flow;
  union lb_tuple to;
  __u8 hints;

  if (!lb_parse(skb, v6, &p))
    return LB_NEXT;
  hints = lb_port_hints(bpf_ntohs(lb_dport(&p.tuple, v6))) |
          lb_port_hints(bpf_ntohs(lb_sport(&p.tuple, v6)));
  if (!(hints & LB_PORT_FLOW))
    return LB_NEXT;
  flow = continued(&p, v6, false, &to);
  if (!flow)
    return LB_NO_FLOW;
  return forward(skb, &p, &to, flow->address_delta, flow->port_delta, v6);
}

/* A packet of no flow: the first of one, if it is for a service. */
static __always_inline int open(struct __sk_buff *skb, bool v6)
{
  struct lb_packet p = {};
  struct lb_choice choice;

  if (!lb_parse(skb, v6, &p))
    return LB_NEXT;
  switch (choose(&p, v6, lb_port_hints(bpf_ntohs(lb_dport(&p.tuple, v6))), &choice)) {
  case LB_CHOSEN:
    /* A segment in the middle of a connection that we do not know: the stack answers it. */
    if (p.protocol == IPPROTO_TCP && (p.tcp_flags & (LB_TCP_SYN | LB_TCP_ACK)) != LB_TCP_SYN)
      return LB_NEXT;
    return begin(skb, &p, v6, &choice);
  case LB_NO_SERVICE:
    return LB_NEXT;
  case LB_NO_BACKEND:
    /* The stack knows no listener either, and refuses in its own words what is for this node. */
    return is_own(&p, v6) ? LB_NEXT : drop(LB_COUNTER_DROP_NO_BACKEND);
  case LB_NO_LOCAL_BACKEND:
    return drop(LB_COUNTER_DROP_NO_LOCAL_BACKEND);
  default:
    return TC_ACT_SHOT;
  }
}

static __always_inline int egress(struct __sk_buff *skb, bool v6)
{
  struct lb_packet p = {};
  struct lb_flow *flow;
  union lb_tuple to;

  if (!lb_parse(skb, v6, &p))
    return LB_NEXT;
  if (!(lb_port_hints(bpf_ntohs(lb_sport(&p.tuple, v6))) & LB_PORT_FLOW))
    return LB_NEXT;
  flow = continued(&p, v6, true, &to);
  if (!flow)
    return LB_NEXT;
  if (!lb_rewrite(skb, &p, &to, v6, flow->address_delta, flow->port_delta, false))
    return drop(LB_COUNTER_DROP_MALFORMED);
  return LB_NEXT;
}

/* Functions of their own, one after the other: all their variables would not fit on one stack. */
static __noinline int pass4(struct __sk_buff *skb) { return pass(skb, false); }

static __noinline int pass6(struct __sk_buff *skb) { return pass(skb, true); }

static __noinline int open4(struct __sk_buff *skb) { return open(skb, false); }

static __noinline int open6(struct __sk_buff *skb) { return open(skb, true); }

static __noinline int egress4(struct __sk_buff *skb) { return egress(skb, false); }

static __noinline int egress6(struct __sk_buff *skb) { return egress(skb, true); }

/* A tag that the device took off belongs to a VLAN device, which has programs of its own. */
SEC("tcx/ingress")
int bpf_lb_ingress(struct __sk_buff *skb)
{
  int verdict;

  /* A device that listens to all shows frames that are for others. */
  if (skb->vlan_present || skb->pkt_type != PACKET_HOST)
    return LB_NEXT;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    verdict = pass4(skb);
    return verdict == LB_NO_FLOW ? open4(skb) : verdict;
  }
  if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    verdict = pass6(skb);
    return verdict == LB_NO_FLOW ? open6(skb) : verdict;
  }
  return LB_NEXT;
}

SEC("tcx/egress")
int bpf_lb_egress(struct __sk_buff *skb)
{
  if (skb->tc_index == LB_TRANSLATED) {
    skb->tc_index = 0;
    return LB_NEXT;
  }
  if (skb->vlan_present)
    return LB_NEXT;
  if (skb->protocol == bpf_htons(ETH_P_IP))
    return egress4(skb);
  if (skb->protocol == bpf_htons(ETH_P_IPV6))
    return egress6(skb);
  return LB_NEXT;
}

char _license[] SEC("license") = "Dual BSD/GPL";

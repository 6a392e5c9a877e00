/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The way on: the kernel's routing table is asked for every packet, so routes may change at any
 * time. */
#ifndef BPF_LB_ROUTE_H
#define BPF_LB_ROUTE_H

#include <linux/errno.h>

#include "packet.h"
#include "service.h"
#include "work.h"

/* In tc_index of a packet that an ingress program sent out: its egress program lets it pass. */
#define LB_TRANSLATED 0xb1b

/* Both clsact and tcx go on with the next program. */
#define LB_NEXT TC_ACT_UNSPEC

/*
 * Bytes of the largest packet on the wire that this one stands for: a merged one is cut again into
 * pieces of its first size.
 */
static __always_inline __u16 lb_wire_length(struct __sk_buff *skb, const struct lb_packet *p)
{
  __u32 header = p->protocol == IPPROTO_TCP ? p->header : sizeof(struct udphdr);

  return (__u16)(skb->gso_size ? p->l4 - LB_L3 + header + skb->gso_size : p->length);
}

/*
 * Where the neighbour is resolved when the packet is redirected, the lookup need not do it too.
 * Kernels before 6.3 refuse a flag that they do not know: the first packet finds out.
 */
static volatile __u32 lb_fib_flags = BPF_FIB_LOOKUP_SKIP_NEIGH;

/* Whether some devices hand packets to their other ends: these need a link header from us. */
static __always_inline bool lb_reaches_peers(void)
{
  const struct lb_settings *s = lb_settings();

  return LB_L3 && s && s->flags & LB_SETTING_TO_PEERS;
}

static __always_inline void lb_route_ask(struct __sk_buff *skb, const union lb_tuple *t, bool v6,
                                         __u16 length, struct bpf_fib_lookup *fib)
{
  __builtin_memset(fib, 0, sizeof(*fib));
  fib->ifindex = skb->ifindex;
  fib->tot_len = length;
  /* Routes with several next hops spread flows by ports, too. */
  fib->l4_protocol = v6 ? t->v6.protocol : t->v4.protocol;
  fib->sport = lb_sport(t, v6);
  fib->dport = lb_dport(t, v6);
  if (v6) {
    fib->family = LB_AF_INET6;
    lb_addr_copy(fib->ipv6_src, t->v6.saddr);
    lb_addr_copy(fib->ipv6_dst, t->v6.daddr);
  } else {
    fib->family = LB_AF_INET;
    fib->ipv4_src = t->v4.saddr;
    fib->ipv4_dst = t->v4.daddr;
  }
}

static __always_inline long lb_route(struct __sk_buff *skb, const union lb_tuple *t, bool v6,
                                     __u16 length, __u32 flags, struct bpf_fib_lookup *fib)
{
  __u32 supported = lb_reaches_peers() ? 0 : lb_fib_flags;
  long result;

  lb_route_ask(skb, t, v6, length, fib);
  result = bpf_fib_lookup(skb, fib, sizeof(*fib), flags | supported);
  if (result != -EINVAL || !supported)
    return result;
  lb_fib_flags = 0;
  lb_route_ask(skb, t, v6, length, fib);
  return bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
}

/* There is a way on; its neighbour may still have to be resolved, which the redirect does. */
static __always_inline bool lb_routed(long result)
{
  return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH ||
         result == BPF_FIB_LKUP_RET_FRAG_NEEDED;
}

/* Makes the link header that the device's other end would see; false when it has to be sent. */
static __always_inline bool lb_reach_peer(struct __sk_buff *skb, const struct bpf_fib_lookup *fib)
{
  const struct lb_device *device;
  __u32 ifindex = fib->ifindex;
  struct ethhdr *ethernet;

  if (!lb_reaches_peers() ||
      !(fib->dmac[0] | fib->dmac[1] | fib->dmac[2] | fib->dmac[3] | fib->dmac[4] | fib->dmac[5]))
    return false;
  device = bpf_map_lookup_elem(&devices, &ifindex);
  if (!device || !(device->flags & LB_DEVICE_TO_PEER))
    return false;
  ethernet = (void *)(long)skb->data;
  if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
    return false;
  __builtin_memcpy(ethernet->h_dest, fib->dmac, ETH_ALEN);
  __builtin_memcpy(ethernet->h_source, fib->smac, ETH_ALEN);
  return true;
}

/* Sends a translated packet on, past the stack of this node. */
static __always_inline int lb_send(struct __sk_buff *skb, const struct bpf_fib_lookup *fib)
{
  /* Of the next hop, which for an IPv4 route may be an IPv6 one. */
  struct bpf_redir_neigh next = {.nh_family = fib->family};

  if (lb_reach_peer(skb, fib))
    return (int)bpf_redirect_peer(fib->ifindex, 0);
  lb_addr_copy(next.ipv6_nh, fib->ipv6_dst);
  skb->tc_index = LB_TRANSLATED;
  /* The kernel fills in a link header, but expects room for one. */
  if (LB_L3 == 0 && bpf_skb_change_head(skb, ETH_HLEN, 0))
    return TC_ACT_SHOT;
  return (int)bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
}

/*
 * Where the route to a backend leaves the node, and the address that the host itself would send
 * from. False when it does not leave: the destination is the node's own, or cannot be reached.
 */
static __always_inline bool lb_route_out(struct __sk_buff *skb, struct lb_work *w, bool v6,
                                         __u32 *ifindex, struct lb_addr *source)
{
  const struct lb_device *device;

  w->turned = w->to;
  if (v6)
    __builtin_memset(w->turned.v6.saddr, 0, sizeof(w->turned.v6.saddr));
  else
    w->turned.v4.saddr = 0;
  if (lb_routed(lb_route(skb, &w->turned, v6, 0, BPF_FIB_LOOKUP_SRC, &w->fib))) {
    *ifindex = w->fib.ifindex;
    if (v6)
      lb_addr_copy(source->word, w->fib.ipv6_src);
    else
      *source = lb_addr_from4(w->fib.ipv4_src);
    return true;
  }
  /* The route has no address of its own to offer, or the kernel (before 6.7) knows no such
   * question. */
  if (!lb_routed(lb_route(skb, &w->to, v6, 0, 0, &w->fib)))
    return false;
  *ifindex = w->fib.ifindex;
  device = bpf_map_lookup_elem(&devices, ifindex);
  if (device && v6)
    lb_addr_copy(source->word, device->source6);
  else if (device)
    *source = lb_addr_from4(device->source4);
  return true;
}

#endif /* BPF_LB_ROUTE_H */

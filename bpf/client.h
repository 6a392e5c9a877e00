/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The name that a socket has as a client before it has a source address: the first address of the
 * first device of its network namespace that is not loopback, which for a pod is the pod's address.
 * So a client is the same one whether its sockets are translated or its packets.
 */
#ifndef BPF_LB_CLIENT_H
#define BPF_LB_CLIENT_H

#include <stddef.h>

#include <bpf/bpf_core_read.h>

#include "address.h"
#include "clock.h"
#include "cookie.h"
#include "kernel.h"
#include "maps.h"

/* Addresses of pods do not change; those of hosts may. */
#define LB_CLIENT_LIFETIME 10

/* Devices and IPv6 addresses that are looked at. */
#define LB_CLIENT_STEPS 128

#define LB_IFF_LOOPBACK 0x8

/* A walk through the namespace's devices, and through the IPv6 addresses of each. */
struct lb_client_walk {
  struct list_head *devices; /* the list's head */
  struct list_head *device;
  struct list_head *addresses;
  struct list_head *address; /* NULL: of no device */
  struct lb_client *client;
};

static __always_inline struct list_head *lb_client_next(struct list_head *at)
{
  return BPF_CORE_READ(at, next);
}

static __always_inline bool lb_client_has6(const struct lb_client *client)
{
  return client->address6[0] || client->address6[1];
}

/* Many a device has an address of its link alone: the next one is looked at. */
static __always_inline void lb_client_address6(struct lb_client_walk *walk)
{
  struct inet6_ifaddr *address =
      (void *)walk->address - bpf_core_field_offset(struct inet6_ifaddr, if_list);

  walk->address = lb_client_next(walk->address);
  if (walk->address == walk->addresses)
    walk->address = NULL;
  /* Zero is global. */
  if (BPF_CORE_READ(address, scope))
    return;
  bpf_core_read(&walk->client->address6, sizeof(walk->client->address6), &address->addr);
  walk->address = NULL;
}

static __always_inline void lb_client_device(struct lb_client_walk *walk)
{
  struct net_device *device =
      (void *)walk->device - bpf_core_field_offset(struct net_device, dev_list);
  struct inet6_dev *in6;

  walk->device = lb_client_next(walk->device);
  if (BPF_CORE_READ(device, flags) & LB_IFF_LOOPBACK)
    return;
  if (!walk->client->address4)
    walk->client->address4 = BPF_CORE_READ(device, ip_ptr, ifa_list, ifa_local);
  in6 = BPF_CORE_READ(device, ip6_ptr);
  if (!in6 || lb_client_has6(walk->client))
    return;
  walk->addresses = (void *)in6 + bpf_core_field_offset(struct inet6_dev, addr_list);
  walk->address = lb_client_next(walk->addresses);
  if (walk->address == walk->addresses)
    walk->address = NULL;
}

static long lb_client_step(__u32 index, void *context)
{
  struct lb_client_walk *walk = context;

  if (walk->address)
    lb_client_address6(walk);
  else if (!walk->device || walk->device == walk->devices)
    return 1;
  else
    lb_client_device(walk);
  return walk->client->address4 && lb_client_has6(walk->client);
}

/*
 * Looks into the caller's namespace and remembers what it found. Not static, so that the verifier
 * looks at it once.
 */
__noinline int lb_client_refresh(struct bpf_sock_addr *ctx)
{
  __u64 netns = bpf_get_netns_cookie(ctx);
  struct lb_client client = {.expires = lb_now() + LB_CLIENT_LIFETIME};
  struct lb_client_walk walk = {.client = &client};
  const struct bpf_sock_addr_kern *caller;
  struct net *net;

  if (!bpf_ksym_exists(bpf_cast_to_kern_ctx))
    return 0;
  caller = bpf_cast_to_kern_ctx(ctx);
  net = caller->sk->__sk_common.skc_net.net;
  walk.devices = (void *)net + bpf_core_field_offset(struct net, dev_base_head);
  walk.device = lb_client_next(walk.devices);
  bpf_loop(LB_CLIENT_STEPS, lb_client_step, &walk, 0);
  lb_lru_store(&clients, &netns, &client, BPF_ANY);
  return 1;
}

/* False when the kernel (before 6.2) does not let a program look, or the namespace has no such
 * address. */
static __always_inline bool
lb_client_of(struct bpf_sock_addr *ctx, bool v6, struct lb_addr *address)
{
  __u64 netns = bpf_get_netns_cookie(ctx);
  const struct lb_client *known = bpf_map_lookup_elem(&clients, &netns);

  if (!known || lb_is_over(known->expires, lb_now())) {
    if (!lb_client_refresh(ctx))
      return false;
    known = bpf_map_lookup_elem(&clients, &netns);
  }
  if (!known)
    return false;
  if (v6) {
    lb_addr_copy(address->word, known->address6);
    return known->address6[0] || known->address6[1];
  }
  *address = lb_addr_from4(known->address4);
  return known->address4 != 0;
}

#endif /* BPF_LB_CLIENT_H */

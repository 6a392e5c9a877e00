/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments. Only the first one of a datagram has the ports; they are kept for the others. One that
 * comes before the first cannot be told whose it is.
 */
#ifndef BPF_LB_FRAGMENT_H
#define BPF_LB_FRAGMENT_H

#include "clock.h"
#include "maps.h"
#include "packet.h"

/* As long as Linux waits for the rest of a datagram (net.ipv4.ipfrag_time). */
#define LB_FRAGMENT_LIFETIME 30

static __always_inline void
lb_fragment_key(const struct lb_packet *p, bool v6, struct lb_fragment_key *key)
{
  struct lb_addr from = lb_source(&p->tuple, v6), to = lb_destination(&p->tuple, v6);

  __builtin_memset(key, 0, sizeof(*key));
  lb_addr_copy(key->saddr, from.word);
  lb_addr_copy(key->daddr, to.word);
  key->id = p->fragment;
  key->protocol = p->protocol;
}

/* Remembers the ports of a first fragment that is translated. */
static __noinline int lb_fragment_keep(const struct lb_packet *p, bool v6)
{
  struct lb_fragment ports = {.sport = lb_sport(&p->tuple, v6),
                              .dport = lb_dport(&p->tuple, v6),
                              .expires = lb_now() + LB_FRAGMENT_LIFETIME};
  struct lb_fragment_key key;

  lb_fragment_key(p, v6, &key);
  return (int)lb_lru_store(&fragments, &key, &ports, BPF_ANY);
}

/* Completes the tuple of a later fragment; false when its first one is not known. */
static __noinline bool lb_fragment_find(struct lb_packet *p, bool v6)
{
  struct lb_fragment_key key;
  const struct lb_fragment *ports;

  lb_fragment_key(p, v6, &key);
  ports = bpf_map_lookup_elem(&fragments, &key);
  if (!ports || lb_is_over(ports->expires, lb_now()))
    return false;
  lb_set_ports(&p->tuple, ports->sport, ports->dport, v6);
  lb_set_protocol(&p->tuple, p->protocol, v6);
  p->tcp_flags = LB_TCP_ACK;
  return true;
}

#endif /* BPF_LB_FRAGMENT_H */

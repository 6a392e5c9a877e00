/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sockets as iterators see them: their ends, and which of them are where a translation put them. */
#ifndef BPF_LB_TRANSLATED_H
#define BPF_LB_TRANSLATED_H

#include "kernel.h"
#include "origin.h"

static __always_inline struct lb_addr lb_addr_from6(const struct lb_kernel_in6_addr *address)
{
  const __be32 *word = address->words;

  return (struct lb_addr){{word[0], word[1], word[2], word[3]}};
}

static __always_inline struct lb_addr lb_sock_source(const struct sock_common *sk)
{
  return sk->skc_family == LB_AF_INET ? lb_addr_from4(sk->skc_rcv_saddr)
                                      : lb_addr_from6(&sk->skc_v6_rcv_saddr);
}

static __always_inline struct lb_addr lb_sock_destination(const struct sock_common *sk)
{
  return sk->skc_family == LB_AF_INET ? lb_addr_from4(sk->skc_daddr)
                                      : lb_addr_from6(&sk->skc_v6_daddr);
}

/*
 * The origin of the connection that this socket has, or NULL. One that was never translated has no
 * cookie, as a rule, and is passed over for the price of looking.
 */
static __always_inline const struct lb_origin *lb_translated_from(struct sock_common *sk)
{
  struct lb_addr destination;
  __be16 port = sk->skc_dport;
  __u64 cookie = sk->skc_cookie.counter;

  if (!cookie || !port)
    return NULL;
  destination = lb_sock_destination(sk);
  return lb_origin_get((struct bpf_sock *)sk, cookie, &destination, port);
}

#endif /* BPF_LB_TRANSLATED_H */

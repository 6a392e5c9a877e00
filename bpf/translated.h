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

/* Hands a socket out to whoever reads the iterator. False when there is no room: it is asked again.
 */
static __always_inline bool
lb_translated_write(const struct bpf_iter_meta *meta, const struct sock_common *sk,
                    const struct lb_origin *origin, __u8 protocol)
{
  struct lb_addr source = lb_sock_source(sk);
  struct lb_translated found = {.protocol = protocol};

  found.cookie = sk->skc_cookie.counter;
  found.netns = sk->skc_net.net->net_cookie;
  found.origin = *origin;
  found.family = (__u8)sk->skc_family;
  found.state = sk->skc_state;
  found.ifindex = sk->skc_bound_dev_if;
  lb_addr_copy(found.source, source.word);
  found.source_port = bpf_htons(sk->skc_num);
  return bpf_seq_write(meta->seq, &found, sizeof(found)) == 0;
}

#endif /* BPF_LB_TRANSLATED_H */

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Lists the translated sockets of the network namespace that the iterator was opened in, as struct
 * lb_translated. Only connected ones: a datagram socket that is not asks anew with every datagram.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "translated.h"

/* The last call of an iteration has no socket. */
static __always_inline void
list(const struct bpf_iter_meta *meta, struct sock_common *sk, __u8 protocol)
{
  struct lb_translated found = {.protocol = protocol};
  const struct lb_origin *origin = sk ? lb_translated_from(sk) : NULL;
  struct lb_addr source;

  if (!origin)
    return;
  source = lb_sock_source(sk);
  found.cookie = sk->skc_cookie.counter;
  found.netns = sk->skc_net.net->net_cookie;
  found.origin = *origin;
  found.family = (__u8)sk->skc_family;
  found.state = sk->skc_state;
  found.ifindex = sk->skc_bound_dev_if;
  lb_addr_copy(found.source, source.word);
  found.source_port = bpf_htons(sk->skc_num);
  bpf_seq_write(meta->seq, &found, sizeof(found));
}

SEC("iter/tcp")
int bpf_lb_list_tcp(struct bpf_iter__tcp *ctx)
{
  list(ctx->meta, ctx->sk_common, IPPROTO_TCP);
  return 0;
}

SEC("iter/udp")
int bpf_lb_list_udp(struct bpf_iter__udp *ctx)
{
  list(ctx->meta, (struct sock_common *)ctx->udp_sk, IPPROTO_UDP);
  return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Lists the translated sockets of the network namespace that the iterator was opened in, as struct
 * lb_translated. Only connected ones: a datagram socket that is not asks anew with every datagram.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_helpers.h>

#include "translated.h"

/* The last call of an iteration has no socket. */
static __always_inline void
list(const struct bpf_iter_meta *meta, struct sock_common *sk, __u8 protocol)
{
  const struct lb_origin *origin = sk ? lb_translated_from(sk) : NULL;

  if (origin)
    lb_translated_write(meta, sk, origin, protocol);
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

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Destroys the condemned sockets of the network namespace that the iterator was opened in, and
 * lists them as list.bpf.c does. Each is looked at again, so one that has gone elsewhere is left
 * alone. Needs Linux 6.5; before, these programs find nothing.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_helpers.h>

#include "translated.h"

int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

static __always_inline bool same_way(const struct lb_origin *a, const struct lb_origin *b)
{
  return a->frontend_port == b->frontend_port && lb_addr_equal(a->frontend, b->frontend) &&
         a->backend_port == b->backend_port && lb_addr_equal(a->backend, b->backend);
}

static __always_inline void
destroy(const struct bpf_iter_meta *meta, struct sock_common *sk, __u8 protocol)
{
  const struct lb_origin *origin = sk ? lb_translated_from(sk) : NULL;
  const struct lb_origin *sentence;
  __u64 cookie;

  if (!origin || !bpf_ksym_exists(bpf_sock_destroy))
    return;
  cookie = sk->skc_cookie.counter;
  sentence = bpf_map_lookup_elem(&condemned, &cookie);
  if (!sentence || !same_way(origin, sentence))
    return;
  /* It cannot be listed any more when it is gone. */
  if (lb_translated_write(meta, sk, origin, protocol))
    bpf_sock_destroy(sk);
}

SEC("iter/tcp")
int bpf_lb_destroy_tcp(struct bpf_iter__tcp *ctx)
{
  destroy(ctx->meta, ctx->sk_common, IPPROTO_TCP);
  return 0;
}

SEC("iter/udp")
int bpf_lb_destroy_udp(struct bpf_iter__udp *ctx)
{
  destroy(ctx->meta, (struct sock_common *)ctx->udp_sk, IPPROTO_UDP);
  return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";

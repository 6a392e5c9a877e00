/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Socket cookies. Asking for one makes one, which is dear; most sockets are never translated, and a
 * look at the socket itself shows that they have none. Kernels before 6.2 do not let a program
 * look: there every socket is given a cookie.
 */
#ifndef BPF_LB_COOKIE_H
#define BPF_LB_COOKIE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"

void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* The cookie of a closing socket; 0 when it has none. */
static __always_inline __u64 lb_cookie_of_sock(struct bpf_sock *ctx)
{
  const struct sock *sk;

  if (!bpf_ksym_exists(bpf_cast_to_kern_ctx))
    return bpf_get_socket_cookie(ctx);
  sk = bpf_cast_to_kern_ctx(ctx);
  return sk->__sk_common.skc_cookie.counter;
}

/* The cookie of a socket that an address is asked or told; 0 when it has none. */
static __always_inline __u64 lb_cookie_of_caller(struct bpf_sock_addr *ctx)
{
  const struct bpf_sock_addr_kern *caller;

  if (!bpf_ksym_exists(bpf_cast_to_kern_ctx))
    return bpf_get_socket_cookie(ctx);
  caller = bpf_cast_to_kern_ctx(ctx);
  return caller->sk->__sk_common.skc_cookie.counter;
}

#endif /* BPF_LB_COOKIE_H */

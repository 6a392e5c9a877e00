// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a hook costs before it does anything: the baseline for the cost of ours. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

enum { PROCEED = 1 };

SEC("cgroup/connect4")
int noop_connect4(struct bpf_sock_addr *ctx) { return PROCEED; }

SEC("cgroup/sendmsg4")
int noop_sendmsg4(struct bpf_sock_addr *ctx) { return PROCEED; }

SEC("cgroup/sock_release")
int noop_release(struct bpf_sock *ctx) { return PROCEED; }

char _license[] SEC("license") = "Dual BSD/GPL";

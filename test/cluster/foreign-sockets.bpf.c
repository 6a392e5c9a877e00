// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A program of somebody else on our cgroup: it refuses every connect() over IPv4.
#include <linux/bpf.h>

__attribute__((section("cgroup/connect4"), used)) int refuse(struct bpf_sock_addr *address)
{
  return 0;
}

__attribute__((section("license"), used)) char LICENSE[] = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A program of somebody else on our device: it drops TCP over IPv4 to port 30099.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

static long (*skb_load_bytes)(const void *skb, unsigned int offset, void *to, unsigned int length) =
    (void *)BPF_FUNC_skb_load_bytes;

__attribute__((section("tc"), used)) int foreign(struct __sk_buff *skb)
{
  unsigned char port[2] = {};

  if (skb->protocol == __builtin_bswap16(0x0800))
    skb_load_bytes(skb, 14 + 20 + 2, port, sizeof(port));
  return (port[0] << 8 | port[1]) == 30099 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

__attribute__((section("license"), used)) char LICENSE[] = "Dual BSD/GPL";

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Gives a program one packet after the other under BPF_PROG_TEST_RUN with `repeat`, where the
 * kernel builds a packet only once and a program finds it as its last run has left it. A program
 * here makes the packet new and then becomes the one that is measured, by a tail call: no way back
 * is needed, because the kernel starts the next run here again. A program that does nothing, called
 * the same way, says what this costs by itself.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packets.h"

/* Not in UAPI headers. */
enum { AF_INET = 2, AF_INET6 = 10 };

/* Programs to measure. */
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, SUBJECTS);
  __type(key, __u32);
  __type(value, __u32);
} subjects SEC(".maps");

/* Packets to measure with: what each has of its own. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct variation);
} variations SEC(".maps");

/* What all packets of a case have in common. */
union frame frame;

/* Index into `subjects`. */
__u32 subject;

/* The case's packets are so many of `variations` from here on. */
__u32 first;
__u32 count = 1;

/* Listed packets so far, and fresh ones. */
__u32 listed;
__u32 fresh;

static __always_inline int send(struct __sk_buff *skb, bool v6, const struct variation *variation)
{
  void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
  __u64 *words = data;

  if (data + sizeof(frame) > end)
    return TC_ACT_SHOT;
#pragma unroll
  for (int i = 0; i < FRAME_WORDS; i++)
    words[i] = frame.words[i];
  if (v6) {
    __u32 *source = data + offsetof(union frame, v6.ip.saddr);

    for (int i = 0; i < 4; i++)
      source[i] = variation->source[i];
    *(__u32 *)(data + offsetof(union frame, v6.tcp)) = variation->ports;
  } else {
    *(__u32 *)(data + offsetof(union frame, v4.ip.saddr)) = variation->source[3];
    *(__u32 *)(data + offsetof(union frame, v4.tcp)) = variation->ports;
  }
  skb->tc_index = 0;
  bpf_tail_call(skb, &subjects, subject);
  return TC_ACT_SHOT;
}

/* The next packet of a list. */
static __always_inline int send_listed(struct __sk_buff *skb, bool v6)
{
  __u32 index = first + listed++ % count;
  const struct variation *variation = bpf_map_lookup_elem(&variations, &index);

  return variation ? send(skb, v6, variation) : TC_ACT_SHOT;
}

/* A packet that nobody has sent before, like the first one of the list for the rest. */
static __always_inline int send_fresh(struct __sk_buff *skb, bool v6)
{
  const struct variation *model = bpf_map_lookup_elem(&variations, &first);
  struct variation variation;
  __u32 number = fresh++;

  if (!model)
    return TC_ACT_SHOT;
  variation = *model;
  variation.source[3] |= bpf_htonl(number & 0xffff);
  variation.sport = bpf_htons(FRESH_SPORT + number / 65536);
  return send(skb, v6, &variation);
}

SEC("tcx/ingress")
int listed4(struct __sk_buff *skb) { return send_listed(skb, false); }

SEC("tcx/ingress")
int listed6(struct __sk_buff *skb) { return send_listed(skb, true); }

SEC("tcx/ingress")
int fresh4(struct __sk_buff *skb) { return send_fresh(skb, false); }

SEC("tcx/ingress")
int fresh6(struct __sk_buff *skb) { return send_fresh(skb, true); }

SEC("tcx/ingress")
int nothing(struct __sk_buff *skb) { return TC_ACT_UNSPEC; }

/* The one thing that no way past the stack can do without: a yardstick. */
SEC("tcx/ingress")
int route(struct __sk_buff *skb)
{
  void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
  const union frame *packet = data;
  struct bpf_fib_lookup fib = {.ifindex = skb->ifindex};

  if (data + sizeof(*packet) > end)
    return TC_ACT_SHOT;
  if (packet->v4.ethernet.h_proto == bpf_htons(ETH_P_IP)) {
    fib.family = AF_INET;
    fib.ipv4_src = packet->v4.ip.saddr;
    fib.ipv4_dst = packet->v4.ip.daddr;
  } else {
    fib.family = AF_INET6;
    __builtin_memcpy(fib.ipv6_src, &packet->v6.ip.saddr, sizeof(fib.ipv6_src));
    __builtin_memcpy(fib.ipv6_dst, &packet->v6.ip.daddr, sizeof(fib.ipv6_dst));
  }
  return bpf_fib_lookup(skb, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_SUCCESS ? TC_ACT_UNSPEC
                                                                               : TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";

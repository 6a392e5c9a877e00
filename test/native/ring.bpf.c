// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes numbered records of different lengths into a ring buffer, one per run. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

__u32 number;

SEC("tc")
int emit(struct __sk_buff *skb)
{
  /* The number, and after it so many bytes as its last four bits say. */
  __u8 record[4 + 15] = {[4] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o'};

  __builtin_memcpy(record, &number, 4);
  bpf_ringbuf_output(&events, record, 4 + (number & 15), 0);
  number++;
  return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";

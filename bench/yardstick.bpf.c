// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What single operations cost on this machine: figures of two machines can be compared only beside
 * these. Run by BPF_PROG_TEST_RUN; `nothing` is what a run costs in itself.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

enum { ENTRIES = 65536, LRU_ENTRIES = 16384 };

struct key {
  __u32 address;
  __u16 port;
  __u16 protocol;
};

struct value {
  __u64 words[5];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, ENTRIES);
  __type(key, struct key);
  __type(value, struct value);
} hash SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, LRU_ENTRIES);
  __type(key, struct key);
  __type(value, struct value);
} lru SEC(".maps");

__u32 turn;
__u64 sink;

static __always_inline struct key key_of(__u32 number) { return (struct key){number, 80, 6}; }

/* Neither in order, which the processor foresees, nor at the price of a random number. */
static __always_inline __u32 jump(void)
{
  __u32 x = ++turn * 2654435761u;

  return (x ^ x >> 15) % ENTRIES;
}

static __always_inline int look_up(__u32 number)
{
  struct key key = key_of(number);
  struct value *value = bpf_map_lookup_elem(&hash, &key);

  if (value)
    sink += value->words[4];
  return TC_ACT_OK;
}

SEC("tc")
int fill(struct __sk_buff *skb)
{
  struct key key = key_of(++turn % ENTRIES);
  struct value value = {};

  return bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
}

SEC("tc")
int nothing(struct __sk_buff *skb) { return TC_ACT_OK; }

SEC("tc")
int random_number(struct __sk_buff *skb)
{
  sink += bpf_get_prandom_u32();
  return TC_ACT_OK;
}

SEC("tc")
int hash_same(struct __sk_buff *skb) { return look_up(1); }

SEC("tc")
int hash_random(struct __sk_buff *skb) { return look_up(jump()); }

SEC("tc")
int lru_insert_delete(struct __sk_buff *skb)
{
  struct key key = key_of(++turn);
  struct value value = {};

  bpf_map_update_elem(&lru, &key, &value, BPF_ANY);
  bpf_map_delete_elem(&lru, &key);
  return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What packets.c and packets.bpf.c share. */
#ifndef BENCH_PACKETS_H
#define BENCH_PACKETS_H

#include <stddef.h>

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>

/* What is run: nothing, a FIB lookup alone, the program of the clients' device, that of the
 * backends'. */
enum subject { NOTHING, ROUTE, AT_CLIENTS, AT_BACKENDS, SUBJECTS };

enum { FRAME_WORDS = 10, FRESH_SPORT = 1024 };

/* Both families have frames of one length, which is that of the longer headers. */
union frame {
  __u64 words[FRAME_WORDS];
  struct {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct tcphdr tcp;
  } __attribute__((packed)) v4;
  struct {
    struct ethhdr ethernet;
    struct ipv6hdr ip;
    struct tcphdr tcp;
  } __attribute__((packed)) v6;
};

/* What a packet has of its own; an IPv4 address is in the last word. As long as an element of an
 * array map: 8 n. */
struct variation {
  __be32 source[4];
  union {
    struct {
      __be16 sport, dport;
    };
    __u32 ports;
  };
  __u32 unused;
};
_Static_assert(sizeof(struct variation) % 8 == 0, "elements follow each other");

#endif /* BENCH_PACKETS_H */

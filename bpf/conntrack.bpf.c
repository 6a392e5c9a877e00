// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Looks a connection up in the kernel's own table, nf_conntrack. An object of its own: a kernel
 * function may be declared in only one of those that are linked.
 */
#include <stdbool.h>

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "conntrack.h"

/* Directions of a connection. */
enum { LB_CT_ORIGINAL, LB_CT_REPLY };

/* The part of the kernel's structs that is read; where it lies is filled in at loading. */
#define LB_KERNEL_STRUCT __attribute__((preserve_access_index))

union nf_inet_addr {
  __be32 all[4];
} LB_KERNEL_STRUCT;

union nf_conntrack_man_proto {
  __be16 all;
} LB_KERNEL_STRUCT;

struct nf_conntrack_man {
  union nf_inet_addr u3;
  union nf_conntrack_man_proto u;
} LB_KERNEL_STRUCT;

struct nf_conntrack_tuple {
  struct nf_conntrack_man src;
} LB_KERNEL_STRUCT;

struct nf_conntrack_tuple_hash {
  struct nf_conntrack_tuple tuple;
} LB_KERNEL_STRUCT;

struct ip_ct_tcp {
  __u8 state;
} LB_KERNEL_STRUCT;

union nf_conntrack_proto {
  struct ip_ct_tcp tcp;
} LB_KERNEL_STRUCT;

struct nf_conn {
  struct nf_conntrack_tuple_hash tuplehash[2]; /* by direction */
  unsigned long status;
  union nf_conntrack_proto proto;
} LB_KERNEL_STRUCT;

/* As Linux 5.18 has it; later ones take the shorter form, too. */
struct bpf_ct_opts {
  __s32 netns_id; /* -1: that of the packet's device */
  __s32 error;
  __u8 l4proto;
  __u8 dir;
  __u8 reserved[2];
};

extern struct nf_conn *
bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
                  struct bpf_ct_opts *opts, __u32 opts__sz) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *connection) __ksym __weak;

/*
 * Set before loading where the kernel has these functions and they are needed; without, the
 * verifier does not look at what calls them. Linux 6.1 cannot be asked by a program.
 */
const volatile __weak bool lb_reads_conntrack = false;

int lb_conntrack_find(struct __sk_buff *skb, struct lb_tracking *t)
{
  struct bpf_ct_opts options = {.netns_id = LB_CURRENT_NETNS};
  struct nf_conntrack_man *answer;
  struct nf_conn *connection;
  struct lb_tracked *found;

  if (!lb_reads_conntrack || !t)
    return false;
  options.l4proto = t->protocol;
  found = &t->found;
  connection =
      bpf_skb_ct_lookup(skb, &t->tuple, t->v6 ? sizeof(t->tuple.ipv6) : sizeof(t->tuple.ipv4),
                        &options, sizeof(options));
  if (!connection)
    return false;
  found->status = connection->status;
  found->tcp_state = connection->proto.tcp.state;
  found->reply = options.dir == LB_CT_REPLY;
  answer = &connection->tuplehash[LB_CT_REPLY].tuple.src;
  found->port = answer->u.all;
  found->address.word[0] = answer->u3.all[0];
  found->address.word[1] = answer->u3.all[1];
  found->address.word[2] = answer->u3.all[2];
  found->address.word[3] = answer->u3.all[3];
  bpf_ct_release(connection);
  if (!t->v6)
    found->address = lb_addr_from4(found->address.word[0]);
  return true;
}

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is read of the kernel's own structs. Fields are found by their names when a program is
 * loaded; what is not named here may lie anywhere between.
 */
#ifndef BPF_LB_KERNEL_H
#define BPF_LB_KERNEL_H

#include <linux/bpf.h>

#define LB_KERNEL __attribute__((preserve_access_index))

struct lb_kernel_counter {
  __s64 counter;
};

struct list_head {
  struct list_head *next;
} LB_KERNEL;

struct lb_kernel_in6_addr {
  __be32 words[4];
};

struct net {
  struct list_head dev_base_head;
  __u64 net_cookie;
} LB_KERNEL;

struct lb_kernel_net {
  struct net *net;
};

struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  volatile unsigned char skc_state;
  int skc_bound_dev_if;
  struct lb_kernel_net skc_net;
  struct lb_kernel_in6_addr skc_v6_daddr;
  struct lb_kernel_in6_addr skc_v6_rcv_saddr;
  struct lb_kernel_counter skc_cookie;
} LB_KERNEL;

struct sock {
  struct sock_common __sk_common;
} LB_KERNEL;

struct bpf_sock_addr_kern {
  struct sock *sk;
} LB_KERNEL;

struct in_ifaddr {
  __be32 ifa_local;
} LB_KERNEL;

struct in_device {
  struct in_ifaddr *ifa_list;
} LB_KERNEL;

struct inet6_ifaddr {
  struct lb_kernel_in6_addr addr;
  __u16 scope;
  struct list_head if_list;
} LB_KERNEL;

struct inet6_dev {
  struct list_head addr_list;
} LB_KERNEL;

struct net_device {
  struct list_head dev_list;
  unsigned int flags;
  struct in_device *ip_ptr;
  struct inet6_dev *ip6_ptr;
} LB_KERNEL;

struct seq_file;

struct bpf_iter_meta {
  struct seq_file *seq;
} LB_KERNEL;

/* A UDP socket begins with all that is read of it. */
struct udp_sock;

struct bpf_iter__tcp {
  struct bpf_iter_meta *meta;
  struct sock_common *sk_common;
} LB_KERNEL;

struct bpf_iter__udp {
  struct bpf_iter_meta *meta;
  struct udp_sock *udp_sk;
} LB_KERNEL;

#endif /* BPF_LB_KERNEL_H */

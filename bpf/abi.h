/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every layout that crosses the kernel boundary, and nothing else. BPF programs and the C++ addon
 * include this file; lib/abi.ts is generated from its BTF. Rules: fixed-width types, explicit
 * padding, network byte order for addresses and ports unless a name says otherwise, enums for
 * every number that both sides know.
 */
#ifndef BPF_LB_ABI_H
#define BPF_LB_ABI_H

#include <linux/types.h>

/* ---- services: what a destination means --------------------------------------------------- */

struct lb_key4 {
  __be32 address; /* 0: any address of this node (NodePort, HostPort without hostIP) */
  __be16 port;
  __u8 protocol;
  __u8 pad;
};

struct lb_key6 {
  __be32 address[4];
  __be16 port;
  __u8 protocol;
  __u8 pad;
};

enum lb_service_flag {
  LB_SERVICE_SOCKET = 1 << 0,       /* answered to sockets of this node and its pods */
  LB_SERVICE_DEVICE = 1 << 1,       /* answered to packets that enter through a selected device */
  LB_SERVICE_SOCKET_LOCAL = 1 << 2, /* sockets may use node-local backends only */
  LB_SERVICE_DEVICE_LOCAL = 1 << 3, /* packets from devices may use node-local backends only */
  LB_SERVICE_USABLE = 1 << 4,       /* some backend of the service is usable, if not from here */
  LB_SERVICE_BIND = 1 << 5,         /* a bind() to the frontend fails with EADDRINUSE */
};

/*
 * The value of services4 and services6. Both backend ranges sit in it, so that a traffic policy
 * costs no second lookup, and one map update swaps all of it.
 *
 * A hash map hands a replaced element to its next writer at once, so a reader that was interrupted
 * may look at the bytes of another key. `check` (the key, folded) and `set` (repeated in every
 * backend of the ranges) let the reader notice and look again: see bpf/service.h.
 */
struct lb_service {
  __u64 check;
  __u32 set;
  enum lb_service_flag flags;
  __u32 first; /* index into backends: the cluster-wide range */
  __u32 count;
  __u32 local_first; /* the node-local range; may overlap the other */
  __u32 local_count;
  __u32 id;
  __u32 pad;
};

enum lb_backend_flag {
  LB_BACKEND_LOCAL = 1 << 0, /* runs on this node: its replies pass through here without SNAT */
};

struct lb_backend {
  __be32 address[4]; /* IPv4 as ::ffff:a.b.c.d */
  __be16 port;
  __u16 weight; /* host byte order */
  __u32 set;
  enum lb_backend_flag flags;
  __u32 pad;
};

/*
 * What a port number may mean, one byte a port (index in host byte order). A filter before every
 * larger table: a clear bit is a proof that the table holds nothing, a set bit only a hint.
 */
enum lb_port_hint {
  LB_PORT_FRONTEND = 1 << 0, /* a frontend with an address of its own has this port */
  LB_PORT_WILDCARD = 1 << 1, /* a NodePort, or a HostPort without hostIP */
  LB_PORT_FLOW = 1 << 2,     /* flows through devices may have it, at the frontend or the backend */
};

struct lb_ports {
  __u8 hints[65536];
};

/*
 * Where frontends with an address of their own are, one byte for all networks with the same 16 bits
 * (lb_network() in bpf/address.h): much of what goes to a port that services have goes elsewhere.
 */
enum lb_network_hint {
  LB_NETWORK_FRONTEND4 = 1 << 0,
  LB_NETWORK_FRONTEND6 = 1 << 1,
};

struct lb_networks {
  __u8 hints[65536];
};

/* ---- addresses and devices of this node ---------------------------------------------------- */

struct lb_address4 {
  __be32 address;
};

struct lb_address6 {
  __be32 address[4];
};

enum lb_address_flag {
  LB_ADDRESS_NODE = 1 << 0,     /* configured on a device of this node */
  LB_ADDRESS_NODEPORT = 1 << 1, /* answers NodePorts and HostPorts on selected devices */
};

struct lb_address_info {
  enum lb_address_flag flags;
};

enum lb_device_role {
  LB_DEVICE_EXTERNAL = 1, /* leads to clients and other nodes */
  LB_DEVICE_POD = 2,      /* leads to pods of this node */
};

/* Selected devices, by ifindex. The addresses are the sources of SNAT on this device. */
struct lb_device {
  __be32 source6[4];
  __be32 source4;
  enum lb_device_role role;
};

/* ---- settings that may change at run time -------------------------------------------------- */

struct lb_settings {
  __u64 host_netns;    /* cookie of the namespace whose loopback answers NodePorts */
  __u16 snat_port_min; /* host byte order, inclusive */
  __u16 snat_port_max;
  __u32 flow_opening; /* lifetimes in seconds */
  __u32 flow_established;
  __u32 flow_closing;
  __u32 flow_datagram;
  __u32 origin_mask; /* slots in origins, a power of two, minus one */
};

/* ---- sockets: where a translated socket believes it is ------------------------------------- */

/*
 * Which frontend a socket asked for when it was given a backend. One slot per socket in the
 * array `origins`, found by socket cookie; sockets that find their slot taken, and datagram
 * sockets that talk to several services, keep theirs in socket storage. All addresses as IPv6.
 */
struct lb_origin {
  __be32 frontend[4];
  __be32 backend[4];
  __be16 frontend_port;
  __be16 backend_port;
  __u32 service;
};

struct lb_origin_slot {
  __u64 cookie; /* 0: free */
  struct lb_origin origin;
};

enum lb_origin_limit {
  LB_ORIGINS_PER_SOCKET = 8, /* further destinations of one datagram socket replace the oldest */
};

struct lb_origin_list {
  __u32 next;
  __u32 pad;
  struct lb_origin origins[LB_ORIGINS_PER_SOCKET];
};

/* ---- flows: what happens to a packet -------------------------------------------------------- */

struct lb_tuple4 {
  __be32 saddr;
  __be32 daddr;
  __be16 sport;
  __be16 dport;
  __u8 protocol;
  __u8 pad[3];
};

struct lb_tuple6 {
  __be32 saddr[4];
  __be32 daddr[4];
  __be16 sport;
  __be16 dport;
  __u8 protocol;
  __u8 pad[3];
};

enum lb_flow_state {
  LB_FLOW_OPENING = 0,
  LB_FLOW_ESTABLISHED = 1,
  LB_FLOW_CLOSING = 2,
  LB_FLOW_DATAGRAM = 3,
};

enum lb_flow_flag {
  LB_FLOW_REPLY = 1 << 0, /* from the backend to the client */
};

/* The part of a flow that does not depend on the address family. */
struct lb_flow {
  __u32 address_delta; /* checksum differences, as bpf_csum_diff gives them */
  __u32 port_delta;
  __u32 expires; /* seconds of the coarse monotonic clock */
  __u32 service;
  __u8 state;    /* enum lb_flow_state */
  __u8 flags;    /* enum lb_flow_flag */
  __u8 fin;      /* this side has said all; a byte each, because both sides may write at a time */
  __u8 peer_fin; /* the other side has */
};

/* The values of flows4 and flows6: the tuple that the packet has to have afterwards. */
struct lb_flow4 {
  struct lb_tuple4 to;
  struct lb_flow flow;
};

struct lb_flow6 {
  struct lb_tuple6 to;
  struct lb_flow flow;
};

/* ---- counters -------------------------------------------------------------------------------- */

enum lb_counter {
  LB_COUNTER_SOCKET_TRANSLATED = 0,
  LB_COUNTER_SOCKET_REFUSED = 1,
  LB_COUNTER_SOCKET_NO_LOCAL_BACKEND = 2,
  LB_COUNTER_SOCKET_ORIGIN_LOST = 3, /* no memory to remember the frontend: left untranslated */
  LB_COUNTER_SERVICE_TORN = 4,       /* a service changed under the reader too often: refused */
  LB_COUNTER_FLOW_CREATED = 5,
  LB_COUNTER_DROP_NO_BACKEND = 6,
  LB_COUNTER_DROP_NO_LOCAL_BACKEND = 7,
  LB_COUNTER_DROP_NO_PORT = 8, /* no free port among those of the window that were tried */
  LB_COUNTER_DROP_FLOW_FULL = 9,
  LB_COUNTER_FLOW_REPAIRED = 10,  /* an entry was evicted without the other */
  LB_COUNTER_DROP_NO_SOURCE = 11, /* the device to the backend has no address of that family */
  LB_COUNTER_DROP_MALFORMED = 12,
  LB_COUNTER_DROP_TTL = 13,
  LB_COUNTERS = 14,
};

struct lb_counters {
  __u64 counts[LB_COUNTERS];
};

#endif /* BPF_LB_ABI_H */

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
  LB_SERVICE_INSIDE = 1 << 0,        /* answered to sockets and pods of this node */
  LB_SERVICE_OUTSIDE = 1 << 1,       /* answered to packets that enter through external devices */
  LB_SERVICE_INSIDE_LOCAL = 1 << 2,  /* those inside may use node-local backends only */
  LB_SERVICE_OUTSIDE_LOCAL = 1 << 3, /* those outside may use node-local backends only */
  LB_SERVICE_USABLE = 1 << 4,        /* some backend of the service is usable, if not from here */
  LB_SERVICE_BIND = 1 << 5,          /* a bind() to the frontend fails with EADDRINUSE */
  LB_SERVICE_INSIDE_SNAT = 1 << 6,   /* packets of pods are given an address of this node */
  LB_SERVICE_OUTSIDE_SNAT = 1 << 7,  /* packets from outside are */
  LB_SERVICE_HOST_PORT = 1 << 8,     /* a wildcard that every address of the node answers */
  LB_SERVICE_AFFINITY = 1 << 9,      /* a client stays with its backend */
  LB_SERVICE_WEIGHTED = 1 << 10,     /* backends have thresholds and aliases */
  LB_SERVICE_MAGLEV = 1 << 11,
  LB_SERVICE_LEAST = 1 << 12,       /* least connections, by the power of two choices */
  LB_SERVICE_RANGES = 1 << 13,      /* only clients of the source ranges may come */
  LB_SERVICE_RANGES_DENY = 1 << 14, /* only clients outside of them */
  LB_SERVICE_RANGES_SELF = 1 << 15, /* and the frontend's own address, as a source (6.) */
  LB_SERVICE_CANARY = 1 << 16,      /* the library's own: sockets are translated in any case */
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
  __u32 group; /* shared by all frontends of a service: what session affinity is kept for */
  __u32 affinity_timeout; /* seconds */
  __u32 ranges;           /* id of the source ranges */
  __u32 maglev;           /* first slot of the cluster-wide range's table */
  __u32 maglev_size;
  __u32 local_maglev;
  __u32 local_maglev_size;
};

enum lb_backend_flag {
  LB_BACKEND_LOCAL = 1 << 0, /* runs on this node */
};

struct lb_backend {
  __be32 address[4]; /* IPv4 as ::ffff:a.b.c.d */
  __be16 port;
  __u16 flags; /* enum lb_backend_flag */
  __u32 set;
  /* Weights, by Walker's alias method: of 2^32 draws that hit this backend, so many stay with it.
   */
  __u32 threshold; /* 2^32 - 1: all */
  __u32 alias;     /* the others go to this one: its index in the range */
};

enum lb_maglev_limit {
  LB_MAGLEV_SLOTS_PER_WORD = 4,
};

/* Maglev tables lie end to end in `maglev`: indexes into the range of backends. */
struct lb_maglev_word {
  __u16 backends[LB_MAGLEV_SLOTS_PER_WORD];
};

/*
 * A key of ranges4 and ranges6, longest prefix tries. The ranges of services have ids from 1 on; 0
 * are the ranges that cluster IPs are taken from. `prefix` counts the 32 bits of the id.
 */
struct lb_range4 {
  __u32 prefix;
  __u32 id;
  __be32 address;
};

struct lb_range6 {
  __u32 prefix;
  __u32 id;
  __be32 address[4];
};

/* What an address of frontends is, when no frontend of it has the port that was asked for. */
enum lb_frontend_flag {
  LB_FRONTEND_CLUSTER_IP = 1 << 0, /* other ports are refused */
  LB_FRONTEND_VIP = 1 << 1,        /* other ports are dropped at external devices */
  LB_FRONTEND_OUTSIDE = 1 << 2,    /* the cluster IP is served outside too */
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
  LB_NETWORK_FLOW4 = 1 << 2, /* flows may go there: they outlive their frontend */
  LB_NETWORK_FLOW6 = 1 << 3,
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
  LB_ADDRESS_NODEPORT = 1 << 1, /* answers NodePorts */
  LB_ADDRESS_EXTERNAL = 1 << 2, /* of a selected external device: answers HostPorts outside */
};

struct lb_address_info {
  enum lb_address_flag flags;
};

/* The value of frontends4 and frontends6, by address. */
struct lb_frontend_info {
  enum lb_frontend_flag flags;
};

enum lb_device_role {
  LB_DEVICE_EXTERNAL = 1, /* leads to clients and other nodes */
  LB_DEVICE_POD = 2,      /* leads to pods of this node */
};

enum lb_device_flag {
  LB_DEVICE_TO_PEER = 1 << 0, /* its other end is in another namespace, and takes packets at once */
};

/* Selected devices, by ifindex. The addresses are the sources of SNAT on this device. */
struct lb_device {
  __be32 source6[4];
  __be32 source4;
  enum lb_device_role role;
  enum lb_device_flag flags;
};

/* ---- settings that may change at run time -------------------------------------------------- */

enum lb_setting {
  LB_SETTING_HOST_SOCKETS_ONLY = 1 << 0, /* pods' sockets are not translated, their packets are */
  LB_SETTING_SOCKET_EXCEPTIONS = 1 << 1, /* `exceptions` is not empty */
  LB_SETTING_LOCALHOST4 = 1 << 2,        /* loopback addresses answer NodePorts to the host */
  LB_SETTING_REJECT = 1 << 3, /* a service without backends refuses; otherwise: silence */
  LB_SETTING_ANSWER_ECHO = 1 << 4,
  LB_SETTING_MASQUERADE_LOCAL = 1 << 5, /* SNAT also where the backend runs on this node */
  LB_SETTING_SERVICE_RANGES = 1 << 6,   /* ranges with id 0 exist */
  LB_SETTING_TO_PEERS = 1 << 7,         /* some device has LB_DEVICE_TO_PEER */
  LB_SETTING_LOCALHOST6 = 1 << 8,
  LB_SETTING_LEAVE_TRACKED = 1 << 9, /* connections that the kernel translates stay with it */
  LB_SETTING_RELEASING = 1 << 10,    /* what is new is left to others */
  LB_SETTING_SHADOW = 1 << 11,       /* likewise, and what would have been done is told */
};

struct lb_settings {
  __u64 host_netns; /* cookie of the host's namespace */
  enum lb_setting flags;
  __u16 snat_port_min; /* host byte order, inclusive */
  __u16 snat_port_max;
  __u32 flow_opening; /* lifetimes in seconds */
  __u32 flow_established;
  __u32 flow_half_closed;
  __u32 flow_closing;
  __u32 flow_datagram;
  __u32 origin_mask;        /* slots in origins, a power of two, minus one */
  __u32 rejects_per_second; /* of each family */
  __u32 reject_burst;
  __u16 snat_step;        /* of the walk through the window of SNAT ports: prime to its size */
  __u16 flow_epoch_shift; /* an epoch of the flow tables: 2^this many new entries */
};

/* A namespace (by cookie) or a cgroup (by id) whose sockets are not translated. */
enum lb_exception_kind {
  LB_EXCEPTION_NETNS = 0,
  LB_EXCEPTION_CGROUP = 1,
};

struct lb_exception {
  __u64 id;
  __u64 kind; /* enum lb_exception_kind */
};

/* ---- state: what a process leaves to the one that comes after it --------------------------- */

/* Of what the tables mean together; to be raised when a reader of the older one would be wrong. */
enum lb_state_version {
  LB_STATE_VERSION = 1,
};

/* The numbers that were given last: none is ever given again. */
struct lb_state {
  enum lb_state_version version;
  __u32 set;
  __u32 id;
  __u32 group;
  __u32 ranges;
};

/* The text of a service's definition, in parts. No program reads it. */
struct lb_definition_key {
  __u32 group;
  __u32 part;
};

struct lb_definition {
  __u8 text[256]; /* padded with zeros */
};

/* ---- session affinity and live counts -------------------------------------------------------- */

struct lb_affinity_key {
  __be32 client[4]; /* as lb_backend's; the host itself is :: */
  __u32 group;
};

struct lb_affinity {
  __be32 address[4];
  __be16 port;
  __u16 pad;
  __u32 index;   /* where in its range the backend was seen last */
  __u32 expires; /* seconds of the coarse monotonic clock */
};

/* The address by which a network namespace is known as a client. */
struct lb_client {
  __be32 address4;
  __be32 address6[4];
  __u32 expires;
};

struct lb_load_key {
  __be32 address[4];
  __be16 port;
  __u8 protocol;
  __u8 pad;
};

enum lb_load_limit {
  LB_LOAD_PERIODS = 8,
};

/*
 * Flows counted by the period in which they end unless packets come. A flow that ends in silence
 * goes with its period: nobody has to notice.
 */
struct lb_calendar {
  __u32 period[LB_LOAD_PERIODS];
  __u32 count[LB_LOAD_PERIODS];
};

/* Connections to a backend through this node that are open. */
struct lb_load {
  __s32 sockets; /* not below 0 for longer than two processors need to count at a time */
  struct lb_calendar streams;
  struct lb_calendar datagrams;
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
  __u32 counted; /* the protocol, if the socket is in the live counts of its backend */
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

enum lb_condemned_limit {
  LB_CONDEMNED = 16384, /* sockets that are destroyed at a time */
};

/* A socket that is connected to the backend of its origin, as the iterators of list.bpf.c find it.
 */
struct lb_translated {
  __u64 cookie;
  __u64 netns; /* cookie of its network namespace */
  struct lb_origin origin;
  __be32 source[4];
  __be16 source_port;
  __u8 family; /* of the socket: an IPv6 one may be connected to a mapped address */
  __u8 protocol;
  __u32 ifindex; /* the device that it is bound to; 0: none */
  __u8 state;    /* TCP_* */
  __u8 pad[3];
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
  LB_FLOW_HALF_CLOSED = 4,
};

enum lb_flow_flag {
  LB_FLOW_REPLY = 1 << 0,   /* from the backend to the client */
  LB_FLOW_HOST = 1 << 1,    /* of this node itself, which had to leave its port to another flow */
  LB_FLOW_COUNTED = 1 << 2, /* in the live counts of its backend */
  LB_FLOW_INSIDE = 1 << 3,  /* of a pod of this node */
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
  __u8 replied;  /* the backend has answered */
  __u8 epoch;    /* of the table, when the other entry was looked after last */
  __u8 pad[2];
  __u32 period; /* in which the flow is counted */
};

/*
 * The values of flows4 and flows6, and of pending4 and pending6, where flows are that the client
 * has not confirmed: the tuple that the packet has to have afterwards.
 */
struct lb_flow4 {
  struct lb_tuple4 to;
  struct lb_flow flow;
};

struct lb_flow6 {
  struct lb_tuple6 to;
  struct lb_flow flow;
};

/* ---- fragments --------------------------------------------------------------------------------
 */

struct lb_fragment_key {
  __be32 saddr[4];
  __be32 daddr[4];
  __be32 id;
  __u8 protocol;
  __u8 pad[3];
};

/* The ports that only the first fragment of a datagram has. */
struct lb_fragment {
  __be16 sport;
  __be16 dport;
  __u32 expires;
};

/* ---- decisions ---------------------------------------------------------------------------------
 */

/* Who asks: decides which range of the service is offered, and under which rules. */
enum lb_side {
  LB_SIDE_SOCKET, /* of the host or a pod of this node */
  LB_SIDE_POD,    /* a packet that a pod of this node sent */
  LB_SIDE_OUTSIDE,
};

enum lb_choice_result {
  LB_CHOSEN,
  LB_NO_SERVICE,
  LB_NO_BACKEND,       /* nobody could serve this: refuse */
  LB_NO_LOCAL_BACKEND, /* others could, a traffic policy forbids it: stay silent */
  LB_DENIED,           /* source ranges forbid it: stay silent */
  LB_NOT_OUTSIDE,      /* a cluster IP that is not served outside */
  LB_UNKNOWN_PORT,     /* of a cluster IP: refuse */
  LB_UNSERVED_PORT,    /* of a VIP, which routers would send round in circles */
  LB_UNALLOCATED,      /* a cluster IP of no service */
  LB_UNDECIDED,        /* a connection goes on that nobody remembers the backend of */
  LB_TORN,
};

/* What becomes of a packet or of a socket's call. */
enum lb_fate {
  LB_FATE_FORWARD,  /* to the backend */
  LB_FATE_PASS,     /* it goes on as it is */
  LB_FATE_REJECT,   /* its sender is told */
  LB_FATE_DROP,     /* silence; for a socket, the error that the silence would end in */
  LB_FATE_UNROUTED, /* silence, unless the packet has somewhere else to go */
};

/* What would have been done to a new connection: see shadow.h. */
struct lb_decision {
  __be32 frontend[4];
  __be32 backend[4]; /* ::, unless it goes to one */
  __be16 frontend_port;
  __be16 backend_port;
  __u8 protocol;
  __u8 side;   /* enum lb_side */
  __u8 fate;   /* enum lb_fate */
  __u8 result; /* enum lb_choice_result */
};

enum lb_decision_limit {
  LB_DECISIONS = 16384,          /* different ones that are counted */
  LB_DECISIONS_PER_SECOND = 100, /* that are told one by one */
};

/* ---- events -----------------------------------------------------------------------------------
 */

enum lb_event_kind {
  LB_EVENT_NO_PORT = 1, /* no free source port among those that were tried */
  LB_EVENT_DECISION = 2,
};

struct lb_event {
  enum lb_event_kind kind;
  __u8 protocol;
  __u8 pad[3];
  __be32 client[4];
  __be32 source[4]; /* the address whose ports are used up */
  __be32 backend[4];
  __be16 client_port;
  __be16 backend_port;
};

struct lb_decision_event {
  enum lb_event_kind kind;
  struct lb_decision decision;
  __be32 client[4];   /* :: for a socket whose address the kernel does not tell */
  __be16 client_port; /* 0 for a socket */
  __u8 pad[2];
};

/* Rates are limited by the time at which the bucket would be full again (GCRA). */
enum lb_limit {
  LB_LIMIT_REJECT4 = 0,
  LB_LIMIT_REJECT6 = 1,
  LB_LIMIT_EVENT = 2,
  LB_LIMITS = 3,
};

/* ---- counters -------------------------------------------------------------------------------- */

enum lb_counter {
  LB_COUNTER_SOCKET_TRANSLATED = 0,
  LB_COUNTER_SOCKET_REFUSED = 1,
  LB_COUNTER_SOCKET_NO_LOCAL_BACKEND = 2,
  LB_COUNTER_SOCKET_DENIED = 3,
  LB_COUNTER_SOCKET_UNALLOCATED = 4,
  LB_COUNTER_SOCKET_ORIGIN_LOST = 5, /* no memory to remember the frontend: left untranslated */
  LB_COUNTER_SERVICE_TORN = 6,       /* a service changed under the reader too often: refused */
  LB_COUNTER_FLOW_CREATED = 7,
  LB_COUNTER_FLOW_CONFIRMED = 8,
  LB_COUNTER_FLOW_REPAIRED = 9,     /* an entry was evicted without the other */
  LB_COUNTER_HOST_FLOW_MOVED = 10,  /* a connection of this node had the tuple of a flow */
  LB_COUNTER_ERROR_TRANSLATED = 11, /* an ICMP error about a flow */
  LB_COUNTER_ECHO_ANSWERED = 12,
  LB_COUNTER_REJECT_NO_BACKEND = 13,
  LB_COUNTER_REJECT_PORT = 14,    /* a port that the cluster IP does not have */
  LB_COUNTER_REJECT_NO_FLOW = 15, /* a segment of a connection that is not known */
  LB_COUNTER_REJECT_LIMITED = 16, /* an answer that was one too many */
  LB_COUNTER_DROP_NO_BACKEND = 17,
  LB_COUNTER_DROP_NO_LOCAL_BACKEND = 18,
  LB_COUNTER_DROP_DENIED = 19,      /* by source ranges */
  LB_COUNTER_DROP_UNALLOCATED = 20, /* a cluster IP that no service has */
  LB_COUNTER_DROP_CLUSTER_IP = 21,  /* a cluster IP, from outside */
  LB_COUNTER_DROP_PORT = 22,        /* a port that the VIP does not have */
  LB_COUNTER_DROP_NO_PORT = 23, /* no free source port among those of the window that were tried */
  LB_COUNTER_DROP_FLOW_FULL = 24,
  LB_COUNTER_DROP_NO_SOURCE = 25, /* the device to the backend has no address of that family */
  LB_COUNTER_DROP_MALFORMED = 26,
  LB_COUNTER_DROP_TTL = 27,
  LB_COUNTER_DROP_TOO_BIG = 28,
  LB_COUNTER_DROP_FRAGMENT = 29, /* a later fragment before the first */
  LB_COUNTER_PACKET_LEFT = 30,   /* of a connection that is the kernel's, or a new one, released */
  LB_COUNTERS = 31,
};

struct lb_counters {
  __u64 counts[LB_COUNTERS];
};

#endif /* BPF_LB_ABI_H */

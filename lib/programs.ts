/*
 * The programs of bpf/, by the names that `bpftool` shows, in the order in which they are attached: a hook that gives
 * back what another one takes comes first, so that no socket is translated one way only.
 */

/** Socket hooks: program -> where it is attached, for readers of `status()`. */
export const socketPrograms = {
  bpf_lb_release: 'sock_release',
  bpf_lb_peername4: 'getpeername4',
  bpf_lb_peername6: 'getpeername6',
  bpf_lb_recvmsg4: 'recvmsg4',
  bpf_lb_recvmsg6: 'recvmsg6',
  bpf_lb_bind4: 'post_bind4',
  bpf_lb_bind6: 'post_bind6',
  bpf_lb_sendmsg4: 'sendmsg4',
  bpf_lb_sendmsg6: 'sendmsg6',
  bpf_lb_connect4: 'connect4',
  bpf_lb_connect6: 'connect6',
} as const;

/** What comes first in a packet of a device: an Ethernet header, or that of IP. */
export type LinkLayer = 'ethernet' | 'ip';

/**
 * Device hooks, by what the device's packets begin with. The egress program comes first: it undoes what the ingress
 * program does.
 */
export const devicePrograms = {
  ethernet: { bpf_lb_egress: 'egress', bpf_lb_ingress: 'ingress' },
  ip: { bpf_lb_egress_l3: 'egress', bpf_lb_ingress_l3: 'ingress' },
} as const;

/** Iterators: they have no hook, and run when they are asked to. */
export const listPrograms = ['bpf_lb_list_tcp', 'bpf_lb_list_udp'] as const;

/** Iterators that destroy, with Linux 6.5. */
export const destroyPrograms = ['bpf_lb_destroy_tcp', 'bpf_lb_destroy_udp'] as const;

/** The programs of all hooks, and those without one. */
export const allPrograms: readonly string[] = [
  ...Object.keys(socketPrograms),
  ...listPrograms,
  ...destroyPrograms,
  ...Object.values(devicePrograms).flatMap((programs) => Object.keys(programs)),
];

/** Tables that follow from the definitions of the services: where they cannot be adopted they are made anew. */
export const serviceTables = [
  'services4',
  'services6',
  'backends',
  'maglev',
  'ranges4',
  'ranges6',
  'frontends4',
  'frontends6',
  'definitions',
] as const;

/** Tables with what nobody could tell again: connections, clients, counts, and what the others hint at. */
export const liveTables = [
  'origins',
  'origin_lists',
  'affinities',
  'clients',
  'loads',
  'flows4',
  'flows6',
  'pending4',
  'pending6',
  'flow_stores',
  'fragments',
  'limits',
  'counters',
  'ports',
  'networks',
  'settings',
  'addresses4',
  'addresses6',
  'devices',
  'exceptions',
  'state',
] as const;

/** The tables that outlive a process when there is a state directory. */
export const tables = [...liveTables, ...serviceTables] as const;

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

/** Device hooks. The egress program comes first: it undoes what the ingress program does. */
export const devicePrograms = {
  bpf_lb_egress: 'egress',
  bpf_lb_ingress: 'ingress',
} as const;

/** The tables that outlive a process when there is a state directory. */
export const tables = [
  'services4',
  'services6',
  'backends',
  'ports',
  'networks',
  'settings',
  'addresses4',
  'addresses6',
  'devices',
  'origins',
  'flows4',
  'flows6',
  'counters',
] as const;

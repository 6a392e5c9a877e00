// Generated from bpf/abi.h by scripts/generate-abi.mjs. Do not edit.

/** Size and field offsets, in bytes, of every struct that both sides of the kernel boundary read. */
export const layouts = {
  lb_key4: {
    size: 8,
    fields: {
      address: { offset: 0, size: 4 },
      port: { offset: 4, size: 2 },
      protocol: { offset: 6, size: 1 },
      pad: { offset: 7, size: 1 },
    },
  },
  lb_key6: {
    size: 20,
    fields: {
      address: { offset: 0, size: 16 },
      port: { offset: 16, size: 2 },
      protocol: { offset: 18, size: 1 },
      pad: { offset: 19, size: 1 },
    },
  },
  lb_service: {
    size: 40,
    fields: {
      check: { offset: 0, size: 8 },
      set: { offset: 8, size: 4 },
      flags: { offset: 12, size: 4 },
      first: { offset: 16, size: 4 },
      count: { offset: 20, size: 4 },
      local_first: { offset: 24, size: 4 },
      local_count: { offset: 28, size: 4 },
      id: { offset: 32, size: 4 },
      pad: { offset: 36, size: 4 },
    },
  },
  lb_backend: {
    size: 32,
    fields: {
      address: { offset: 0, size: 16 },
      port: { offset: 16, size: 2 },
      weight: { offset: 18, size: 2 },
      set: { offset: 20, size: 4 },
      flags: { offset: 24, size: 4 },
      pad: { offset: 28, size: 4 },
    },
  },
  lb_ports: { size: 65536, fields: { hints: { offset: 0, size: 65536 } } },
  lb_networks: { size: 65536, fields: { hints: { offset: 0, size: 65536 } } },
  lb_address4: { size: 4, fields: { address: { offset: 0, size: 4 } } },
  lb_address6: { size: 16, fields: { address: { offset: 0, size: 16 } } },
  lb_address_info: { size: 4, fields: { flags: { offset: 0, size: 4 } } },
  lb_device: {
    size: 24,
    fields: {
      source6: { offset: 0, size: 16 },
      source4: { offset: 16, size: 4 },
      role: { offset: 20, size: 4 },
    },
  },
  lb_settings: {
    size: 32,
    fields: {
      host_netns: { offset: 0, size: 8 },
      snat_port_min: { offset: 8, size: 2 },
      snat_port_max: { offset: 10, size: 2 },
      flow_opening: { offset: 12, size: 4 },
      flow_established: { offset: 16, size: 4 },
      flow_closing: { offset: 20, size: 4 },
      flow_datagram: { offset: 24, size: 4 },
      origin_mask: { offset: 28, size: 4 },
    },
  },
  lb_origin: {
    size: 40,
    fields: {
      frontend: { offset: 0, size: 16 },
      backend: { offset: 16, size: 16 },
      frontend_port: { offset: 32, size: 2 },
      backend_port: { offset: 34, size: 2 },
      service: { offset: 36, size: 4 },
    },
  },
  lb_origin_slot: { size: 48, fields: { cookie: { offset: 0, size: 8 }, origin: { offset: 8, size: 40 } } },
  lb_origin_list: {
    size: 328,
    fields: { next: { offset: 0, size: 4 }, pad: { offset: 4, size: 4 }, origins: { offset: 8, size: 320 } },
  },
  lb_tuple4: {
    size: 16,
    fields: {
      saddr: { offset: 0, size: 4 },
      daddr: { offset: 4, size: 4 },
      sport: { offset: 8, size: 2 },
      dport: { offset: 10, size: 2 },
      protocol: { offset: 12, size: 1 },
      pad: { offset: 13, size: 3 },
    },
  },
  lb_tuple6: {
    size: 40,
    fields: {
      saddr: { offset: 0, size: 16 },
      daddr: { offset: 16, size: 16 },
      sport: { offset: 32, size: 2 },
      dport: { offset: 34, size: 2 },
      protocol: { offset: 36, size: 1 },
      pad: { offset: 37, size: 3 },
    },
  },
  lb_flow: {
    size: 20,
    fields: {
      address_delta: { offset: 0, size: 4 },
      port_delta: { offset: 4, size: 4 },
      expires: { offset: 8, size: 4 },
      service: { offset: 12, size: 4 },
      state: { offset: 16, size: 1 },
      flags: { offset: 17, size: 1 },
      fin: { offset: 18, size: 1 },
      peer_fin: { offset: 19, size: 1 },
    },
  },
  lb_flow4: { size: 36, fields: { to: { offset: 0, size: 16 }, flow: { offset: 16, size: 20 } } },
  lb_flow6: { size: 60, fields: { to: { offset: 0, size: 40 }, flow: { offset: 40, size: 20 } } },
  lb_counters: { size: 112, fields: { counts: { offset: 0, size: 112 } } },
} as const;

/** `enum lb_service_flag` */
export const ServiceFlag = {
  SOCKET: 1,
  DEVICE: 2,
  SOCKET_LOCAL: 4,
  DEVICE_LOCAL: 8,
  USABLE: 16,
  BIND: 32,
} as const;

/** `enum lb_backend_flag` */
export const BackendFlag = { LOCAL: 1 } as const;

/** `enum lb_port_hint` */
export const PortHint = { FRONTEND: 1, WILDCARD: 2, FLOW: 4 } as const;

/** `enum lb_network_hint` */
export const NetworkHint = { FRONTEND4: 1, FRONTEND6: 2 } as const;

/** `enum lb_address_flag` */
export const AddressFlag = { NODE: 1, NODEPORT: 2 } as const;

/** `enum lb_device_role` */
export const DeviceRole = { EXTERNAL: 1, POD: 2 } as const;

/** `enum lb_origin_limit` */
export const OriginLimit = { ORIGINS_PER_SOCKET: 8 } as const;

/** `enum lb_flow_state` */
export const FlowState = { OPENING: 0, ESTABLISHED: 1, CLOSING: 2, DATAGRAM: 3 } as const;

/** `enum lb_flow_flag` */
export const FlowFlag = { REPLY: 1 } as const;

/** `enum lb_counter` */
export const Counter = {
  SOCKET_TRANSLATED: 0,
  SOCKET_REFUSED: 1,
  SOCKET_NO_LOCAL_BACKEND: 2,
  SOCKET_ORIGIN_LOST: 3,
  SERVICE_TORN: 4,
  FLOW_CREATED: 5,
  DROP_NO_BACKEND: 6,
  DROP_NO_LOCAL_BACKEND: 7,
  DROP_NO_PORT: 8,
  DROP_FLOW_FULL: 9,
  FLOW_REPAIRED: 10,
  DROP_NO_SOURCE: 11,
  DROP_MALFORMED: 12,
  DROP_TTL: 13,
  COUNTERS: 14,
} as const;

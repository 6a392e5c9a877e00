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
    size: 64,
    fields: {
      check: { offset: 0, size: 8 },
      set: { offset: 8, size: 4 },
      flags: { offset: 12, size: 4 },
      first: { offset: 16, size: 4 },
      count: { offset: 20, size: 4 },
      local_first: { offset: 24, size: 4 },
      local_count: { offset: 28, size: 4 },
      id: { offset: 32, size: 4 },
      group: { offset: 36, size: 4 },
      affinity_timeout: { offset: 40, size: 4 },
      ranges: { offset: 44, size: 4 },
      maglev: { offset: 48, size: 4 },
      maglev_size: { offset: 52, size: 4 },
      local_maglev: { offset: 56, size: 4 },
      local_maglev_size: { offset: 60, size: 4 },
    },
  },
  lb_backend: {
    size: 32,
    fields: {
      address: { offset: 0, size: 16 },
      port: { offset: 16, size: 2 },
      flags: { offset: 18, size: 2 },
      set: { offset: 20, size: 4 },
      threshold: { offset: 24, size: 4 },
      alias: { offset: 28, size: 4 },
    },
  },
  lb_maglev_word: { size: 8, fields: { backends: { offset: 0, size: 8 } } },
  lb_range4: {
    size: 12,
    fields: { prefix: { offset: 0, size: 4 }, id: { offset: 4, size: 4 }, address: { offset: 8, size: 4 } },
  },
  lb_range6: {
    size: 24,
    fields: { prefix: { offset: 0, size: 4 }, id: { offset: 4, size: 4 }, address: { offset: 8, size: 16 } },
  },
  lb_ports: { size: 65536, fields: { hints: { offset: 0, size: 65536 } } },
  lb_networks: { size: 65536, fields: { hints: { offset: 0, size: 65536 } } },
  lb_address4: { size: 4, fields: { address: { offset: 0, size: 4 } } },
  lb_address6: { size: 16, fields: { address: { offset: 0, size: 16 } } },
  lb_address_info: { size: 4, fields: { flags: { offset: 0, size: 4 } } },
  lb_frontend_info: { size: 4, fields: { flags: { offset: 0, size: 4 } } },
  lb_device: {
    size: 28,
    fields: {
      source6: { offset: 0, size: 16 },
      source4: { offset: 16, size: 4 },
      role: { offset: 20, size: 4 },
      flags: { offset: 24, size: 4 },
    },
  },
  lb_settings: {
    size: 56,
    fields: {
      host_netns: { offset: 0, size: 8 },
      flags: { offset: 8, size: 4 },
      snat_port_min: { offset: 12, size: 2 },
      snat_port_max: { offset: 14, size: 2 },
      flow_opening: { offset: 16, size: 4 },
      flow_established: { offset: 20, size: 4 },
      flow_half_closed: { offset: 24, size: 4 },
      flow_closing: { offset: 28, size: 4 },
      flow_datagram: { offset: 32, size: 4 },
      origin_mask: { offset: 36, size: 4 },
      rejects_per_second: { offset: 40, size: 4 },
      reject_burst: { offset: 44, size: 4 },
      snat_step: { offset: 48, size: 2 },
      flow_epoch_shift: { offset: 50, size: 2 },
    },
  },
  lb_exception: { size: 16, fields: { id: { offset: 0, size: 8 }, kind: { offset: 8, size: 8 } } },
  lb_state: {
    size: 20,
    fields: {
      version: { offset: 0, size: 4 },
      set: { offset: 4, size: 4 },
      id: { offset: 8, size: 4 },
      group: { offset: 12, size: 4 },
      ranges: { offset: 16, size: 4 },
    },
  },
  lb_definition_key: { size: 8, fields: { group: { offset: 0, size: 4 }, part: { offset: 4, size: 4 } } },
  lb_definition: { size: 256, fields: { text: { offset: 0, size: 256 } } },
  lb_affinity_key: { size: 20, fields: { client: { offset: 0, size: 16 }, group: { offset: 16, size: 4 } } },
  lb_affinity: {
    size: 28,
    fields: {
      address: { offset: 0, size: 16 },
      port: { offset: 16, size: 2 },
      pad: { offset: 18, size: 2 },
      index: { offset: 20, size: 4 },
      expires: { offset: 24, size: 4 },
    },
  },
  lb_client: {
    size: 24,
    fields: {
      address4: { offset: 0, size: 4 },
      address6: { offset: 4, size: 16 },
      expires: { offset: 20, size: 4 },
    },
  },
  lb_load_key: {
    size: 20,
    fields: {
      address: { offset: 0, size: 16 },
      port: { offset: 16, size: 2 },
      protocol: { offset: 18, size: 1 },
      pad: { offset: 19, size: 1 },
    },
  },
  lb_calendar: { size: 64, fields: { period: { offset: 0, size: 32 }, count: { offset: 32, size: 32 } } },
  lb_load: {
    size: 132,
    fields: {
      sockets: { offset: 0, size: 4 },
      streams: { offset: 4, size: 64 },
      datagrams: { offset: 68, size: 64 },
    },
  },
  lb_origin: {
    size: 44,
    fields: {
      frontend: { offset: 0, size: 16 },
      backend: { offset: 16, size: 16 },
      frontend_port: { offset: 32, size: 2 },
      backend_port: { offset: 34, size: 2 },
      service: { offset: 36, size: 4 },
      counted: { offset: 40, size: 4 },
    },
  },
  lb_origin_slot: { size: 56, fields: { cookie: { offset: 0, size: 8 }, origin: { offset: 8, size: 44 } } },
  lb_origin_list: {
    size: 360,
    fields: { next: { offset: 0, size: 4 }, pad: { offset: 4, size: 4 }, origins: { offset: 8, size: 352 } },
  },
  lb_translated: {
    size: 88,
    fields: {
      cookie: { offset: 0, size: 8 },
      netns: { offset: 8, size: 8 },
      origin: { offset: 16, size: 44 },
      source: { offset: 60, size: 16 },
      source_port: { offset: 76, size: 2 },
      family: { offset: 78, size: 1 },
      protocol: { offset: 79, size: 1 },
      ifindex: { offset: 80, size: 4 },
      state: { offset: 84, size: 1 },
      pad: { offset: 85, size: 3 },
    },
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
    size: 28,
    fields: {
      address_delta: { offset: 0, size: 4 },
      port_delta: { offset: 4, size: 4 },
      expires: { offset: 8, size: 4 },
      service: { offset: 12, size: 4 },
      state: { offset: 16, size: 1 },
      flags: { offset: 17, size: 1 },
      fin: { offset: 18, size: 1 },
      peer_fin: { offset: 19, size: 1 },
      replied: { offset: 20, size: 1 },
      epoch: { offset: 21, size: 1 },
      pad: { offset: 22, size: 2 },
      period: { offset: 24, size: 4 },
    },
  },
  lb_flow4: { size: 44, fields: { to: { offset: 0, size: 16 }, flow: { offset: 16, size: 28 } } },
  lb_flow6: { size: 68, fields: { to: { offset: 0, size: 40 }, flow: { offset: 40, size: 28 } } },
  lb_fragment_key: {
    size: 40,
    fields: {
      saddr: { offset: 0, size: 16 },
      daddr: { offset: 16, size: 16 },
      id: { offset: 32, size: 4 },
      protocol: { offset: 36, size: 1 },
      pad: { offset: 37, size: 3 },
    },
  },
  lb_fragment: {
    size: 8,
    fields: { sport: { offset: 0, size: 2 }, dport: { offset: 2, size: 2 }, expires: { offset: 4, size: 4 } },
  },
  lb_decision: {
    size: 40,
    fields: {
      frontend: { offset: 0, size: 16 },
      backend: { offset: 16, size: 16 },
      frontend_port: { offset: 32, size: 2 },
      backend_port: { offset: 34, size: 2 },
      protocol: { offset: 36, size: 1 },
      side: { offset: 37, size: 1 },
      fate: { offset: 38, size: 1 },
      result: { offset: 39, size: 1 },
    },
  },
  lb_event: {
    size: 60,
    fields: {
      kind: { offset: 0, size: 4 },
      protocol: { offset: 4, size: 1 },
      pad: { offset: 5, size: 3 },
      client: { offset: 8, size: 16 },
      source: { offset: 24, size: 16 },
      backend: { offset: 40, size: 16 },
      client_port: { offset: 56, size: 2 },
      backend_port: { offset: 58, size: 2 },
    },
  },
  lb_decision_event: {
    size: 64,
    fields: {
      kind: { offset: 0, size: 4 },
      decision: { offset: 4, size: 40 },
      client: { offset: 44, size: 16 },
      client_port: { offset: 60, size: 2 },
      pad: { offset: 62, size: 2 },
    },
  },
  lb_counters: { size: 248, fields: { counts: { offset: 0, size: 248 } } },
} as const;

/** `enum lb_service_flag` */
export const ServiceFlag = {
  INSIDE: 1,
  OUTSIDE: 2,
  INSIDE_LOCAL: 4,
  OUTSIDE_LOCAL: 8,
  USABLE: 16,
  BIND: 32,
  INSIDE_SNAT: 64,
  OUTSIDE_SNAT: 128,
  HOST_PORT: 256,
  AFFINITY: 512,
  WEIGHTED: 1024,
  MAGLEV: 2048,
  LEAST: 4096,
  RANGES: 8192,
  RANGES_DENY: 16384,
  RANGES_SELF: 32768,
  CANARY: 65536,
} as const;

/** `enum lb_backend_flag` */
export const BackendFlag = { LOCAL: 1 } as const;

/** `enum lb_maglev_limit` */
export const MaglevLimit = { SLOTS_PER_WORD: 4 } as const;

/** `enum lb_frontend_flag` */
export const FrontendFlag = { CLUSTER_IP: 1, VIP: 2, OUTSIDE: 4 } as const;

/** `enum lb_port_hint` */
export const PortHint = { FRONTEND: 1, WILDCARD: 2, FLOW: 4 } as const;

/** `enum lb_network_hint` */
export const NetworkHint = { FRONTEND4: 1, FRONTEND6: 2, FLOW4: 4, FLOW6: 8 } as const;

/** `enum lb_address_flag` */
export const AddressFlag = { NODE: 1, NODEPORT: 2, EXTERNAL: 4 } as const;

/** `enum lb_device_role` */
export const DeviceRole = { EXTERNAL: 1, POD: 2 } as const;

/** `enum lb_device_flag` */
export const DeviceFlag = { TO_PEER: 1 } as const;

/** `enum lb_setting` */
export const Setting = {
  HOST_SOCKETS_ONLY: 1,
  SOCKET_EXCEPTIONS: 2,
  LOCALHOST4: 4,
  REJECT: 8,
  ANSWER_ECHO: 16,
  MASQUERADE_LOCAL: 32,
  SERVICE_RANGES: 64,
  TO_PEERS: 128,
  LOCALHOST6: 256,
  LEAVE_TRACKED: 512,
  RELEASING: 1024,
  SHADOW: 2048,
} as const;

/** `enum lb_exception_kind` */
export const ExceptionKind = { NETNS: 0, CGROUP: 1 } as const;

/** `enum lb_state_version` */
export const StateVersion = { VERSION: 1 } as const;

/** `enum lb_load_limit` */
export const LoadLimit = { PERIODS: 8 } as const;

/** `enum lb_origin_limit` */
export const OriginLimit = { ORIGINS_PER_SOCKET: 8 } as const;

/** `enum lb_condemned_limit` */
export const CondemnedLimit = { CONDEMNED: 16384 } as const;

/** `enum lb_flow_state` */
export const FlowState = { OPENING: 0, ESTABLISHED: 1, CLOSING: 2, DATAGRAM: 3, HALF_CLOSED: 4 } as const;

/** `enum lb_flow_flag` */
export const FlowFlag = { REPLY: 1, HOST: 2, COUNTED: 4, INSIDE: 8 } as const;

/** `enum lb_side` */
export const Side = { SOCKET: 0, POD: 1, OUTSIDE: 2 } as const;

/** `enum lb_choice_result` */
export const ChoiceResult = {
  CHOSEN: 0,
  NO_SERVICE: 1,
  NO_BACKEND: 2,
  NO_LOCAL_BACKEND: 3,
  DENIED: 4,
  NOT_OUTSIDE: 5,
  UNKNOWN_PORT: 6,
  UNSERVED_PORT: 7,
  UNALLOCATED: 8,
  UNDECIDED: 9,
  TORN: 10,
} as const;

/** `enum lb_fate` */
export const Fate = { FORWARD: 0, PASS: 1, REJECT: 2, DROP: 3, UNROUTED: 4 } as const;

/** `enum lb_decision_limit` */
export const DecisionLimit = { DECISIONS: 16384, DECISIONS_PER_SECOND: 100 } as const;

/** `enum lb_event_kind` */
export const EventKind = { NO_PORT: 1, DECISION: 2 } as const;

/** `enum lb_limit` */
export const Limit = { REJECT4: 0, REJECT6: 1, EVENT: 2, LIMITS: 3 } as const;

/** `enum lb_counter` */
export const Counter = {
  SOCKET_TRANSLATED: 0,
  SOCKET_REFUSED: 1,
  SOCKET_NO_LOCAL_BACKEND: 2,
  SOCKET_DENIED: 3,
  SOCKET_UNALLOCATED: 4,
  SOCKET_ORIGIN_LOST: 5,
  SERVICE_TORN: 6,
  FLOW_CREATED: 7,
  FLOW_CONFIRMED: 8,
  FLOW_REPAIRED: 9,
  HOST_FLOW_MOVED: 10,
  ERROR_TRANSLATED: 11,
  ECHO_ANSWERED: 12,
  REJECT_NO_BACKEND: 13,
  REJECT_PORT: 14,
  REJECT_NO_FLOW: 15,
  REJECT_LIMITED: 16,
  DROP_NO_BACKEND: 17,
  DROP_NO_LOCAL_BACKEND: 18,
  DROP_DENIED: 19,
  DROP_UNALLOCATED: 20,
  DROP_CLUSTER_IP: 21,
  DROP_PORT: 22,
  DROP_NO_PORT: 23,
  DROP_FLOW_FULL: 24,
  DROP_NO_SOURCE: 25,
  DROP_MALFORMED: 26,
  DROP_TTL: 27,
  DROP_TOO_BIG: 28,
  DROP_FRAGMENT: 29,
  PACKET_LEFT: 30,
  COUNTERS: 31,
} as const;

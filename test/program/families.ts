/** Who is who in the harness, by address family. */
export const families = {
  IPv4: {
    version: 4,
    /** Outside, behind `eth0`. */
    client: '203.0.113.2',
    /** A router on the way to the client. */
    clientRouter: '203.0.113.9',
    /** Of the node, towards the client. */
    node: '203.0.113.1',
    vip: '198.51.100.7',
    externalIP: '192.0.2.7',
    clusterIP: '10.96.0.1',
    /** Of the node, towards the other node. */
    snat: '10.0.9.1',
    /** A router on the way to the other node's pods. */
    podRouter: '10.0.9.2',
    /** Of the node, towards its pods. */
    podGateway: '10.244.1.1',
    /** Pods of the node. */
    local: '10.244.1.2',
    pod: '10.244.1.9',
    /** A pod of the other node. */
    remote: '10.244.2.2',
  },
  IPv6: {
    version: 6,
    client: '2001:db8:1::2',
    clientRouter: '2001:db8:1::9',
    node: '2001:db8:1::1',
    vip: '2001:db8:f::7',
    externalIP: '2001:db8:e::7',
    clusterIP: 'fd00:96::1',
    snat: 'fd00:9::1',
    podRouter: 'fd00:9::2',
    podGateway: 'fd00:1::1',
    local: 'fd00:1::2',
    pod: 'fd00:1::9',
    remote: 'fd00:2::2',
  },
} as const;

export type FamilyAddresses = (typeof families)[keyof typeof families];

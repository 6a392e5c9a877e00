import { parseAddress } from '../../../lib/address';
import { defineService } from '../../../lib/service-definition';
import type { BackendSpec, FrontendSpec } from '../../../lib/spec';
import { staleDatagrams } from '../../../lib/stale-datagrams';
import { Place } from '../../../lib/place';
import { compared } from '../report';
import { type CasePort, type Check, type ControlPlaneCase, each } from './case';

/** In one of several forms: `ip:port`, or fields. */
type CaseEndpoint =
  | string
  | {
      readonly endpoint?: string;
      readonly ip?: string;
      readonly address?: string;
      readonly port?: number;
      readonly portName?: string;
      readonly serving?: boolean;
    };

interface ConntrackCase extends ControlPlaneCase {
  /** The Service was there before, and is not any more. */
  readonly serviceDeleted: boolean;
  readonly service: {
    readonly clusterIP: string;
    readonly externalIPs?: readonly string[];
    readonly lbVIPs?: readonly string[];
    readonly ports: readonly CasePort[];
  };
  readonly endpoints: readonly CaseEndpoint[];
  readonly entries: readonly {
    readonly origDst: string;
    readonly origDstPort: number;
    readonly replySrc: string;
    readonly replySrcPort: number;
    readonly protocol: string;
    readonly deleted: boolean;
  }[];
  readonly expectDeleted: number;
  readonly expectKept: number;
}

const place = new Place('conformance');
const canonical = (address: string) => parseAddress(address, place).text;

function frontendsOf(
  { clusterIP, externalIPs = [], lbVIPs = [] }: ConntrackCase['service'],
  ofPort: CasePort,
) {
  const { port, protocol, nodePort } = ofPort;
  const frontends: FrontendSpec[] = [{ type: 'ClusterIP', address: clusterIP, port, protocol }];
  for (const address of externalIPs) frontends.push({ type: 'ExternalIPs', address, port, protocol });
  for (const address of lbVIPs) frontends.push({ type: 'LoadBalancer', address, port, protocol });
  if (nodePort) frontends.push({ type: 'NodePort', port: nodePort, protocol });
  return frontends;
}

/** Those that serve, of a port. Flows stay with one that terminates. */
function backendsOf(endpoints: readonly CaseEndpoint[], { name = '' }: CasePort): BackendSpec[] {
  return endpoints.flatMap((one): BackendSpec[] => {
    const fields = typeof one === 'string' ? { endpoint: one } : one;
    if (fields.serving === false || (fields.portName ?? name) !== name) return [];
    const [, ip = fields.ip ?? fields.address, port = fields.port] =
      /^\[?(.+?)\]?:(\d+)$/.exec(fields.endpoint ?? '') ?? [];
    if (ip === undefined || port === undefined)
      throw new Error(`${JSON.stringify(one)} has no address and port`);
    return [{ address: ip, port: Number(port) }];
  });
}

/** Cases of what kube-proxy did before say until when. */
function isSuperseded({ notes = '' }: ControlPlaneCase): boolean {
  return /\buntil\b.*\bPR \d+/.test(notes);
}

/** Which UDP flows have to be forgotten. */
export const conntrack = each((one: ConntrackCase): Check[] => {
  if (isSuperseded(one)) {
    const reason = 'superseded: bpf-lb does as the newest kube-proxy';
    return one.entries.map((_, i) => ({ name: `entry ${i}`, outcome: { kind: 'skipped', reason } }));
  }
  const services = one.service.ports.map((port) =>
    defineService({
      name: `ns/svc:${port.name ?? port.port}/${port.protocol}`,
      frontends: frontendsOf(one.service, port),
      backends: backendsOf(one.endpoints, port),
    }),
  );
  const isStale = one.serviceDeleted ? staleDatagrams([], services) : staleDatagrams(services);
  const deleted = one.entries.map(
    ({ origDst, origDstPort, replySrc, replySrcPort, protocol }) =>
      protocol === 'UDP' &&
      isStale({
        to: { address: canonical(origDst), port: origDstPort },
        peer: { address: canonical(replySrc), port: replySrcPort },
      }),
  );
  const count = deleted.filter(Boolean).length;
  return [
    ...one.entries.map((entry, i) => ({
      name: `entry ${i}, from ${entry.origDst}:${entry.origDstPort} to ${entry.replySrc}:${entry.replySrcPort}`,
      outcome: compared({ deleted: entry.deleted }, { deleted: deleted[i] }),
    })),
    {
      name: 'deleted and kept',
      outcome: compared([one.expectDeleted, one.expectKept], [count, deleted.length - count]),
    },
  ];
});

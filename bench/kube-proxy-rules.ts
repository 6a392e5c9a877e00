import { createHash } from 'node:crypto';

import { run } from './command';
import { addresses, type PodPath } from './network';
import { backendAddress, backendPort, backendsPerService, serviceAddress, servicePort } from './services';

/*
 * Rules of the shape that kube-proxy writes in its two modes, for measuring beside. Every service has one endpoint,
 * which is all that other services add to the cost of one; the service that is measured has as many as ours have.
 */

interface Rules {
  readonly name: string;
  readonly address: string;
  readonly endpoints: readonly string[];
  readonly nodePort: number | undefined;
}

/** Traffic from elsewhere would be masqueraded; that of the measuring pod is not. */
const podAddresses = addresses.pods;
const mark = '0x4000';

function rulesOf(services: number, measured: number, nodePort: number | undefined): Rules[] {
  return Array.from({ length: services }, (_, index) => ({
    name: `default/service-${index}:http`,
    address: serviceAddress(index),
    endpoints: Array.from({ length: index === measured ? backendsPerService : 1 }, (_, i) =>
      backendAddress(index, i),
    ),
    nodePort: index === measured ? nodePort : undefined,
  }));
}

/** Chain names carry a hash, because they may not be as long as a service's name. */
function hash(...parts: string[]): string {
  return createHash('sha256').update(parts.join(' ')).digest('hex').slice(0, 16).toUpperCase();
}

/** Input for iptables-restore. A `nodePort` is the measured service's. */
function iptablesRules(services: number, measured: number, nodePort?: number): string {
  const all = rulesOf(services, measured, nodePort);
  const filter = [
    '*filter',
    ':KUBE-EXTERNAL-SERVICES - [0:0]',
    ':KUBE-FIREWALL - [0:0]',
    ':KUBE-FORWARD - [0:0]',
    ':KUBE-NODEPORTS - [0:0]',
    ':KUBE-PROXY-FIREWALL - [0:0]',
    ':KUBE-SERVICES - [0:0]',
    '-A INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL',
    '-A INPUT -j KUBE-NODEPORTS',
    '-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES',
    '-A INPUT -j KUBE-FIREWALL',
    '-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL',
    '-A FORWARD -j KUBE-FORWARD',
    '-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES',
    '-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES',
    '-A OUTPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL',
    '-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-FIREWALL',
    '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m mark --mark ${mark}/${mark} -j ACCEPT`,
    '-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    'COMMIT',
  ];
  const chains: string[] = [];
  const portals: string[] = [];
  const targets: string[] = [];
  const nodePorts: string[] = [];
  for (const { name, address, endpoints, nodePort } of all) {
    const service = `KUBE-SVC-${hash(name)}`;
    const match = `-d ${address}/32 -p tcp -m comment --comment "${name} cluster IP" -m tcp --dport ${servicePort}`;
    chains.push(`:${service} - [0:0]`);
    portals.push(`-A KUBE-SERVICES ${match} -j ${service}`);
    targets.push(`-A ${service} ! -s ${podAddresses} ${match} -j KUBE-MARK-MASQ`);
    if (nodePort !== undefined) {
      const external = `KUBE-EXT-${hash(name)}`;
      chains.push(`:${external} - [0:0]`);
      nodePorts.push(
        `-A KUBE-NODEPORTS -p tcp -m comment --comment "${name}" -m tcp --dport ${nodePort} -j ${external}`,
      );
      targets.push(
        `-A ${external} -m comment --comment "from outside to ${name}" -j KUBE-MARK-MASQ`,
        `-A ${external} -j ${service}`,
      );
    }
    endpoints.forEach((endpoint, i) => {
      const separate = `KUBE-SEP-${hash(name, endpoint)}`;
      const to = `${endpoint}:${backendPort}`;
      const left = endpoints.length - i;
      const chance = left > 1 ? `-m statistic --mode random --probability ${(1 / left).toFixed(10)} ` : '';
      chains.push(`:${separate} - [0:0]`);
      targets.push(
        `-A ${service} -m comment --comment "${name} -> ${to}" ${chance}-j ${separate}`,
        `-A ${separate} -s ${endpoint}/32 -m comment --comment "${name}" -j KUBE-MARK-MASQ`,
        `-A ${separate} -p tcp -m comment --comment "${name}" -m tcp -j DNAT --to-destination ${to}`,
      );
    });
  }
  const nat = [
    '*nat',
    ':KUBE-MARK-MASQ - [0:0]',
    ':KUBE-NODEPORTS - [0:0]',
    ':KUBE-POSTROUTING - [0:0]',
    ':KUBE-SERVICES - [0:0]',
    ...chains,
    '-A PREROUTING -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-SERVICES',
    '-A POSTROUTING -j KUBE-POSTROUTING',
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${mark}`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${mark}/${mark} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${mark}`,
    '-A KUBE-POSTROUTING -j MASQUERADE --random-fully',
    ...portals,
    ...nodePorts,
    '-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    ...targets,
    'COMMIT',
  ];
  return [...filter, ...nat, ''].join('\n');
}

function chain(name: string, ...statements: string[]): string[] {
  return [`chain ${name} {`, ...statements.map((statement) => `  ${statement}`), '}'];
}

/** A chain that the kernel calls. */
function baseChain(
  name: string,
  type: string,
  hook: string,
  priority: string,
  ...statements: string[]
): string[] {
  return chain(name, `type ${type} hook ${hook} priority ${priority}; policy accept;`, ...statements);
}

function collection(kind: string, type: string, elements: readonly string[] = []): string[] {
  const content = elements.length > 0 ? [`  elements = { ${elements.join(', ')} }`] : [];
  return [`${kind} {`, `  type ${type}`, ...content, '}'];
}

/** Input for `nft -f`. It wants chains before the maps that lead to them, and maps before the chains that use them. */
function nftablesRules(services: number, measured: number, nodePort?: number): string {
  const all = rulesOf(services, measured, nodePort);
  const targets: string[] = [];
  const portals: string[] = [];
  const nodePorts: string[] = [];
  for (const { name, address, endpoints, nodePort } of all) {
    const service = `service-${hash(name)}`;
    const choices = endpoints.map((endpoint, i) => {
      const separate = `endpoint-${hash(name, endpoint)}`;
      targets.push(
        ...chain(
          separate,
          `ip saddr ${endpoint} jump mark-for-masquerade`,
          `meta l4proto tcp dnat to ${endpoint}:${backendPort}`,
        ),
      );
      return `${i} : goto ${separate}`;
    });
    targets.push(
      ...chain(
        service,
        `ip daddr ${address} tcp dport ${servicePort} ip saddr != ${podAddresses} jump mark-for-masquerade`,
        `numgen random mod ${endpoints.length} vmap { ${choices.join(', ')} }`,
      ),
    );
    portals.push(`${address} . tcp . ${servicePort} : goto ${service}`);
    if (nodePort === undefined) continue;
    const external = `external-${hash(name)}`;
    targets.push(...chain(external, 'jump mark-for-masquerade', `goto ${service}`));
    nodePorts.push(`tcp . ${nodePort} : goto ${external}`);
  }
  const byAddress = 'ipv4_addr . inet_proto . inet_service : verdict';
  const byPort = 'inet_proto . inet_service : verdict';
  const destination = 'ip daddr . meta l4proto . th dport';
  const port = 'ip daddr @nodeport-ips meta l4proto . th dport';
  const isNew = 'ct state new jump';
  const clusterIPs = all.map(({ address }) => address);
  return [
    'table ip kube-proxy {',
    ...collection('set cluster-ips', 'ipv4_addr', clusterIPs),
    ...collection('set nodeport-ips', 'ipv4_addr', [addresses.clientGateway]),
    ...chain('mark-for-masquerade', `mark set mark | ${mark}`),
    ...targets,
    ...collection('map service-ips', byAddress, portals),
    ...collection('map service-nodeports', byPort, nodePorts),
    ...collection('map no-endpoint-services', byAddress),
    ...collection('map no-endpoint-nodeports', byPort),
    ...collection('map firewall-ips', byAddress),
    ...chain('services', `${destination} vmap @service-ips`, `${port} vmap @service-nodeports`),
    ...chain('service-endpoints-check', `${destination} vmap @no-endpoint-services`),
    ...chain('nodeport-endpoints-check', `${port} vmap @no-endpoint-nodeports`),
    ...chain('firewall-check', `${destination} vmap @firewall-ips`),
    ...chain('cluster-ips-check', 'ip daddr @cluster-ips reject', 'ip daddr 10.96.0.0/12 drop'),
    ...chain(
      'masquerading',
      `mark & ${mark} == 0 return`,
      `mark set mark ^ ${mark}`,
      'masquerade fully-random',
    ),
    ...baseChain('filter-prerouting', 'filter', 'prerouting', '-110', `${isNew} firewall-check`),
    ...baseChain(
      'filter-input',
      'filter',
      'input',
      '-110',
      `${isNew} nodeport-endpoints-check`,
      `${isNew} service-endpoints-check`,
    ),
    ...baseChain(
      'filter-forward',
      'filter',
      'forward',
      '-110',
      `${isNew} service-endpoints-check`,
      `${isNew} cluster-ips-check`,
    ),
    ...baseChain(
      'filter-output',
      'filter',
      'output',
      '-110',
      `${isNew} service-endpoints-check`,
      `${isNew} firewall-check`,
    ),
    ...baseChain('filter-output-post-dnat', 'filter', 'output', '-90', `${isNew} cluster-ips-check`),
    ...baseChain('nat-prerouting', 'nat', 'prerouting', 'dstnat', 'jump services'),
    ...baseChain('nat-output', 'nat', 'output', '-100', 'jump services'),
    ...baseChain('nat-postrouting', 'nat', 'postrouting', 'srcnat', 'jump masquerading'),
    '}',
    '',
  ].join('\n');
}

const kinds = {
  iptables: { command: ['iptables-restore'], write: iptablesRules },
  nftables: { command: ['nft', '-f', '-'], write: nftablesRules },
} as const;

/** A mode of kube-proxy. */
export type RulesKind = keyof typeof kinds;

/** Loads rules for so many services on the node of a path; a `nodePort` is the measured service's. */
export async function applyRules(
  { node }: PodPath,
  kind: RulesKind,
  services: number,
  measured: number,
  nodePort?: number,
): Promise<void> {
  const { command, write } = kinds[kind];
  const input = write(services, measured, nodePort);
  await run('nsenter', [`--net=${node}`, ...command], { input, timeout: 300_000 });
}

import type { Family } from '../../../lib/address';
import type { Cleanup } from '../cleanup';
import type { Namespace } from './namespace';
import { run } from './shell';
import type { Pod } from './two-nodes';

/** A service as kube-proxy would serve it, TCP and UDP. */
export interface KubeService {
  readonly clusterIP: Readonly<Record<Family, string>>;
  readonly port: number;
  readonly nodePort: number;
  readonly pods: readonly Pod[];
  readonly targetPort: number;
}

/** How kube-proxy writes its rules. */
export type RuleMode = 'iptables' | 'nftables';

const families = [4, 6] as const;
const protocols = ['tcp', 'udp'] as const;
/* The bit by which kube-proxy remembers that a packet needs an address of the node. */
const mark = '0x4000';

/** Rules of kube-proxy's shape for one service, in one namespace, until the cleanup. */
export function installRules(cleanup: Cleanup, at: Namespace, mode: RuleMode, service: KubeService): void {
  for (const family of families) {
    const table = mode === 'iptables' ? 'nat' : 'kube-proxy';
    cleanup.add(() => void at.run('nft', 'delete', 'table', family === 4 ? 'ip' : 'ip6', table));
    if (mode === 'nftables') run(at.enter('nft', '-f', '-'), nftables(family, service));
    else run(at.enter(family === 4 ? 'iptables-restore' : 'ip6tables-restore'), iptables(family, service));
  }
}

/** `address:port` as the tools write it. */
function destination(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function iptables(family: Family, { clusterIP, port, nodePort, pods, targetPort }: KubeService): string {
  const chains = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-MARK-MASQ', 'KUBE-POSTROUTING'];
  const rules = [
    'PREROUTING -j KUBE-SERVICES',
    'OUTPUT -j KUBE-SERVICES',
    'POSTROUTING -j KUBE-POSTROUTING',
    `KUBE-MARK-MASQ -j MARK --or-mark ${mark}`,
    `KUBE-POSTROUTING -m mark ! --mark ${mark}/${mark} -j RETURN`,
    `KUBE-POSTROUTING -j MARK --xor-mark ${mark}`,
    'KUBE-POSTROUTING -j MASQUERADE --random-fully',
  ];
  for (const protocol of protocols) {
    const [svc, ext] = [`KUBE-SVC-${protocol}`, `KUBE-EXT-${protocol}`];
    chains.push(svc, ext);
    rules.push(
      `KUBE-SERVICES -d ${clusterIP[family]} -p ${protocol} -m ${protocol} --dport ${port} -j ${svc}`,
      `KUBE-NODEPORTS -p ${protocol} -m ${protocol} --dport ${nodePort} -j ${ext}`,
      `${ext} -j KUBE-MARK-MASQ`,
      `${ext} -j ${svc}`,
    );
    pods.forEach(({ addresses }, i) => {
      const sep = `KUBE-SEP-${protocol}-${i}`;
      const left = pods.length - i;
      const chance = left > 1 ? `-m statistic --mode random --probability ${(1 / left).toFixed(10)} ` : '';
      chains.push(sep);
      rules.push(
        `${svc} ${chance}-j ${sep}`,
        `${sep} -s ${addresses[family]} -j KUBE-MARK-MASQ`,
        `${sep} -p ${protocol} -m ${protocol} -j DNAT --to-destination ${destination(addresses[family], targetPort)}`,
      );
    });
  }
  rules.push('KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS');
  const lines = ['*nat', ...chains.map((name) => `:${name} - [0:0]`), ...rules.map((rule) => `-A ${rule}`)];
  return [...lines, 'COMMIT', ''].join('\n');
}

function nftables(family: Family, { clusterIP, port, nodePort, pods, targetPort }: KubeService): string {
  const ip = family === 4 ? 'ip' : 'ip6';
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const elements = (element: (protocol: string) => string) => protocols.map(element).join(', ');
  const chains = protocols.flatMap((protocol) => [
    ...pods.map(
      ({ addresses }, i) => `chain endpoint-${protocol}-${i} {
        ${ip} saddr ${addresses[family]} jump mark-for-masquerade
        meta l4proto ${protocol} dnat to ${destination(addresses[family], targetPort)}
      }`,
    ),
    `chain service-${protocol} {
      numgen random mod ${pods.length} vmap { ${pods.map((_, i) => `${i} : goto endpoint-${protocol}-${i}`).join(', ')} }
    }`,
    `chain external-${protocol} {
      jump mark-for-masquerade
      goto service-${protocol}
    }`,
  ]);
  return `table ${ip} kube-proxy {
    chain mark-for-masquerade {
      meta mark set meta mark or ${mark}
    }
    ${chains.join('\n')}
    map service-ips {
      type ${address} . inet_proto . inet_service : verdict
      elements = { ${elements((protocol) => `${clusterIP[family]} . ${protocol} . ${port} : goto service-${protocol}`)} }
    }
    map service-nodeports {
      type inet_proto . inet_service : verdict
      elements = { ${elements((protocol) => `${protocol} . ${nodePort} : goto external-${protocol}`)} }
    }
    chain services {
      ${ip} daddr . meta l4proto . th dport vmap @service-ips
      fib daddr type local meta l4proto . th dport vmap @service-nodeports
    }
    chain nat-prerouting {
      type nat hook prerouting priority -100
      jump services
    }
    chain nat-output {
      type nat hook output priority -100
      jump services
    }
    chain nat-postrouting {
      type nat hook postrouting priority 100
      meta mark and ${mark} == 0 return
      meta mark set meta mark xor ${mark}
      masquerade fully-random
    }
  }
`;
}

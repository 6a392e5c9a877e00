import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Cluster, Place } from './cluster';
import { NodeProcess } from './node-process';

/** A node with its pods and the process that balances for it. */
export interface Node extends Place {
  readonly pods: readonly [Place, Place];
  readonly process: NodeProcess;
}

/**
 * Two nodes with two pods each, and a client outside, on one segment:
 *
 *     client 192.168.200.100 --+-- eth0 node1 192.168.200.11 lxc_web-1 --- eth0 web-1 192.168.201.4
 *                              |                             lxc_shell --- eth0 shell 192.168.201.5
 *                              +-- eth0 node2 192.168.200.12 lxc_web-2 --- eth0 web-2 192.168.202.4
 *                                                            lxc_web-3 --- eth0 web-3 192.168.202.5
 */
export async function buildTwoNodes(cluster: Cluster): Promise<{ client: Place; nodes: [Node, Node] }> {
  /* The segment is a bridge that the client has; nodes plug into it. */
  const client = await cluster.place('client', '192.168.200.100');
  await cluster.ip(
    client,
    'link add segment type bridge',
    'link set segment up',
    `addr add ${client.address}/24 dev segment`,
  );
  const node1 = await addNode(cluster, client, 1, ['web-1', 'shell']);
  const node2 = await addNode(cluster, client, 2, ['web-2', 'web-3']);
  await cluster.ip(node1, `route add 192.168.202.0/24 via ${node2.address}`);
  await cluster.ip(node2, `route add 192.168.201.0/24 via ${node1.address}`);
  return { client, nodes: [node1, node2] };
}

async function addNode(
  cluster: Cluster,
  client: Place,
  n: number,
  [first, second]: [string, string],
): Promise<Node> {
  const node = await cluster.place(`node${n}`, `192.168.200.${10 + n}`);
  await cluster.connect(client, node.name, node, 'eth0');
  await cluster.ip(client, `link set ${node.name} master segment`);
  await cluster.ip(node, `addr add ${node.address}/24 dev eth0`);
  await cluster.run(node, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  const pods = [
    await addPod(cluster, node, first, `192.168.20${n}.4`),
    await addPod(cluster, node, second, `192.168.20${n}.5`),
  ] as const;
  return { ...node, pods, process: new NodeProcess(cluster, node) };
}

async function addPod(cluster: Cluster, node: Place, name: string, address: string): Promise<Place> {
  const pod = await cluster.place(name, address, node);
  await cluster.connect(node, `lxc_${name}`, pod, 'eth0');
  await cluster.ip(node, `route add ${address} dev lxc_${name}`);
  await cluster.ip(
    pod,
    `addr add ${address}/32 dev eth0`,
    `route add ${node.address} dev eth0`,
    `route add default via ${node.address}`,
  );
  return pod;
}

/** Starts nginx in a pod, with a page that tells which pod answers, and who it thinks asks. */
export async function startNginx(cluster: Cluster, pod: Place): Promise<void> {
  const directory = join(cluster.directory, pod.name);
  const configuration = join(directory, 'nginx.conf');
  mkdirSync(directory);
  writeFileSync(
    join(directory, 'index.html'),
    `<title>Welcome to nginx!</title>\n<p>${pod.name} greets <!--# echo var="REMOTE_ADDR" -->.</p>\n`,
  );
  writeFileSync(
    configuration,
    `pid ${directory}/nginx.pid;
     error_log ${directory}/error.log;
     events {}
     http {
       access_log off;
       keepalive_timeout 0;
       types { text/html html; }
       server { listen 80; root ${directory}; ssi on; add_header Pod ${pod.name}; add_header Client $remote_addr; }
     }`,
  );
  /* Returns when it listens, and goes on in the background. */
  await cluster.run(pod, 'nginx', '-c', configuration);
}

/*
 * The Service nginx on two nodes, asked by pods, by the nodes themselves and by a client outside. See two-nodes.ts for
 * the network, node.ts for the part that uses bpf-lb. `npm run demo -- --keep` leaves it running to look around.
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';

import type { ServiceSpec } from 'bpf-lb';

import { Cluster, enter, type Place } from './cluster';
import { ask, report, requests } from './requests';
import { buildTwoNodes, type Node, startNginx } from './two-nodes';

const clusterIP = '10.233.90.187';
const nodePort = 32515;
const devices = ['eth0', 'lxc+'];

/** The Service as a node is told: the same on all nodes, except for which backends are the node's own. */
function nginx(node: Node, backends: readonly Place[]): ServiceSpec {
  return {
    name: 'default/nginx:http',
    frontends: [
      { type: 'ClusterIP', address: clusterIP, port: 80 },
      { type: 'NodePort', port: nodePort },
    ],
    backends: backends.map((pod) => ({ address: pod.address, port: 80, local: node.pods.includes(pod) })),
  };
}

async function serve(nodes: readonly Node[], backends: readonly Place[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.process.call('upsertService', nginx(node, backends))));
}

async function tellStory(cluster: Cluster, client: Place, nodes: readonly [Node, Node]): Promise<void> {
  const [node1, node2] = nodes;
  const [web1, shell] = node1.pods;
  const webs = [web1, ...node2.pods];

  heading('Two nodes, their pods and a client outside');
  for (const places of [[client], [node1, ...node1.pods], [node2, ...node2.pods]]) {
    console.log(places.map(({ name, address }) => `${name} ${address}`).join('   '));
  }
  for (const web of webs) await startNginx(cluster, web);
  for (const { process, cgroup } of nodes) await process.call('open', { devices, cgroup });
  await serve(nodes, webs);

  heading('Status of node1');
  console.log(await node1.process.call('status'));

  heading('Services of node1');
  console.log(await node1.process.call('services'));

  for (const node of nodes) {
    heading(`What is attached to which device of ${node.name}`);
    console.log(await node.process.call('devices'));
    const listing = await cluster.run(node, 'bpftool', 'net');
    console.log(
      listing.includes('bpf_lb') ? listing : '(this bpftool is too old to list tcx programs; 7.3 does)',
    );
  }

  heading('The page through the ClusterIP, from a pod and from its host');
  console.log(await cluster.run(shell, 'curl', '-sSi', '--max-time', '5', `http://${clusterIP}/`));
  for (const from of [shell, node1]) await ask(cluster, from, clusterIP, webs);

  heading('The page through the NodePort of each node, from outside');
  const [target1, target2] = [`${node1.address}:${nodePort}`, `${node2.address}:${nodePort}`] as const;
  for (const target of [target1, target2]) await ask(cluster, client, target, webs);

  heading('web-1 is taken out while the client asks on, and then it asks again');
  const answers: string[] = [];
  let change: Promise<void> | undefined;
  for await (const answer of requests(cluster, client, target1, 400)) {
    if (answers.push(answer) === 100) change = serve(nodes, node2.pods);
  }
  await change;
  report(client, target1, answers, webs);
  await ask(cluster, client, target1, node2.pods);

  heading('eth0 of node1 is deselected: its NodePort is closed, and that of node2 is not');
  await node1.process.call('selectDevices', ['lxc+']);
  const refused = cluster.run(client, 'curl', '-sS', '--max-time', '5', `http://${target1}/`);
  await assert.rejects(refused, (error: { code: number; stderr: string }) => {
    console.log(error.stderr.trim());
    return error.code === 7; // no connection; a time-out would be another code
  });
  await ask(cluster, client, target2, node2.pods);
}

/** Puts back what the story took away, and tells how to go on by hand. */
async function handOver(client: Place, nodes: readonly [Node, Node]): Promise<void> {
  const [node1, node2] = nodes;
  await node1.process.call('selectDevices', devices);
  await serve(nodes, [node1.pods[0], ...node2.pods]);
  heading('All of it runs on until Ctrl-C. A shell (as root, in another terminal)');
  for (const place of [client, ...nodes.flatMap((node) => [node, ...node.pods])]) {
    const [sh, c, script, ...args] = enter(place, ['bash']);
    console.log(`on ${place.name}:  ${sh} ${c} '${script}' ${args.join(' ')}`);
  }
  console.log(
    `\nTry there: curl http://${clusterIP}/, curl http://${node1.address}:${nodePort}/, bpftool map dump name services4`,
  );
  await new Promise(() => {});
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } });
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root: run `sudo npm run demo`.');
  const cluster = new Cluster();
  const { client, nodes } = await buildTwoNodes(cluster);
  await tellStory(cluster, client, nodes);
  if (values.keep) await handOver(client, nodes);
}

function heading(text: string): void {
  console.log(`\n== ${text}`);
}

main().then(
  () => process.exit(0),
  (error: Error) => {
    console.error(`demo: ${error.message}`);
    process.exit(1);
  },
);

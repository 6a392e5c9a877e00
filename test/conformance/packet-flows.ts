import { formatEndpoint } from '../../lib/address';
import type { ServiceSpec } from '../../lib/spec';
import { categoriesOf, inOrder } from './categories';
import { type ClusterObjects, Follower, WatchedCluster } from './cluster';
import type { Answer, Asker, Datapath, Question } from './datapath';
import { chosenDifference } from './differences';
import {
  areSame,
  devices,
  familyOf,
  isPod,
  knowsPods,
  type NodeSettings,
  podDevice,
  settingsOf,
} from './node';
import { type CaseFlow, configIn, groupsOf, isOf, type Mode, type PacketFlowCase } from './packet-flow-case';
import { compared, type Outcome, type Report } from './report';

/** Runs the cases through a datapath. */
export async function runPacketFlows(
  cases: readonly PacketFlowCase[],
  datapath: Datapath,
  mode: Mode,
  report: Report,
): Promise<void> {
  for (const group of groupsOf(cases)) {
    const steps = group.filter((step) => isOf(mode, step));
    for (const one of group) if (!steps.includes(one)) skipAll(one, `not of ${mode} mode`, report);
    /* Pods may be told from others in one family, and not in the other one. */
    for (const detector of [true, false]) await runSteps(steps, detector, datapath, mode, report);
  }
}

function skipAll({ id, flows }: PacketFlowCase, reason: string, report: Report): void {
  for (const { name } of flows) report.add(id, name, { kind: 'skipped', reason });
}

/** One node that goes from state to state, as long as it is the same one. */
interface Run {
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly cluster: WatchedCluster;
  readonly follower: Follower;
}

/** Asks the flows of the families in which pods are told from others, or are not. */
async function runSteps(
  steps: readonly PacketFlowCase[],
  detector: boolean,
  datapath: Datapath,
  mode: Mode,
  report: Report,
): Promise<void> {
  const isAsked = (one: PacketFlowCase, { to }: CaseFlow) =>
    knowsPods(configIn(mode, one), familyOf(to)) === detector;
  const hasWork = (one: PacketFlowCase) =>
    one.flows.some((flow) => isAsked(one, flow)) || (one.categorize !== undefined && detector);
  if (!steps.some(hasWork)) return;
  let run: Run | undefined;
  try {
    for (const step of steps) {
      const flows = step.flows.filter((flow) => isAsked(step, flow));
      try {
        run = await goTo(run, step, settingsOf(step, mode, detector), datapath, podsOf(steps, mode));
        const services = [...run.cluster.state.services.values()];
        if (step.categorize && detector) {
          const outcome = compared(inOrder(step.categorize), categoriesOf(services));
          report.add(step.id, 'lists of endpoints', outcome);
        }
        await askFlows(step, flows, run, services, datapath, mode, report);
      } catch (error) {
        const failure: Outcome = {
          kind: 'failed',
          expected: 'a state that can be served',
          got: String(error),
        };
        report.add(step.id, 'state', failure);
      }
    }
  } finally {
    await run?.follower.stop();
  }
}

/** Brings the node to a state, by updates if it is the one that there is. */
async function goTo(
  before: Run | undefined,
  step: PacketFlowCase,
  settings: NodeSettings,
  datapath: Datapath,
  pods: ReadonlySet<string>,
): Promise<Run> {
  const objects = objectsOf(step);
  const nodeName = step.node.name;
  if (before && before.nodeName === nodeName && areSame(before.settings, settings)) {
    before.cluster.become(objects);
    await before.follower.settle();
    return before;
  }
  await before?.follower.stop();
  const cluster = new WatchedCluster(nodeName);
  cluster.become(objects);
  const follower = new Follower(cluster.state, await datapath.open(settings, pods));
  await follower.settle();
  return { settings, nodeName, cluster, follower };
}

function objectsOf({ node, services, endpointSlices }: PacketFlowCase): ClusterObjects {
  const labels = node.zone ? { 'topology.kubernetes.io/zone': node.zone } : {};
  const addresses = node.ips.map((address) => ({ type: 'InternalIP', address }));
  return {
    Service: services,
    EndpointSlice: endpointSlices,
    Node: [{ kind: 'Node', metadata: { name: node.name, labels }, status: { addresses } }],
  };
}

/** What runs on the node, in any of the states: who asks as a pod, and endpoints that say so. */
function podsOf(steps: readonly PacketFlowCase[], mode: Mode): ReadonlySet<string> {
  const pods = new Set<string>();
  for (const step of steps) {
    const { name, ips } = step.node;
    for (const flow of step.flows)
      if (isPod(configIn(mode, step), flow.from) || flow.fromKind === 'pod') pods.add(flow.from);
    for (const { endpoints = [] } of step.endpointSlices)
      for (const { addresses, nodeName } of endpoints)
        if (nodeName === name && addresses[0] !== undefined) pods.add(addresses[0]);
    for (const address of ips) pods.delete(address);
  }
  return pods;
}

async function askFlows(
  step: PacketFlowCase,
  flows: readonly CaseFlow[],
  { settings }: Run,
  services: readonly ServiceSpec[],
  datapath: Datapath,
  mode: Mode,
  report: Report,
): Promise<void> {
  const asked: { flow: CaseFlow; asker: Asker; question: Question }[] = [];
  for (const flow of flows) {
    if (!isOf(mode, flow)) {
      report.add(step.id, flow.name, { kind: 'skipped', reason: `not of ${mode} mode` });
      continue;
    }
    const askers = askersOf(flow, settings, isPod(configIn(mode, step), flow.from));
    if ('outcome' in askers) report.add(step.id, flow.name, askers.outcome);
    else
      for (const asker of askers) {
        const { from, to, port, protocol, backends } = flow;
        asked.push({ flow, asker, question: { asker, from, to, port, protocol, backends: backends.length } });
      }
  }
  const answers = await datapath.ask(asked.map(({ question }) => question));
  const outcomes = new Map<CaseFlow, Outcome>();
  for (const [i, { flow, asker }] of asked.entries()) {
    const outcome = judge(flow, asker, answers[i] as Answer, services, step, mode);
    /* Of several who ask, one that is told otherwise decides. */
    if ((outcomes.get(flow)?.kind ?? 'passed') === 'passed') outcomes.set(flow, outcome);
  }
  for (const [flow, outcome] of outcomes) report.add(step.id, flow.name, outcome);
}

/**
 * Who asks for a flow; or what that comes to if nobody can. A source that is a pod's comes through the device of pods, and asks by a socket
 * of its own, too. Sockets are not asked for SCTP, which is translated by packets.
 */
function askersOf(
  { fromKind, protocol }: CaseFlow,
  settings: NodeSettings,
  fromPod: boolean,
): readonly Asker[] | { readonly outcome: Outcome } {
  const pods = { kind: 'packet', device: podDevice(settings) } as const;
  const clients = { kind: 'packet', device: devices.clients } as const;
  switch (fromKind) {
    case 'node':
    case 'loopback':
      if (protocol !== 'SCTP') return [{ kind: 'socket', of: 'node' }];
      return {
        outcome: { kind: 'skipped', reason: 'SCTP of the node itself: its sockets are not translated' },
      };
    case 'pod':
    case 'external':
    case 'external-blocked':
    case 'lb-vip':
      if (fromPod) return protocol === 'SCTP' ? [pods] : [pods, { kind: 'socket', of: 'pod' }];
      return [fromKind === 'pod' ? pods : clients];
    default:
      return { outcome: { kind: 'failed', expected: 'a source of a kind that is known', got: fromKind } };
  }
}

/** What has to be seen, or was, in words. */
function describe(verdict: string, backends: readonly string[] = [], snat?: boolean): string {
  if (verdict !== 'forward') return verdict;
  const how = snat === undefined ? '' : snat ? ' with SNAT' : ' without SNAT';
  return `forward to ${backends.toSorted().join(', ')}${how}`;
}

function judge(
  flow: CaseFlow,
  asker: Asker,
  { seen, offered }: Answer,
  services: readonly ServiceSpec[],
  step: PacketFlowCase,
  mode: Mode,
): Outcome {
  const expected = expectationOf(flow);
  const got = summaryOf(seen, flow, asker);
  const wanted = describe(expected, flow.backends, asker.kind === 'socket' ? undefined : flow.masquerade);
  const isSticky = serviceOf(flow, services)?.sessionAffinity === 'ClientIP';
  const fits =
    expected === 'forward'
      ? fitsForward(flow, asker, seen, isSticky) && (!offered || isSame(offered, flow.backends))
      : seen.length === 1 && seen[0]?.verdict === expected;
  if (fits) return { kind: 'passed' };
  const place = {
    config: configIn(mode, step),
    clusterIPs: addressesOf(services, 'ClusterIP'),
    guarded: addressesOf(
      services.filter(({ sourceRanges = [] }) => sourceRanges.length > 0),
      'LoadBalancer',
    ),
  };
  const reason = seen.length === 1 && seen[0] && chosenDifference(mode, flow, seen[0].verdict, place);
  if (reason) return { kind: 'skipped', reason };
  const who = asker.kind === 'socket' ? `socket of the ${asker.of}` : `packet through ${asker.device}`;
  const candidates =
    offered && expected === 'forward' ? `, of ${offered.toSorted().join(', ') || 'nobody'}` : '';
  return { kind: 'failed', expected: wanted, got: `${got}${candidates} (${who})` };
}

/** `accept` without backends is for listeners of the node, which are not kept from anything by us. */
function expectationOf({ expect, backends }: CaseFlow): 'forward' | 'reject' | 'drop' | 'untouched' {
  if (expect === 'none') return 'untouched';
  if (expect === 'accept') return backends.length > 0 ? 'forward' : 'untouched';
  return expect;
}

function summaryOf(seen: Answer['seen'], { from }: CaseFlow, asker: Asker): string {
  const words = new Set<string>();
  const ends: string[] = [];
  for (const one of seen) {
    if (one.verdict === 'broken') words.add(one.detail);
    else if (one.verdict !== 'forward') words.add(one.verdict);
    else {
      const odd = asker.kind === 'packet' && one.snat !== undefined;
      ends.push(odd ? `${one.backend}${one.snat ? ' with SNAT' : ' without SNAT'}` : one.backend);
    }
  }
  if (ends.length > 0) words.add(`forward to ${ends.toSorted().join(', ')}`);
  return `${[...words].join('; ') || 'nothing'}${from ? ` from ${from}` : ''}`;
}

/** Of several backends, one that is the client itself always sees another address: the word of the flow is for the others. */
function fitsForward(
  { from, backends, masquerade }: CaseFlow,
  asker: Asker,
  seen: Answer['seen'],
  isSticky: boolean,
): boolean {
  const chosen: string[] = [];
  for (const one of seen) {
    if (one.verdict !== 'forward' || !backends.includes(one.backend)) return false;
    chosen.push(one.backend);
    if (asker.kind === 'socket') continue;
    const isItself = formatEndpoint(from, Number(one.backend.replace(/.*:/, ''))) === one.backend;
    if (one.snat !== (masquerade || (isItself && backends.length > 1))) return false;
  }
  return isSticky ? chosen.length === 1 : isSame(chosen, backends);
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.toSorted().join() === b.toSorted().join();
}

function addressesOf(services: readonly ServiceSpec[], type: string): ReadonlySet<string> {
  const frontends = services.flatMap((service) => service.frontends).filter((f) => f.type === type);
  return new Set(frontends.flatMap(({ address }) => address ?? []));
}

/** The service that a flow is for, if it is for any. */
function serviceOf(
  { to, port, protocol }: CaseFlow,
  services: readonly ServiceSpec[],
): ServiceSpec | undefined {
  const has = (address: string | undefined) => (service: ServiceSpec) =>
    service.frontends.some(
      (f) => f.address === address && f.port === port && (f.protocol ?? 'TCP') === protocol,
    );
  return services.find(has(to)) ?? services.find(has(undefined));
}

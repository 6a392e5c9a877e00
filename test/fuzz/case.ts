import type { OpenOptions } from '../../lib/options';
import type { FrontendSpec, Protocol, ServiceSpec } from '../../lib/spec';
import {
  decide,
  type Expectation,
  type Family,
  familyOf,
  type ModelNode,
  type ModelQuery,
  refusals,
  settled,
} from '../support/model';
import { addresses, allAddresses, allPorts } from './pools';
import { host, modelNode, pod } from './topology';

/*
 * A case as it is generated, and what it comes to: steps name things by number, so that a shrunk case still means
 * something; actions are what the kernel and the simulator are told.
 */

/** Who asks. */
export type Side =
  | { readonly kind: 'socket'; readonly of: 'host' | 'pod'; readonly mapped: boolean }
  | {
      readonly kind: 'packet';
      readonly device: number;
      readonly client: number;
      /** A segment in the middle of a connection. TCP. */
      readonly middle: boolean;
    };

/** A question before it is known what there is to ask for. */
export interface Draft {
  readonly side: Side;
  readonly target:
    | {
        readonly frontend: number;
        /** The address of the node, for a frontend without one. */
        readonly at: number;
        readonly family: Family;
        readonly twist: 'none' | 'port' | 'protocol';
      }
    | { readonly address: string; readonly port: number; readonly protocol: Protocol };
  /** Is asked so often that every backend that may be chosen is. */
  readonly often: boolean;
}

export type Step =
  /** `tidy`: what clashes is left out, else the change may be refused. */
  | { readonly kind: 'upsert'; readonly service: ServiceSpec; readonly tidy: boolean }
  | { readonly kind: 'apply'; readonly services: readonly ServiceSpec[]; readonly tidy: boolean }
  | { readonly kind: 'delete'; readonly name: string }
  /** A frontend goes over from one service to another. */
  | { readonly kind: 'pass'; readonly from: number; readonly to: number }
  | { readonly kind: 'address'; readonly address: string; readonly present: boolean }
  | { readonly kind: 'ask'; readonly drafts: readonly Draft[] }
  /** Many questions, each `stride` further in the list of all that there are. */
  | { readonly kind: 'sweep'; readonly start: number; readonly stride: number; readonly count: number };

/** A question, and how often it is to be asked. */
export interface Question {
  readonly query: ModelQuery & { readonly middle?: boolean; readonly mapped?: boolean };
  readonly draws: number;
}

export type Action =
  | { readonly kind: 'upsert'; readonly service: ServiceSpec }
  | { readonly kind: 'apply'; readonly services: readonly ServiceSpec[] }
  | { readonly kind: 'delete'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string; readonly present: boolean }
  | { readonly kind: 'ask'; readonly questions: readonly Question[] };

/** An action, and what the model says of it. */
export type Planned =
  | {
      readonly action: Exclude<Action, { kind: 'ask' }>;
      /** Codes of the errors that it may be refused with; none: it has to be accepted. */
      readonly refusals: readonly string[];
      /** The services afterwards. */
      readonly services: readonly ServiceSpec[];
    }
  | { readonly action: Action & { kind: 'ask' }; readonly expected: readonly Expectation[] };

/** What the steps of a case come to on a node with the options. `sides`: who may ask, in sweeps. */
export function planCase(
  steps: readonly Step[],
  options: OpenOptions,
  sides: readonly Side['kind'][],
): Planned[] {
  let services: readonly ServiceSpec[] = [];
  let extra: readonly string[] = [];
  const planned: Planned[] = [];

  function change(action: Exclude<Action, { kind: 'ask' }>, next: readonly ServiceSpec[]): void {
    const codes = refusals(next);
    if (codes.length === 0) services = next;
    planned.push({ action, refusals: codes, services });
  }

  function apply(desired: readonly ServiceSpec[]): void {
    const after = settled(services, desired);
    services = after.services;
    const action = { kind: 'apply' as const, services: desired };
    planned.push({ action, refusals: after.failed ? ['ERR_BPF_APPLY'] : [], services });
  }

  function ask(drafts: readonly Draft[]): void {
    const node = modelNode(options, extra);
    const questions = drafts
      .flatMap((draft) => question(draft, services, node) ?? [])
      .sort((a, b) => turn(a) - turn(b));
    const expected = questions.map(({ query }) => decide(services, node, query));
    const drawn = questions.map((q, i) => ({
      ...q,
      draws: q.draws > 1 ? drawsFor(expected[i] as Expectation) : 1,
    }));
    planned.push({ action: { kind: 'ask', questions: drawn }, expected });
  }

  for (const step of steps) {
    switch (step.kind) {
      case 'upsert': {
        const others = services.filter(({ name }) => name !== step.service.name);
        const service = step.tidy ? tidied([...others, step.service]).at(-1) : step.service;
        if (service?.name !== step.service.name) break;
        change({ kind: 'upsert', service }, [...others, service]);
        break;
      }
      case 'apply':
        apply(step.tidy ? tidied(step.services) : step.services);
        break;
      case 'delete':
        change(
          step,
          services.filter(({ name }) => name !== step.name),
        );
        break;
      case 'pass':
        apply(passed(services, step.from, step.to));
        break;
      case 'address':
        if (extra.includes(step.address) === step.present) break;
        extra = step.present ? [...extra, step.address] : extra.filter((address) => address !== step.address);
        change(step, services);
        break;
      case 'ask':
        ask(step.drafts);
        break;
      case 'sweep':
        ask(Array.from({ length: step.count }, (_, n) => swept(step.start + n * step.stride, sides)));
        break;
    }
  }
  return planned;
}

/** Leaves out what could not be accepted: frontends that an earlier service has, backends that no frontend can use. */
function tidied(services: readonly ServiceSpec[]): ServiceSpec[] {
  const kept: ServiceSpec[] = [];
  for (const service of services) {
    let frontends: readonly FrontendSpec[] = [];
    const backends = service.backends.filter(
      (b, i) => service.backends.findIndex((o) => o.address === b.address && o.port === b.port) === i,
    );
    for (const frontend of service.frontends) {
      const more = [...frontends, frontend];
      if (refusals([...kept, { ...service, frontends: more, backends: [] }]).length === 0) frontends = more;
    }
    if (frontends.length === 0) continue;
    const usable = backends.filter((b) => refusals([{ ...service, frontends, backends: [b] }]).length === 0);
    const whole = { ...service, frontends, backends: usable };
    if (refusals([...kept, whole]).length === 0) kept.push(whole);
  }
  return kept;
}

function passed(services: readonly ServiceSpec[], from: number, to: number): readonly ServiceSpec[] {
  const giver = services[from % services.length];
  const taker = services[to % services.length];
  const frontend = giver?.frontends[0];
  if (!giver || !taker || giver === taker || !frontend) return services;
  const left = { ...giver, frontends: giver.frontends.slice(1) };
  const next = services
    .map((s) => (s === giver ? left : s === taker ? { ...s, frontends: [...s.frontends, frontend] } : s))
    .filter(({ frontends }) => frontends.length > 0);
  return tidied(next);
}

/** A question by its number. Every other one aims at a frontend. */
function swept(number: number, sides: readonly Side['kind'][]): Draft {
  let rest = number;
  const next = (size: number) => {
    const digit = rest % size;
    rest = Math.floor(rest / size);
    return digit;
  };
  const aimed = next(2) === 0;
  const kind = sides[next(sides.length)] as Side['kind'];
  const side: Side =
    kind === 'socket'
      ? { kind, of: next(2) === 0 ? 'host' : 'pod', mapped: next(2) === 0 }
      : { kind, device: next(3), client: next(addresses[4].client.length), middle: false };
  const family = next(2) === 0 ? 4 : 6;
  if (aimed) {
    const [frontend, at] = [next(16), next(addresses[4].node.length + 1)];
    return { side, target: { frontend, at, family, twist: 'none' }, often: false };
  }
  const [places, some] = [allAddresses[family], allPorts];
  const protocol = (['TCP', 'UDP', 'SCTP'] as const)[next(3)] as Protocol;
  const port = some[next(some.length)] as number;
  const address = places[next(places.length)] as string;
  return { side, target: { address, port, protocol }, often: false };
}

/** Packets come before sockets, those of the node before the pod's: clients of one kind ask together. */
function turn({ query }: Question): number {
  return 'device' in query ? 0 : query.socket === 'host' ? 1 : 2;
}

function question(draft: Draft, services: readonly ServiceSpec[], node: ModelNode): Question | undefined {
  const target = aim(draft, services);
  const family = familyOf(target.to);
  const draws = draft.often ? 2 : 1;
  const { side } = draft;
  if (side.kind === 'socket') {
    if (target.protocol === 'SCTP') return undefined;
    const from = (side.of === 'host' ? host : pod)[family];
    const mapped = side.mapped && family === 4;
    return { query: { ...target, from, socket: side.of, mapped }, draws };
  }
  const selected = node.devices.filter((device) => device.selected);
  const device = selected[side.device % selected.length];
  /* Loopback addresses do not come in. */
  if (!device || target.to === addresses[family].loopback) return undefined;
  const from = addresses[family].client[side.client] as string;
  if (from === target.to && familyOf(from) !== family) return undefined;
  return {
    query: { ...target, from, device: device.name, middle: side.middle && target.protocol === 'TCP' },
    draws,
  };
}

function aim({ target }: Draft, services: readonly ServiceSpec[]) {
  if ('address' in target) return { to: target.address, port: target.port, protocol: target.protocol };
  const frontends = services.flatMap((service) => service.frontends);
  const frontend = frontends[target.frontend % frontends.length];
  if (!frontend) return { to: addresses[target.family].clusterIP[0], port: 80, protocol: 'TCP' as const };
  const { node, loopback } = addresses[target.family];
  const { protocol = 'TCP' } = frontend;
  return {
    to: frontend.address ?? node[target.at] ?? loopback,
    port: target.twist === 'port' ? frontend.port + 1 : frontend.port,
    protocol: target.twist !== 'protocol' ? protocol : protocol === 'UDP' ? 'TCP' : 'UDP',
  } as const;
}

/** So many that one backend is left out with a probability below 1e-11. One where choices depend on earlier ones. */
function drawsFor(expectation: Expectation): number {
  if (expectation.verdict !== 'forward' || expectation.service.sessionAffinity === 'ClientIP') return 1;
  const weights = expectation.choices.map(({ weight }) => weight);
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.length < 2 ? 1 : Math.ceil((27 * total) / Math.min(...weights));
}

import { formatEndpoint } from '../address';
import { keysOfDestination } from '../frontend-key';
import type { BackendDefinition, FrontendDefinition } from '../service-definition';
import type { ServiceTable } from '../service-table';
import type { ServiceRecord } from '../table-image';
import type { Decision, DecisionModule, Offer, Tables } from './decision-module';
import type { ParsedQuery } from './query';
import type { ExclusionReason, Reason, Verdict } from './verdict';

type Backends = Pick<Verdict, 'candidates' | 'excluded'>;

interface Asked {
  readonly record: ServiceRecord;
  readonly frontend: FrontendDefinition;
  /** What it offers, once it is known. */
  wide: Backends | undefined;
  narrowed: Backends | undefined;
}

const none: Backends = { candidates: [], excluded: [] };

const notTranslated: Verdict = {
  verdict: 'untouched',
  reason: 'sockets-not-translated',
  service: undefined,
  frontend: undefined,
  backend: undefined,
  ...none,
  snat: false,
  affinity: 'none',
};

/** Reasons that are about the service's backends. */
const aboutBackends: readonly string[] = ['chosen', 'no-backend', 'no-local-backend'];

/** Turns decisions, which know ids and ranges, into verdicts, which know names. For one state of the services. */
export class Explainer {
  readonly #module: DecisionModule;
  readonly #tables: Tables;
  readonly #services: ServiceTable;
  readonly #socketLB: boolean;
  readonly #frontends = new Map<number, Asked>();

  constructor(module: DecisionModule, tables: Tables, services: ServiceTable, socketLB: boolean) {
    this.#module = module;
    this.#tables = tables;
    this.#services = services;
    this.#socketLB = socketLB;
  }

  /** Changes nothing: {@link DecisionModule.writes} are what the programs would leave behind. */
  explain(query: ParsedQuery): Verdict {
    if (query.question.isSocket && !this.#socketLB) return notTranslated;
    const decision = this.#module.decide(query.question, this.#tables);
    const { offer } = decision;
    const asked = offer && this.#find(offer, query);
    const backends = asked ? this.#backendsOf(asked, offer, decision) : none;
    return {
      verdict: decision.verdict as Verdict['verdict'],
      reason: decision.reason as Reason,
      service: asked?.record.definition.name,
      frontend: asked?.frontend.key,
      backend: decision.backend,
      candidates: backends.candidates,
      excluded: backends.excluded,
      snat: decision.snat,
      affinity: decision.affinity,
    };
  }

  /** By the id that the table gives: that of a frontend with the address that was asked for, or of a wildcard. */
  #find(offer: Offer, query: ParsedQuery): Asked | undefined {
    const known = this.#frontends.get(offer.frontend);
    if (known) return known;
    const to = { address: query.to, port: query.question.port };
    for (const key of keysOfDestination(to, query.protocol)) {
      const record = this.#services.records.get(this.#services.owners.get(key) ?? '');
      const frontend = record?.definition.frontends[record.ids.indexOf(offer.frontend)];
      if (!record || frontend?.key !== key) continue;
      const asked = { record, frontend, wide: undefined, narrowed: undefined };
      this.#frontends.set(offer.frontend, asked);
      return asked;
    }
    return undefined;
  }

  /** All who ask for a frontend from the same side are offered the same. */
  #backendsOf(asked: Asked, offer: Offer, { reason }: Decision): Backends {
    if (!aboutBackends.includes(reason)) return none;
    const offered = offer.narrowed ? 'narrowed' : 'wide';
    return (asked[offered] ??= this.#list(asked, offer));
  }

  #list({ record, frontend }: Asked, offer: Offer): Backends {
    const candidates = this.#module.backends(offer.first, offer.count, this.#tables);
    const offered = new Set(candidates);
    const excluded = record.definition.backends
      .map((backend) => ({
        backend: formatEndpoint(backend.address, backend.port),
        reason: whyExcluded(backend, frontend, offer),
      }))
      .filter(({ backend }) => !offered.has(backend));
    return { candidates, excluded };
  }
}

/** What would have to change first for the backend to be a candidate. */
function whyExcluded(
  { family, state, weight, local, clusterWide, draining }: BackendDefinition,
  frontend: FrontendDefinition,
  { narrowed }: Offer,
): ExclusionReason {
  if (family !== frontend.family) return 'other-family';
  if (state === 'quarantined' || state === 'maintenance') return state;
  if (weight === 0) return 'weight-zero';
  if (draining) return 'draining';
  if (narrowed && !local) return 'not-local';
  if (state === 'terminating') return 'terminating';
  if (!narrowed && !clusterWide) return 'left-to-other-nodes';
  return 'changing';
}

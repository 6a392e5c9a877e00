import type { Family } from '../address';
import type { BackendSpec, FrontendSpec, ServiceSpec } from '../spec';
import type { ObjectReference } from './warnings';

/** A service as its object alone would have it: other objects may claim the same frontends. */
export interface Candidate {
  readonly spec: ServiceSpec;
  readonly object: ObjectReference;
  /** Who comes first, by its text, has the frontend that several claim. */
  readonly rank: string;
  /** Of each frontend: see {@link claimsOf}. */
  readonly claims: readonly (readonly string[])[];
}

/** Makes a candidate. Services come before Pods, and those before Pods that terminate. */
export function candidateOf(spec: ServiceSpec, object: ObjectReference, precedence: 0 | 1 | 2): Candidate {
  const claims = spec.frontends.map((frontend) => claimsOf(frontend, spec));
  return { spec, object, rank: `${precedence}${spec.name}`, claims };
}

/** Whether an address text is of the family. */
function isOf(family: Family, address: string): boolean {
  return address.includes(':') === (family === 6);
}

function hasFamily(backends: readonly BackendSpec[], family: Family): boolean {
  return backends.some(({ address }) => isOf(family, address));
}

/**
 * The keys under which nobody else may have the frontend. Every address answers a NodePort, in both families; and a
 * HostPort without an address, in those of the Pod.
 */
export function claimsOf(
  { type, address, port, protocol }: FrontendSpec,
  { backends }: ServiceSpec,
): string[] {
  if (address !== undefined) return [`${address} ${port}/${protocol}`];
  const families = ([4, 6] as const).filter((f) => type === 'NodePort' || hasFamily(backends, f));
  return families.map((family) => `*${family} ${port}/${protocol}`);
}

/** The service with some of its frontends, and the backends that these can reach. Undefined without frontends. */
export function withFrontends(
  spec: ServiceSpec,
  frontends: readonly FrontendSpec[],
): ServiceSpec | undefined {
  if (frontends.length === spec.frontends.length) return spec;
  if (frontends.length === 0) return undefined;
  return { ...spec, frontends, backends: reachableFrom(frontends, spec.backends) };
}

/** The backends of the families in which frontends have addresses; or all, if none has an address. */
export function reachableFrom(
  frontends: readonly FrontendSpec[],
  backends: readonly BackendSpec[],
): readonly BackendSpec[] {
  const addresses = frontends.flatMap(({ address }) => address ?? []);
  const served = ([4, 6] as const).filter((family) => addresses.some((address) => isOf(family, address)));
  if (served.length !== 1) return backends;
  return backends.filter(({ address }) => served.some((family) => isOf(family, address)));
}

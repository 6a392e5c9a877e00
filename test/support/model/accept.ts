import type { FrontendSpec, ServiceSpec } from '../../../lib/spec';
import { wildcardFamilies } from './decide';
import { endpoint, familyOf } from './network';

/** What a table of frontends would know them by; a wildcard is one for each of its families. */
function keysOf(service: ServiceSpec): string[] {
  return service.frontends.flatMap((frontend: FrontendSpec) => {
    const { address, port, protocol = 'TCP' } = frontend;
    const addresses = address === undefined ? wildcardFamilies(service).map((f) => `any${f}`) : [address];
    return addresses.map((one) => `${one} ${port} ${protocol}`);
  });
}

function duplicates(list: readonly string[]): boolean {
  return list.some((element, i) => list.indexOf(element) !== i);
}

/** The codes of the errors that a service may be refused with by itself; none: it is well-formed. */
function flaws(service: ServiceSpec): string[] {
  const codes: string[] = [];
  if (duplicates(keysOf(service))) codes.push('ERR_BPF_DUPLICATE_FRONTEND');
  if (duplicates(service.backends.map(({ address, port }) => endpoint(address, port))))
    codes.push('ERR_BPF_INVALID_BACKEND');
  const families = service.frontends.flatMap(({ address }) =>
    address === undefined ? wildcardFamilies(service) : [familyOf(address)],
  );
  if (service.backends.some(({ address }) => !families.includes(familyOf(address))))
    codes.push('ERR_BPF_MIXED_FAMILIES');
  return codes;
}

/** The codes with which the whole set of services may be refused; none: it has to be accepted. */
export function refusals(services: readonly ServiceSpec[]): readonly string[] {
  const codes = services.flatMap(flaws);
  if (duplicates(services.flatMap(keysOf))) codes.push('ERR_BPF_DUPLICATE_FRONTEND');
  return codes;
}

/**
 * What becomes of the services when others are desired: the services afterwards, and whether some could not be had. A
 * frontend that several desire goes to the one that has it, or else to the first; who fails keeps what it has.
 */
export function settled(
  services: readonly ServiceSpec[],
  desired: readonly ServiceSpec[],
): { readonly services: readonly ServiceSpec[]; readonly failed: boolean } {
  const names = desired.map(({ name }) => name);
  const present = new Map(services.map((service) => [service.name, service]));
  const failed = new Set(
    desired
      .filter((s) => flaws(s).length > 0 || duplicates(names.filter((n) => n === s.name)))
      .map((s) => s.name),
  );
  const had = (name: string) => {
    const service = present.get(name);
    return service ? keysOf(service) : [];
  };
  for (let before = -1; before !== failed.size;) {
    before = failed.size;
    const rest = desired.filter(({ name }) => !failed.has(name));
    const taken = new Map<string, string>();
    for (const s of rest) for (const key of keysOf(s)) if (had(s.name).includes(key)) taken.set(key, s.name);
    for (const name of failed) for (const key of had(name)) taken.set(key, name);
    for (const s of rest) {
      if (keysOf(s).some((key) => taken.has(key) && taken.get(key) !== s.name)) failed.add(s.name);
      else for (const key of keysOf(s)) taken.set(key, s.name);
    }
  }
  const kept = services.filter(({ name }) => failed.has(name));
  return { services: [...desired.filter(({ name }) => !failed.has(name)), ...kept], failed: failed.size > 0 };
}

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

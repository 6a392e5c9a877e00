import { NetworkHint } from './abi';
import { type Family, ipv4Bits, ipv6Bytes } from './address';
import { type HintChange, HintTable } from './hint-table';
import type { FrontendDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';

const bit: Record<Family, number> = { 4: NetworkHint.FRONTEND4, 6: NetworkHint.FRONTEND6 };

/** Counts the frontends of each network, and keeps the hints that say where some are. */
export class NetworkHints {
  readonly #hints = new HintTable('networks');
  readonly #frontends: Record<Family, Uint32Array> = { 4: new Uint32Array(65536), 6: new Uint32Array(65536) };

  /** The operations to run before and after a change of services, which becomes the new state. */
  change(removed: Iterable<ServiceRecord>, added: Iterable<ServiceRecord>): HintChange {
    const touched = new Set<number>();
    for (const { definition } of removed) this.#count(definition.frontends, -1, touched);
    for (const { definition } of added) this.#count(definition.frontends, 1, touched);
    return this.#hints.change(
      touched,
      (network) => (this.#frontends[4][network] ? bit[4] : 0) | (this.#frontends[6][network] ? bit[6] : 0),
    );
  }

  #count(frontends: readonly FrontendDefinition[], by: 1 | -1, touched: Set<number>): void {
    for (const { family, address } of frontends) {
      if (!address) continue;
      const network = networkOf(family, address);
      this.#frontends[family][network] = (this.#frontends[family][network] as number) + by;
      touched.add(network);
    }
  }
}

/** lb_network of bpf/address.h: the first 16 bits of an IPv4 address, the first 64 of an IPv6 one, folded. */
export function networkOf(family: Family, address: string): number {
  if (family === 4) return ipv4Bits(address) >>> 16;
  const bytes = ipv6Bytes(address);
  let network = 0;
  for (let i = 0; i < 8; i += 2) network ^= ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  return network;
}

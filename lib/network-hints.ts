import { NetworkHint } from './abi';
import { type Family, families, ipv4Bits, ipv6Bytes } from './address';
import { type HintChange, HintTable } from './hint-table';
import type { FrontendDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';
import type { Cidr } from './cidr';
import type { MapOperation } from '../types/native';

const bit: Record<Family, number> = { 4: NetworkHint.FRONTEND4, 6: NetworkHint.FRONTEND6 };
const flowBit: Record<Family, number> = { 4: NetworkHint.FLOW4, 6: NetworkHint.FLOW6 };

/** Counts the frontends of each network, and keeps the hints that say where some are. */
export class NetworkHints {
  readonly #hints = new HintTable('networks');
  readonly #frontends: Record<Family, Uint32Array> = { 4: new Uint32Array(65536), 6: new Uint32Array(65536) };

  /** What the kernel holds already. Bits that nothing needs any more stay: they are hints. */
  adopt(hints: Uint8Array): void {
    this.#hints.adopt(hints);
  }

  /** The operations to run before and after a change of services, which becomes the new state. */
  change(removed: Iterable<ServiceRecord>, added: Iterable<ServiceRecord>): HintChange {
    const touched = new Set<number>();
    for (const { definition } of removed) this.#count(definition.frontends, -1, touched);
    for (const { definition } of added) this.#count(definition.frontends, 1, touched);
    return this.#hints.change(touched, (network) => this.#bits(network));
  }

  /** Networks that are looked at whether there are frontends or not. */
  reserve(cidrs: readonly Cidr[]): MapOperation[] {
    const touched = new Set<number>();
    for (const cidr of cidrs) {
      for (const network of networksOf(cidr)) {
        this.#frontends[cidr.family][network] = (this.#frontends[cidr.family][network] as number) + 1;
        touched.add(network);
      }
    }
    const { before, after } = this.#hints.change(touched, (network) => this.#bits(network));
    return [...before, ...after];
  }

  /** Flows outlive the frontend that they began with, so their bit is never cleared. */
  #bits(network: number): number {
    let bits = this.#hints.at(network) & (flowBit[4] | flowBit[6]);
    for (const family of families)
      if (this.#frontends[family][network]) bits |= bit[family] | flowBit[family];
    return bits;
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

/** Bits of an address that decide its network. */
const networkBits: Record<Family, number> = { 4: 16, 6: 64 };

/** The networks of all addresses in the range: those that differ in bits that are not the prefix's. */
function networksOf({ family, text, prefixLength }: Cidr): number[] {
  const first = networkOf(family, text.replace(/\/.*/, ''));
  const free = Math.max(0, networkBits[family] - prefixLength);
  /* Folded, 16 free bits of an IPv6 address make every network. */
  if (free >= 16) return Array.from({ length: 65536 }, (_, network) => network);
  return Array.from({ length: 2 ** free }, (_, i) => first ^ i);
}

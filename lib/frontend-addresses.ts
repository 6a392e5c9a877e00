import { FrontendFlag } from './abi';
import { type Family, families } from './address';
import { encodeAddress, encodeUint32 } from './encode';
import type { HintChange } from './hint-table';
import { isInternal } from './internal-service';
import type { ServiceDefinition } from './service-definition';
import type { ServiceRecord } from './table-image';
import type { MapOperation } from '../types/native';

interface Uses {
  readonly family: Family;
  clusterIPs: number;
  vips: number;
}

/**
 * Counts what each address of frontends is, for the ports of it that no frontend has. An address is entered after its
 * frontends and taken out before them, so that no port of a service is ever taken for one that is unknown.
 */
export class FrontendAddresses {
  readonly #outside: number;
  readonly #uses = new Map<string, Uses>();

  /** `externalClusterIP`: cluster IPs are served outside too. */
  constructor(externalClusterIP: boolean) {
    this.#outside = externalClusterIP ? FrontendFlag.OUTSIDE : 0;
  }

  /** The operations to run before and after a change of services, which becomes the new state. */
  change(removed: Iterable<ServiceRecord>, added: Iterable<ServiceRecord>): HintChange {
    const before = new Map<string, { family: Family; flags: number }>();
    const count = ({ name, frontends }: ServiceDefinition, by: 1 | -1) => {
      /* Another LoadBalancer tries sockets by other ports of the same address. */
      if (isInternal(name)) return;
      for (const { type, family, address } of frontends) {
        if (!address || type === 'HostPort') continue;
        const uses = this.#uses.get(address) ?? { family, clusterIPs: 0, vips: 0 };
        if (!before.has(address)) before.set(address, { family, flags: this.#flags(uses) });
        if (type === 'ClusterIP') uses.clusterIPs += by;
        else uses.vips += by;
        this.#uses.set(address, uses);
      }
    };
    for (const { definition } of removed) count(definition, -1);
    for (const { definition } of added) count(definition, 1);
    const [gone, come] = [new Changes(), new Changes()];
    for (const [address, { family, flags: was }] of before) {
      const now = this.#flags(this.#uses.get(address) as Uses);
      if (now === 0) {
        this.#uses.delete(address);
        if (was !== 0) gone.delete(family, address);
      } else if (now !== was) {
        come.put(family, address, now);
      }
    }
    return { before: gone.operations(), after: come.operations() };
  }

  #flags({ clusterIPs, vips }: Uses): number {
    return (clusterIPs > 0 ? FrontendFlag.CLUSTER_IP | this.#outside : 0) | (vips > 0 ? FrontendFlag.VIP : 0);
  }
}

/** Changes of frontends4 and frontends6, gathered into one operation each. */
class Changes {
  readonly #keys: Record<Family, Uint8Array[]> = { 4: [], 6: [] };
  readonly #values: Record<Family, Uint8Array[]> = { 4: [], 6: [] };

  put(family: Family, address: string, flags: number): void {
    this.#keys[family].push(encodeAddress(family, address));
    this.#values[family].push(encodeUint32(flags));
  }

  delete(family: Family, address: string): void {
    this.#keys[family].push(encodeAddress(family, address));
  }

  operations(): MapOperation[] {
    return families.flatMap((family): MapOperation[] => {
      const [keys, values] = [this.#keys[family], this.#values[family]];
      if (keys.length === 0) return [];
      const map = `frontends${family}`;
      if (values.length === 0) return [{ map, kind: 'delete', keys: Buffer.concat(keys) }];
      return [{ map, kind: 'update', keys: Buffer.concat(keys), values: Buffer.concat(values) }];
    });
  }
}

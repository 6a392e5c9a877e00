import { formatEndpoint } from './address';
import type { Outside } from './exposure';
import { wildcardAddress } from './frontend-key';
import { selectBackends } from './selection';
import type { FrontendDefinition } from './service-definition';
import { Service, type ServiceOwner } from './service';
import { isInternal } from './internal-service';
import type { ServiceTable } from './service-table';
import { formatTable } from './table-format';

/** The services of a LoadBalancer, live: iterating tells what the kernel has at that moment. */
export class ServiceList implements Iterable<Service> {
  readonly #table: ServiceTable;
  readonly #owner: ServiceOwner;
  readonly #wildcardAddresses: Outside['wildcardAddresses'];

  /** @internal */
  constructor(table: ServiceTable, owner: ServiceOwner, wildcardAddresses: Outside['wildcardAddresses']) {
    this.#table = table;
    this.#owner = owner;
    this.#wildcardAddresses = wildcardAddresses;
  }

  get size(): number {
    return [...this.names()].length;
  }

  get(name: string): Service | undefined {
    return this.has(name) ? new Service(name, this.#owner) : undefined;
  }

  has(name: string): boolean {
    return !isInternal(name) && this.#table.records.has(name);
  }

  *names(): IterableIterator<string> {
    for (const { name } of this.#table.listed()) yield name;
  }

  *[Symbol.iterator](): IterableIterator<Service> {
    for (const name of this.names()) yield new Service(name, this.#owner);
  }

  /**
   * `ID   Frontend   Service Type   Backend`: a row for each frontend by ascending id, further backends on lines of
   * their own. A wildcard is shown as `0.0.0.0` or `[::]` and again for each address that answers it from outside.
   */
  format(): string {
    const frontends: { id: number; frontend: FrontendDefinition; backends: string[] }[] = [];
    for (const name of this.names()) {
      const record = this.#table.records.get(name);
      record?.definition.frontends.forEach((frontend, i) => {
        const backends = [...new Set(selectBackends(record.definition, frontend.family).backends)];
        const listed = record.definition.backends.filter((b) => b.family === frontend.family);
        /* What is selected comes first, as in the kernel's range; the rest is shown because it exists. */
        const ordered = [...backends, ...listed.filter((b) => !backends.includes(b))];
        frontends.push({
          id: record.ids[i] as number,
          frontend,
          backends: ordered.map(
            (b, n) =>
              `${n + 1} => ${formatEndpoint(b.address, b.port)}/${frontend.protocol} (${b.draining ? 'draining' : b.state})`,
          ),
        });
      });
    }
    frontends.sort((a, b) => a.id - b.id);
    const rows = [['ID', 'Frontend', 'Service Type', 'Backend']];
    for (const { id, frontend, backends } of frontends) {
      for (const address of this.#shownAddresses(frontend)) {
        const shown = `${formatEndpoint(address, frontend.port)}/${frontend.protocol}`;
        rows.push([String(id), shown, frontend.type, backends[0] ?? '']);
        for (const backend of backends.slice(1)) rows.push(['', '', '', backend]);
      }
    }
    return formatTable(rows);
  }

  #shownAddresses({ type, address, family }: FrontendDefinition): string[] {
    if (address) return [address];
    const addresses = this.#wildcardAddresses(type === 'HostPort' ? type : 'NodePort', family);
    return [wildcardAddress[family], ...addresses];
  }
}

import type { LoadBalancer, ServiceSpec } from 'bpf-lb';

/** Milliseconds for which changes are collected, and after which what failed is tried again. */
const pause = 50;
const retryPause = 5000;

/** Brings a LoadBalancer to the specs of Services that have changed, given by `namespace/name`. */
export class ServiceSync {
  readonly #lb: LoadBalancer;
  readonly #specsOf: (service: string) => ServiceSpec[];
  readonly #onError: (error: unknown) => void;
  /** Names of the LoadBalancer's services, with the Service that each was made for. */
  readonly #made = new Map<string, string>();
  readonly #changed = new Set<string>();
  #started = false;
  #scheduled = false;

  constructor(lb: LoadBalancer, specsOf: (service: string) => ServiceSpec[], onError: (e: unknown) => void) {
    this.#lb = lb;
    this.#specsOf = specsOf;
    this.#onError = onError;
  }

  /** Nothing is done before: as long as the lists are not complete, what is missing is not what was deleted. */
  start(): void {
    this.#started = true;
    this.#schedule();
  }

  mark(service: string): void {
    this.#changed.add(service);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#started || this.#scheduled || this.#changed.size === 0) return;
    this.#scheduled = true;
    setTimeout(() => {
      void this.#sync().finally(() => {
        this.#scheduled = false;
        this.#schedule();
      });
    }, pause);
  }

  async #sync(): Promise<void> {
    const specs = new Map([...this.#changed].map((service) => [service, this.#specsOf(service)]));
    this.#changed.clear();
    const names = new Set([...specs.values()].flat().map(({ name }) => name));
    const gone = [...this.#made].filter(([name, service]) => specs.has(service) && !names.has(name));
    /* A new pod has a new device. */
    await this.#lb.selectDevices().catch(this.#onError);
    /* Deletions come first, so that a frontend can pass from one Service to another. Calls of one tick are one commit. */
    await Promise.all(gone.map(([name, service]) => this.#attempt(service, () => this.#delete(name))));
    await Promise.all(
      [...specs].flatMap(([service, list]) =>
        list.map((spec) => this.#attempt(service, () => this.#upsert(service, spec))),
      ),
    );
  }

  async #upsert(service: string, spec: ServiceSpec): Promise<void> {
    this.#made.set(spec.name, service);
    await this.#lb.upsertService(spec);
  }

  async #delete(name: string): Promise<void> {
    await this.#lb.deleteService(name);
    this.#made.delete(name);
  }

  /** A Service with a call that fails is marked again, for later. */
  async #attempt(service: string, call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      this.#onError(error);
      setTimeout(() => this.mark(service), retryPause).unref();
    }
  }
}

import { type Endpoint, formatEndpoint } from './address';
import type { DefinitionChange } from './datagram-flows';
import { keysOfDestination } from './frontend-key';
import type { ServiceDefinition } from './service-definition';
import { recordAt, type SocketRemoval } from './socket-removal';
import type { Protocol } from './spec';
import { ownerOf, type Services, staleSockets } from './stale-sockets';
import type { RecordedSocketList, TranslatedSocket } from './translated-sockets';

/** Sockets that were destroyed because their backend had gone, by the way they took. */
export interface DestroyedSockets {
  readonly protocol: Protocol;
  readonly frontend: Endpoint;
  readonly backend: Endpoint;
  /** Who has the frontend; undefined: nobody any more. */
  readonly service: string | undefined;
  readonly count: number;
}

/** What a {@link SocketReconciler} needs, and whom it tells. */
export interface ReconcilerContext {
  readonly table: Services;
  readonly removal: Pick<SocketRemoval, 'destroy'>;
  list(): Promise<RecordedSocketList>;
  /** Does some work while no change is on its way: then the kernel has just what the table says. */
  settled(work: () => Promise<void>): Promise<void>;
  onDestroyed(destroyed: DestroyedSockets[]): void;
  onFailure(error: unknown): void;
}

/**
 * Destroys sockets whose backend their service has no more: nothing else would take them away from it. UDP always, TCP
 * where the service says so. The rule is that of `staleDatagrams`: a backend that terminates, or that policy would not
 * choose any more, keeps what it has.
 *
 * All sockets are looked at, whatever has changed, and judged by the services as they are: so what an event missed, or an
 * earlier process left, is found all the same. While the last word is said, no change is on its way: the kernel may have
 * one already that the table does not have yet, and sockets that follow it.
 */
export class SocketReconciler {
  readonly #context: ReconcilerContext;
  /** Frontends that went, and whether TCP goes with them; until a look at all sockets has succeeded. */
  #gone = new Map<string, boolean>();
  #wanted = false;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ReconcilerContext) {
    this.#context = context;
  }

  /** The kernel has these changes. */
  note(changes: Iterable<DefinitionChange>): void {
    let affected = false;
    for (const { before, after } of changes) {
      if (!before || !mayLoseSockets(before, after)) continue;
      affected = true;
      for (const { key } of before.frontends) this.#gone.set(key, before.resetOnRemoval);
    }
    if (affected) this.reconcile();
  }

  /** Looks at all sockets, in the background. Calls during a look are one further look. */
  reconcile(): void {
    this.#wanted = true;
    this.#running ??= this.#run();
  }

  /** Looks again and again, `period` milliseconds apart; 0: does not. */
  start(period: number): void {
    if (period > 0) this.#timer = setInterval(() => this.reconcile(), period).unref();
  }

  /** Resolves when the look that is under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#wanted) {
      this.#wanted = false;
      const gone = this.#gone;
      this.#gone = new Map();
      try {
        await this.#destroyStale(gone);
      } catch (error) {
        this.#gone = new Map([...gone, ...this.#gone]);
        this.#context.onFailure(error);
      }
    }
    this.#running = undefined;
  }

  async #destroyStale(gone: ReadonlyMap<string, boolean>): Promise<void> {
    const { sockets, records } = await this.#context.list();
    if (!sockets.some(staleSockets(this.#context.table, gone))) return;
    await this.#context.settled(async () => {
      const isStale = staleSockets(this.#context.table, gone);
      const stale = sockets.flatMap((socket, i) => (isStale(socket) ? [recordAt(records, i)] : []));
      if (stale.length === 0) return;
      const destroyed = await this.#context.removal.destroy(stale);
      if (destroyed.length > 0) this.#context.onDestroyed(this.#summary(destroyed));
    });
  }

  #summary(sockets: readonly TranslatedSocket[]): DestroyedSockets[] {
    const groups = new Map<string, DestroyedSockets>();
    for (const socket of sockets) {
      const { protocol, frontend, backend } = socket;
      const key = `${keysOfDestination(frontend, protocol)[0]} ${formatEndpoint(backend.address, backend.port)}`;
      const service = ownerOf(this.#context.table, socket)?.name;
      const count = (groups.get(key)?.count ?? 0) + 1;
      groups.set(key, { protocol, frontend, backend, service, count });
    }
    return [...groups.values()];
  }
}

/** Whether sockets of the service may have to go: backends or frontends that it had are not there any more. */
function mayLoseSockets(before: ServiceDefinition, after: ServiceDefinition | undefined): boolean {
  if (!before.resetOnRemoval && !after?.resetOnRemoval && before.frontends.every((f) => f.protocol !== 'UDP'))
    return false;
  const backends = new Set(after?.backends.map(({ address, port }) => formatEndpoint(address, port)));
  const frontends = new Set(after?.frontends.map(({ key }) => key));
  return (
    before.backends.some(({ address, port }) => !backends.has(formatEndpoint(address, port))) ||
    before.frontends.some(({ key }) => !frontends.has(key))
  );
}

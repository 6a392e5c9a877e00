import type { SyncTarget } from '../../lib/kubernetes';
import type { Protocol } from '../../lib/spec';
import type { NodeSettings } from './node';

/** Who asks: a packet that comes in through a device, or a socket. */
export type Asker =
  | { readonly kind: 'packet'; readonly device: string }
  | { readonly kind: 'socket'; readonly of: 'node' | 'pod' };

/** A first packet, or a call to connect(). */
export interface Question {
  readonly asker: Asker;
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** How many backends may answer: it is asked so often that each of them does, and one more would have. */
  readonly backends: number;
}

/** What was seen each time. */
export type Seen =
  | { readonly verdict: 'reject' | 'drop' | 'untouched' }
  /** `snat`: with an address of the node. Undefined at a socket, which has no packets yet. */
  | { readonly verdict: 'forward'; readonly backend: string; readonly snat?: boolean }
  /** Something that should never be. */
  | { readonly verdict: 'broken'; readonly detail: string };

/** All that was seen of a question, each thing once. */
export interface Answer {
  readonly seen: readonly Seen[];
  /** The backends that the choice is made from, if the datapath tells. */
  readonly offered?: readonly string[];
}

/** What decides: the simulator, or the kernel. */
export interface Datapath {
  /** Has no services then. */
  open(settings: NodeSettings, pods: Pods): Promise<SyncTarget>;
  ask(questions: readonly Question[]): Promise<Answer[]>;
  close(): Promise<void>;
}

/** Addresses of pods of the node. */
export type Pods = ReadonlySet<string>;

/** So many draws from `n` that one backend is missed with odds below 1e-9. */
export function drawsFor(n: number): number {
  return n < 2 ? 1 : Math.ceil(Math.log(n / 1e-9) / -Math.log1p(-1 / n));
}

export function distinct(seen: readonly Seen[]): Seen[] {
  return [...new Map(seen.map((one) => [JSON.stringify(one), one])).values()];
}

import type { AddressInfo } from 'node:net';

/** An address and port. */
export interface Endpoint {
  address: string;
  port: number;
}

/** What a server tells whoever asks. */
export interface Greeting {
  /** Its name. */
  server: string;
  /** The client, as the server sees it. */
  client: Endpoint;
}

/** One question and its answer. */
export interface Exchange extends Greeting {
  /** The client's own address. */
  local: Endpoint;
  /** The peer: getpeername() of a connected socket, else the source of the answer. */
  peer: Endpoint;
}

/** Milliseconds after which an answer is not awaited any more, unless a test says otherwise. */
export const patience = 5000;

/** There was silence. */
export function noAnswer(): Error {
  return Object.assign(new Error('No answer came in time'), { code: 'NO_ANSWER' });
}

/** Without what else Node tells. */
export function endpoint({ address, port }: AddressInfo | Endpoint): Endpoint {
  return { address, port };
}

/** `[address]:port`, for addresses of both families. */
export function text({ address, port }: Endpoint): string {
  return `[${address}]:${port}`;
}

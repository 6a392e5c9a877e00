import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { LoadBalancerError } from '../errors';

/** What a server says. */
export interface Answer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}

/** Answers a request, whatever its method. `path` is without the query. */
export type Responder = (path: string) => Answer | Promise<Answer>;

/** Where a server listens. */
export interface ListenAddress {
  /** Absent: every address, of both families where the node has both. */
  host?: string;
  /** 0: any that is free. */
  port: number;
}

/** Reads `host:port`, `[IPv6]:port` or `:port`. Throws `ERR_BPF_INVALID_OPTION` that names the option. */
export function parseListenAddress(text: string, option: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[(.+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (!(port <= 65535)) {
    throw new LoadBalancerError(
      'ERR_BPF_INVALID_OPTION',
      `${option}: ${JSON.stringify(text)} is not an address and port, such as '127.0.0.1:80' or '[::1]:80'.`,
    );
  }
  const host = bracketed ?? plain;
  return { ...(host && { host }), port };
}

/** An answer that is a line for people. */
export function textAnswer(status: number, body: string): Answer {
  return {
    status,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' },
    body,
  };
}

/** An answer for programs. */
export function jsonAnswer(status: number, body: object, indent?: string): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/json', 'X-Content-Type-Options': 'nosniff' },
    body: JSON.stringify(body, undefined, indent),
  };
}

/** The answer to a path that a server does not have. */
export const notFound = textAnswer(404, 'not found\n');

/** A small HTTP server that listens until it is closed. */
export class HttpListener {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Rejects with Node's error when the address cannot be listened on: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`. */
  static async listen(responder: Responder, address: ListenAddress): Promise<HttpListener> {
    const server = createServer((request, response) => void respond(responder, request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(address, () => {
        server.off('error', reject);
        resolve();
      });
    });
    /* A connection that could not be accepted is the client's loss alone. */
    server.on('error', () => undefined);
    return new HttpListener(server);
  }

  /** `host:port`, or `[IPv6]:port`. Undefined when it is closed. */
  get address(): string | undefined {
    const bound = this.#server.address() as AddressInfo | null;
    if (!bound) return undefined;
    const { address, family, port } = bound;
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
  }

  /** Listens no more, and ends the connections that there are. Idempotent. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }
}

async function respond(
  responder: Responder,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [path = '/'] = (request.url ?? '/').split('?', 1);
  const { status, headers, body } = await Promise.resolve(path)
    .then(responder)
    .catch((error: unknown) =>
      textAnswer(500, `${error instanceof Error ? error.message : String(error)}\n`),
    );
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) }).end(body);
}

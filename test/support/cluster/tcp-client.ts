import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

import { type Endpoint, type Exchange, type Greeting, noAnswer, patience } from './exchange';

export interface ConnectOptions {
  /** The client's own port; by default the kernel chooses. */
  localPort?: number;
  /** Milliseconds until silence is taken for an answer. */
  timeout?: number;
  /** {@link tcp} waits until the server closes, so that the client's port is free at once. Default false. */
  closeLast?: boolean;
}

/** A connected socket, and what its server said. */
interface Connection {
  socket: net.Socket;
  exchange: Exchange;
}

const connections = new Map<number, Connection>();
let last = 0;

/** Reads until `enough` says so; rejects with the socket's error, with NO_ANSWER, or when the connection is over. */
function read(socket: net.Socket, timeout: number, enough: (data: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(Object.assign(new Error('Closed early'), { code: 'CLOSED' }));
    if (socket.closed) {
      closed();
      return;
    }
    let data = '';
    const timer = setTimeout(() => settle(() => reject(noAnswer())), timeout);
    const settle = (how: () => void) => {
      clearTimeout(timer);
      socket.off('data', onData).off('error', onError).off('close', onClose);
      how();
    };
    const onData = (chunk: Buffer) => {
      data += chunk.toString();
      if (enough(data)) settle(() => resolve(data));
    };
    const onError = (error: Error) => settle(() => reject(error));
    const onClose = () => settle(closed);
    socket.on('data', onData).on('error', onError).on('close', onClose);
  });
}

async function connect(
  to: Endpoint,
  { localPort, timeout = patience }: ConnectOptions = {},
): Promise<Connection> {
  const socket = net.connect({ host: to.address, port: to.port, ...(localPort ? { localPort } : {}) });
  socket.setNoDelay(true);
  try {
    const line = await read(socket, timeout, (data) => data.endsWith('\n'));
    socket.on('error', () => socket.destroy());
    const greeting = JSON.parse(line) as Greeting;
    const local = { address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    return { socket, exchange: { ...greeting, local, peer: peerOf(socket) } };
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    throw error;
  }
}

function peerOf(socket: net.Socket): Endpoint {
  return { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
}

/** Node.js ends a socket by itself when the other side has. */
async function ended(socket: net.Socket, closeLast = false): Promise<void> {
  if (socket.closed) return;
  const closed = once(socket, 'close');
  socket.resume();
  if (!closeLast) socket.end();
  await closed;
}

function connection(id: number): Connection {
  const found = connections.get(id);
  if (!found) throw new Error(`There is no connection ${id}`);
  return found;
}

/** Connects, hears the server's greeting, and closes. */
export async function tcp(to: Endpoint, options?: ConnectOptions): Promise<Exchange> {
  const { socket, exchange } = await connect(to, options);
  await ended(socket, options?.closeLast);
  return exchange;
}

/** Connects and stays so; returns the number for the functions below. */
export async function open(to: Endpoint, options?: ConnectOptions): Promise<Exchange & { id: number }> {
  const opened = await connect(to, options);
  connections.set(++last, opened);
  return { ...opened.exchange, id: last };
}

/** Sends a word, which has to come back. */
export async function echo(id: number, word: string): Promise<string> {
  const { socket } = connection(id);
  const answer = read(socket, patience, (data) => data.length >= word.length);
  socket.write(word);
  return answer;
}

export function peerName(id: number): Endpoint {
  return peerOf(connection(id).socket);
}

/** Closes in order, or with a reset. */
export async function dropConnection(id: number, reset = false): Promise<void> {
  const { socket } = connection(id);
  connections.delete(id);
  if (reset) socket.resetAndDestroy();
  else await ended(socket);
}

/** How many of many connections each server answered, and how many failed with each error code. */
export interface Tally {
  served: Record<string, number>;
  failed: Record<string, number>;
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

async function tryOne(to: Endpoint, tally: Tally): Promise<void> {
  try {
    count(tally.served, (await tcp(to)).server);
  } catch (error) {
    count(tally.failed, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

/** Makes `times` connections; all are open at the same time if `together`. */
export async function tally(to: Endpoint, times: number, together = false): Promise<Tally> {
  const result: Tally = { served: {}, failed: {} };
  if (!together) {
    for (let i = 0; i < times; i++) await tryOne(to, result);
    return result;
  }
  const opened = await Promise.allSettled(Array.from({ length: times }, () => connect(to)));
  const sockets = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value.socket] : []));
  for (const one of opened) {
    if (one.status === 'fulfilled') count(result.served, one.value.exchange.server);
    else count(result.failed, (one.reason as NodeJS.ErrnoException).code ?? String(one.reason));
  }
  await Promise.all(sockets.map((socket) => ended(socket)));
  return result;
}

/** Sends random bytes to an echoing server; returns whether the same came back. */
export async function transfer(to: Endpoint, bytes: number): Promise<boolean> {
  const { socket } = await connect(to);
  const sent = createHash('sha256');
  const received = createHash('sha256');
  const closed = once(socket, 'close');
  socket.on('data', (chunk) => received.update(chunk));
  for (let left = bytes; left > 0; left -= 65536) {
    const chunk = randomBytes(Math.min(left, 65536));
    sent.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  await closed;
  return sent.digest('hex') === received.digest('hex');
}

let stream: { stopped: boolean; result: Promise<Tally> } | undefined;

/** Makes connections one after the other in the background, at most `limit`, until it is stopped. */
export function startStream(to: Endpoint, limit: number): void {
  const running = { stopped: false, result: Promise.resolve<Tally>({ served: {}, failed: {} }) };
  running.result = (async () => {
    const tally: Tally = { served: {}, failed: {} };
    for (let i = 0; i < limit && !running.stopped; i++) await tryOne(to, tally);
    return tally;
  })();
  stream = running;
}

export async function stopStream(): Promise<Tally> {
  if (!stream) throw new Error('There is no stream');
  stream.stopped = true;
  return stream.result;
}

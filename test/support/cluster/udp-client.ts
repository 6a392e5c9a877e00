import dgram from 'node:dgram';
import { once } from 'node:events';

import { type Endpoint, endpoint, type Exchange, type Greeting, noAnswer, patience, text } from './exchange';

/** Family of the socket: `udp6` also reaches `::ffff:a.b.c.d`. */
export type UdpType = 'udp4' | 'udp6';

export interface UdpOptions {
  type: UdpType;
  /** The client's own port; by default the kernel chooses. */
  localPort?: number;
  /** Milliseconds until silence is taken for an answer. */
  timeout?: number;
  /** Bytes of each question, with {@link connectedUdp} only; by default a few. */
  size?: number;
}

const sockets = new Map<number, dgram.Socket>();
let last = 0;

async function bound({ type, localPort = 0 }: UdpOptions): Promise<dgram.Socket> {
  const socket = dgram.createSocket(type);
  socket.bind(localPort);
  await once(socket, 'listening');
  return socket;
}

async function connected(socket: dgram.Socket, to: Endpoint): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.connect(to.port, to.address, (error?: Error) => (error ? reject(error) : resolve()));
  });
  socket.removeAllListeners('error');
}

function socketOf(id: number): dgram.Socket {
  const socket = sockets.get(id);
  if (!socket) throw new Error(`There is no socket ${id}`);
  return socket;
}

/** The next datagrams, as many as asked for. */
function answers(socket: dgram.Socket, number: number, timeout: number): Promise<Exchange[]> {
  return new Promise((resolve, reject) => {
    const got: Exchange[] = [];
    const timer = setTimeout(() => settle(() => reject(noAnswer())), timeout);
    const settle = (how: () => void) => {
      clearTimeout(timer);
      socket.off('message', onMessage).off('error', onError);
      how();
    };
    const onError = (error: Error) => settle(() => reject(error));
    const onMessage = (message: Buffer, { address, port }: dgram.RemoteInfo) => {
      const greeting = JSON.parse(message.toString()) as Greeting;
      got.push({ ...greeting, local: endpoint(socket.address()), peer: { address, port } });
      if (got.length === number) settle(() => resolve(got));
    };
    socket.on('message', onMessage).on('error', onError);
  });
}

function send(socket: dgram.Socket, to?: Endpoint, size = 5): Promise<void> {
  const question = 'hello'.padEnd(size, '.');
  return new Promise((resolve, reject) => {
    const done = (error: Error | null) => (error ? reject(error) : resolve());
    if (to) socket.send(question, to.port, to.address, done);
    else socket.send(question, done);
  });
}

/** Asks through a connected socket. `source` is where the answer came from, `peer` what getpeername() says. */
export async function connectedUdp(
  to: Endpoint,
  options: UdpOptions,
): Promise<Exchange & { source: Endpoint }> {
  const socket = await bound(options);
  try {
    await connected(socket, to);
    const peer = endpoint(socket.remoteAddress());
    const [answer] = await Promise.all([
      answers(socket, 1, options.timeout ?? patience),
      send(socket, undefined, options.size),
    ]);
    const exchange = answer[0] as Exchange;
    return { ...exchange, source: exchange.peer, peer };
  } finally {
    socket.close();
  }
}

/** Asks one after the other through one unconnected socket. */
export async function unconnectedUdp(to: readonly Endpoint[], options: UdpOptions): Promise<Exchange[]> {
  const id = await openUdp(options);
  try {
    const got: Exchange[] = [];
    for (const one of to) got.push(...(await sendUdp(id, [one], options.timeout)));
    return got;
  } finally {
    closeUdp(id);
  }
}

/** Returns the number of a new connected socket. */
export async function connectUdp(to: Endpoint, options: UdpOptions): Promise<number> {
  const socket = await bound(options);
  await connected(socket, to);
  /* It may be told that it is cut off while nobody asks. */
  socket.on('error', () => undefined);
  sockets.set(++last, socket);
  return last;
}

/** Asks through a connected socket. */
export async function askUdp(id: number, timeout = patience): Promise<Exchange> {
  const socket = socketOf(id);
  const [[answer]] = await Promise.all([answers(socket, 1, timeout), send(socket)]);
  return answer as Exchange;
}

/** Returns the number of a new unconnected socket. */
export async function openUdp(options: UdpOptions): Promise<number> {
  const socket = await bound(options);
  sockets.set(++last, socket);
  return last;
}

/** Asks all at once, and returns the answers ordered as the questions, by the address that each came from. */
export async function sendUdp(id: number, to: readonly Endpoint[], timeout = patience): Promise<Exchange[]> {
  const socket = socketOf(id);
  const [got] = await Promise.all([
    answers(socket, to.length, timeout),
    ...to.map((one) => send(socket, one)),
  ]);
  const order = to.map(text);
  return got.sort((a, b) => order.indexOf(text(a.peer)) - order.indexOf(text(b.peer)));
}

export function closeUdp(id: number): void {
  sockets.get(id)?.close();
  sockets.delete(id);
}

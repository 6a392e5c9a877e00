import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** The port of every server. */
export const port = 80;

/** A server of both families that tells each client who serves whom. Does not keep the process running. */
export async function serve(name: string): Promise<void> {
  const server = createServer((socket) => {
    socket.end(`${name} for ${socket.remoteAddress?.replace('::ffff:', '') ?? 'nobody'}`);
  });
  await once(server.listen(port, '::').unref(), 'listening');
}

/** What a server tells. Rejects after half a minute: lost packets are a failure and not a hang. */
export async function ask(host: string, port: number, onConnect?: (socket: Socket) => void): Promise<string> {
  const signal = AbortSignal.timeout(30_000);
  const socket = connect({ host, port, signal }).setEncoding('utf8');
  if (onConnect) socket.once('connect', () => onConnect(socket));
  return (await socket.toArray({ signal })).join('');
}

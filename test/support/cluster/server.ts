import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

import { endpoint, type Greeting, text } from './exchange';

/** How a server behaves. */
export interface ListenOptions {
  protocol: 'TCP' | 'UDP';
  port: number;
  /** By default every address of both families. */
  address?: string;
  /** What it calls itself. */
  name: string;
  /** TCP: end the connection after the greeting instead of echoing what comes. */
  hangUp?: boolean;
}

const servers = new Map<string, net.Server | dgram.Socket>();

function greeting(server: string, address: string, port: number): string {
  return JSON.stringify({ server, client: { address, port } } satisfies Greeting) + '\n';
}

function tcpServer(name: string, hangUp: boolean): net.Server {
  return net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.write(greeting(name, socket.remoteAddress ?? '', socket.remotePort ?? 0));
    if (hangUp) socket.end();
    else socket.pipe(socket);
  });
}

/** Answers every connection and every datagram with its name and the client that it sees. */
export async function listen({
  protocol,
  port,
  address = '::',
  name,
  hangUp = false,
}: ListenOptions): Promise<void> {
  const key = `${protocol} ${text({ address, port })}`;
  if (protocol === 'TCP') {
    const server = tcpServer(name, hangUp);
    servers.set(key, server);
    server.listen({ port, host: address, backlog: 1024 });
    await once(server, 'listening');
  } else {
    const socket = dgram.createSocket({ type: net.isIPv6(address) ? 'udp6' : 'udp4' });
    servers.set(key, socket);
    socket.on('message', (_, { address, port }) => socket.send(greeting(name, address, port), port, address));
    socket.bind(port, address);
    await once(socket, 'listening');
  }
}

/** Connections that are open go on. */
export function stopListening(protocol: 'TCP' | 'UDP', port: number, address = '::'): void {
  const key = `${protocol} ${text({ address, port })}`;
  const server = servers.get(key);
  servers.delete(key);
  if (server instanceof net.Server) server.close();
  else server?.close();
}

/** Binds a socket and closes it again; returns its address, or rejects with the error of bind(2). */
export async function bind(protocol: 'TCP' | 'UDP', address: string, port: number) {
  if (protocol === 'TCP') {
    const server = net.createServer();
    server.listen({ port, host: address });
    await once(server, 'listening');
    const bound = endpoint(server.address() as net.AddressInfo);
    server.close();
    return bound;
  }
  const socket = dgram.createSocket({ type: net.isIPv6(address) ? 'udp6' : 'udp4' });
  socket.bind(port, address);
  await once(socket, 'listening');
  const bound = endpoint(socket.address());
  socket.close();
  return bound;
}

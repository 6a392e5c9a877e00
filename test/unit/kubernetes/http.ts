import { type Agent, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';

/** What a server said. */
export interface Response {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** Asks `host:port` for a path, by a connection of its own unless there is an agent. */
export function ask(
  address: string | undefined,
  path: string,
  method = 'GET',
  agent: Agent | false = false,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options = { method, agent, timeout: 10_000 };
    request(`http://${address}${path}`, options, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    })
      .on('error', reject)
      .end(method === 'POST' ? 'anything' : undefined);
  });
}

/** Connects, and says half of what it wants. `closed` resolves when the server ends the connection. */
export function askSlowly(address = ''): Promise<{ closed: Promise<void> }> {
  const [host = '', port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host);
    const closed = new Promise<void>((done) => socket.once('close', () => done()));
    /* The server answers nothing to what is not complete, but has read it when it answers another connection. */
    socket.once('error', reject).once('connect', () => {
      socket.write(
        'GET / HTTP/1.1\r\n',
        () => void ask(address, '/').then(() => resolve({ closed }), reject),
      );
    });
  });
}

/** Takes a TCP port until it is released. */
export async function occupy(
  host: string,
  port = 0,
): Promise<{ port: number; release: () => Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen({ host, port, exclusive: true }, resolve),
  );
  return {
    port: (server.address() as AddressInfo).port,
    release: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** TCP ports that nobody has. */
export async function freePorts(host: string): Promise<[number, number]> {
  const [one, other] = [await occupy(host), await occupy(host)];
  await Promise.all([one.release(), other.release()]);
  return [one.port, other.port];
}

/** A TCP port that nobody has. */
export async function freePort(host = '::'): Promise<number> {
  const [port] = await freePorts(host);
  return port;
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import type { Cleanup } from '../cleanup';
import type { VethEnd } from './namespace';

/** Connects two namespaces by devices without link headers; both ends are up. Needs /dev/net/tun. */
export async function tunnel(cleanup: Cleanup, ...ends: readonly [VethEnd, VethEnd]): Promise<void> {
  const names = ends.flatMap(({ namespace, device }) => [namespace.name, device]);
  const carrier = spawn('python3', [path.join(__dirname, 'tunnel.py'), ...names], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cleanup.add(async () => {
    if (carrier.exitCode !== null || carrier.signalCode !== null) return;
    const exit = once(carrier, 'exit');
    carrier.stdin.end();
    await exit;
  });
  const failure = once(carrier, 'exit').then(() => Promise.reject(new Error('tunnel.py has ended')));
  await Promise.race([once(carrier.stdout, 'data'), failure]);
  failure.catch(() => undefined);
  for (const { namespace, device, addresses = [] } of ends) {
    namespace.ip(...addresses.map((address) => `addr add ${address} dev ${device}`), `link set ${device} up`);
  }
}

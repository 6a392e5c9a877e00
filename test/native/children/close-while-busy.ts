import assert from 'node:assert/strict';
import path from 'node:path';
import { Cleanup, light, makeBpffs, native, numbered, openDescriptors } from '../support';

// What runs on the thread pool when close() comes is carried out, with buffers that nobody else holds: large ones,
// whose memory goes back to the kernel when they are collected, and many, so that most of them still wait by then.
async function main(directory: string): Promise<void> {
  (await native.load(light)).close();
  const descriptors = openDescriptors();

  const datapath = await native.load(light);
  const pin = path.join(directory, 'services4');
  datapath.pinMap('services4', pin);
  const { keySize, valueSize } = datapath.mapInfo('services4');
  const running = [
    ...Array.from({ length: 100 }, (_, i) =>
      datapath.commit([
        {
          map: 'services4',
          kind: 'update',
          keys: numbered(20_000, keySize),
          values: numbered(20_000, valueSize),
        },
        { map: 'backends', kind: 'store', offset: 0, bytes: new Uint8Array(32_000).fill(i) },
      ]),
    ),
    datapath.dump('services4'),
  ];
  datapath.close();
  for (let i = 0; i < 3; i++) global.gc?.();
  await Promise.all(running);
  /* Node may have closed one of its own meanwhile. */
  assert.ok(openDescriptors() <= descriptors);

  const next = await native.load({ ...light, reuseMaps: { services4: pin } });
  const { keys, values, count } = await next.dump('services4');
  assert.equal(count, 20_000);
  const [keyView, valueView] = [new DataView(keys.buffer), new DataView(values.buffer)];
  for (let i = 0; i < count; i++) {
    assert.equal(valueView.getUint32(i * valueSize), keyView.getUint32(i * keySize));
  }
  next.close();
}

const cleanup = new Cleanup();
void main(makeBpffs(cleanup)).finally(() => cleanup.run());

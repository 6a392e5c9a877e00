import assert from 'node:assert/strict';
import path from 'node:path';
import { Cleanup, light, makeBpffs, native, numbered, openDescriptors } from '../support';

// What runs on the thread pool when close() comes is carried out, with buffers that nobody else holds.
async function main(directory: string): Promise<void> {
  (await native.load(light)).close();
  const descriptors = openDescriptors();

  const datapath = await native.load(light);
  const pin = path.join(directory, 'services4');
  datapath.pinMap('services4', pin);
  const { keySize, valueSize } = datapath.mapInfo('services4');
  const running = [
    ...Array.from({ length: 20 }, (_, i) =>
      datapath.commit([
        {
          map: 'services4',
          kind: 'update',
          keys: numbered(1_000, keySize, i * 1_000),
          values: numbered(1_000, valueSize, i * 1_000),
        },
        { map: 'backends', kind: 'store', offset: 0, bytes: new Uint8Array(32_000).fill(i) },
      ]),
    ),
    datapath.dump('services4'),
  ];
  datapath.close();
  for (let i = 0; i < 10; i++) {
    global.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(running);
  assert.equal(openDescriptors(), descriptors);

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

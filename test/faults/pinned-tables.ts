import { layouts } from '../../lib/abi';
import { formatAddress, formatEndpoint } from '../../lib/address';
import { loadNative } from '../../lib/native';
import { StateDirectory } from '../../lib/state-directory';
import { readerOf } from '../../lib/state-tables';

/** What a frontend leads to: flags, and the backends of both ranges, or why they are not whole. */
export type ServedBy = string;

const service = layouts.lb_service.fields;
const backend = layouts.lb_backend;

/** Of the services by which a LoadBalancer tries sockets: each has ports of its own. */
const canaries = ['192.0.0.8', '100::1'];

/** What the programs find in the tables of a state directory, by family and key. */
export async function readServed(stateDir: string): Promise<Map<string, ServedBy>> {
  const native = loadNative();
  const generation = await StateDirectory.read(native, stateDir);
  if (!generation) throw new Error(`There is no state in ${stateDir}`);
  const datapath = await native.load(await readerOf(native, generation));
  try {
    const served = new Map<string, ServedBy>();
    for (const family of [4, 6] as const) {
      const { keys, values, count } = await datapath.dump(`services${family}`);
      const keySize = keys.byteLength / (count || 1);
      for (let i = 0; i < count; i++) {
        const at = i * layouts.lb_service.size;
        const view = new DataView(values.buffer, values.byteOffset + at, layouts.lb_service.size);
        const field = (name: keyof typeof service) => view.getUint32(service[name].offset, true);
        const range = (first: number, size: number) =>
          Array.from({ length: size }, (_, n) =>
            describeBackend(
              datapath.read('backends', (first + n) * backend.size, backend.size),
              field('set'),
            ),
          ).join(' ');
        const bytes = Buffer.from(keys.subarray(i * keySize, (i + 1) * keySize));
        if (canaries.includes(formatAddress(bytes.subarray(0, family === 4 ? 4 : 16)).text)) continue;
        const key = bytes.toString('hex');
        served.set(
          `${family} ${key}`,
          [
            field('flags'),
            field('affinity_timeout'),
            field('maglev_size'),
            range(field('first'), field('count')),
            range(field('local_first'), field('local_count')),
          ].join(' | '),
        );
      }
    }
    return served;
  } finally {
    datapath.close();
  }
}

function describeBackend(bytes: Uint8Array, set: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint32(backend.fields.set.offset, true) !== set) return 'of another set';
  const { offset, size } = backend.fields.address;
  const address = formatAddress(bytes.subarray(offset, offset + size)).text;
  const share = view.getUint32(backend.fields.threshold.offset, true);
  return `${formatEndpoint(address, view.getUint16(backend.fields.port.offset))}*${share}`;
}

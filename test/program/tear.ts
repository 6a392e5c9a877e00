import { formatWideAddress } from '../../lib/address';
import { layouts } from '../../lib/abi';
import { elementsOf } from '../../lib/dump';
import type { Datapath } from '../../types/native';

/** What a reader can find that came in the middle of a change, held for as long as a test likes. */
export type Tear =
  /** The element of a frontend has been given to another one. */
  | { of: 'frontend' }
  /** The service says that it has another set of backends than its ranges hold. */
  | { of: 'set' }
  /** A backend's place has been given to one of another set, which has this address. */
  | { of: 'backend'; address: string };

const { lb_service: service, lb_backend: backend } = layouts;
const stride = Math.ceil(backend.size / 8) * 8;

/** Tears all services, or the first so many places of backends. Returns how many elements were changed. */
export async function tear(datapath: Datapath, what: Tear, places: number): Promise<number> {
  return what.of === 'backend'
    ? tearBackends(datapath, what.address, places)
    : tearServices(datapath, what.of === 'set' ? service.fields.set : service.fields.check);
}

async function tearServices(datapath: Datapath, { offset }: { offset: number }): Promise<number> {
  let torn = 0;
  for (const map of ['services4', 'services6']) {
    for (const { key, value } of elementsOf(await datapath.dump(map))) {
      const changed = Uint8Array.from(value);
      changed[offset]! ^= 0x80;
      await datapath.commit([{ map, kind: 'update', keys: Uint8Array.from(key), values: changed }]);
      torn++;
    }
  }
  return torn;
}

async function tearBackends(datapath: Datapath, address: string, places: number): Promise<number> {
  const { address: at, set } = backend.fields;
  const bytes = datapath.read('backends', 0, places * stride);
  let torn = 0;
  for (let place = 0; place < bytes.length; place += stride) {
    if (formatWideAddress(bytes.subarray(place + at.offset, place + at.offset + at.size)).text !== address)
      continue;
    bytes[place + set.offset]! ^= 0x80;
    torn++;
  }
  await datapath.commit([{ map: 'backends', kind: 'store', offset: 0, bytes }]);
  return torn;
}

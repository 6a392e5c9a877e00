import type { Datapath } from '../types/native';

/** All elements of a table, end to end. */
export type Dump = Awaited<ReturnType<Datapath['dump']>>;

/** The elements of a dump, in its memory. */
export function* elementsOf({
  keys,
  values,
  count,
}: Dump): Generator<{ key: Uint8Array; value: Uint8Array }> {
  const [keySize, valueSize] = [keys.byteLength / count, values.byteLength / count];
  for (let i = 0; i < count; i++) {
    yield {
      key: keys.subarray(i * keySize, (i + 1) * keySize),
      value: values.subarray(i * valueSize, (i + 1) * valueSize),
    };
  }
}

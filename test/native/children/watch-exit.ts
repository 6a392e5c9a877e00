import { light, native } from '../support';

// Ends by itself although watches are open and held.
async function main(): Promise<void> {
  const datapath = await native.load(light);
  Object.assign(globalThis, {
    held: [datapath, datapath.watchRing('events', () => {}), native.watchNetwork(() => {})],
  });
}

void main();

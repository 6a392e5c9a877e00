import assert from 'node:assert/strict';
import { light, native, numbered, repetitions, run } from '../support';

// In a process of its own: starts operations of every kind, and leaves at once.
async function leaveBusy(): Promise<never> {
  const datapath = await native.load(light);
  const { keySize, valueSize } = datapath.mapInfo('services4');
  const [keys, values] = [numbered(20_000, keySize), numbered(20_000, valueSize)];
  for (let i = 0; i < 4; i++) {
    void native.load(light);
    void datapath.commit([{ map: 'services4', kind: 'update', keys, values }]);
    void datapath.dump('services4');
    void datapath.attachTcx('bpf_lb_egress', 1);
    void native.network();
  }
  process.stdout.write('busy');
  process.exit(0);
}

if (process.argv[2] === 'leave') {
  void leaveBusy();
} else {
  for (let i = 0; i < repetitions(5); i++) {
    assert.equal(run(process.execPath, '--import', 'tsx', __filename, 'leave'), 'busy');
  }
}

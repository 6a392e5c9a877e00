import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { controlPlaneCases } from '../../conformance/cases/control-plane';
import { packetFlowCases } from '../../conformance/cases/packet-flows';

describe('npm run conformance', () => {
  let directory: string;
  before(() => (directory = mkdtempSync(path.join(tmpdir(), 'bpf-lb-conformance-'))));
  after(() => rmSync(directory, { recursive: true }));

  function file(name: string, content: unknown): string {
    const place = path.join(directory, name);
    writeFileSync(place, JSON.stringify(content));
    return place;
  }

  function command(...args: string[]) {
    const main = path.join(__dirname, '../../conformance/main.ts');
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    return { status, stderr, lastLine: stdout.trimEnd().split('\n').at(-1), stdout };
  }

  const [flows] = packetFlowCases;

  it('runs files of both kinds, and ends with the totals', () => {
    const controls = controlPlaneCases.filter(({ kind }) => kind === 'endpoints-map');
    const run = command(file('flows.json', [flows]), file('controls.json', controls));
    assert.deepEqual([run.status, run.stderr], [0, '']);
    const passed = (flows?.flows.length ?? 0) + 3 * controls.length;
    assert.equal(run.lastLine, `${passed} passed, 0 failed, 0 skipped`);
  });

  it('says what differs, and fails', () => {
    const wrong = flows?.flows.slice(0, 1).map((flow) => ({ ...flow, expect: 'reject', backends: [] }));
    const run = command(file('wrong.json', [{ ...flows, flows: wrong }]), '--mode', 'iptables');
    assert.equal(run.status, 1);
    assert.match(
      run.stdout,
      /FAILED clusterip: pod to clusterIP 80\/TCP, IPv4\n {2}expected: reject\n {2}got: +forward to /,
    );
    assert.equal(run.lastLine, '0 passed, 1 failed, 0 skipped');
  });

  it('lists what is not of the mode, and fails when nothing was asked', () => {
    const run = command(file('other.json', [{ ...flows, modes: ['iptables'] }]));
    assert.equal(run.status, 1);
    assert.match(run.stdout, /skipped: not of nftables mode\n {2}clusterip: /);
    assert.equal(run.lastLine, `0 passed, 0 failed, ${flows?.flows.length} skipped`);
  });

  it('tells how it is used, and what is no file of cases', () => {
    for (const args of [[], ['--mode', 'ipvs', 'x.json'], ['--help-me']]) {
      const { status, stderr } = command(...args);
      assert.equal(status, 2);
      assert.match(stderr, /^usage: /);
    }
    const { status, stderr } = command(file('neither.json', [{ id: 'a' }]));
    assert.equal(status, 2);
    assert.match(stderr, /neither a list of cases with flows/);
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { stringify } from 'yaml';

import type { ServiceSpec } from '../../lib';
import type { Endpoint } from '../support/cluster/exchange';
import { podPort, useTwoNodes } from '../support/cluster/suite';
import type { Host, Node, Pod } from '../support/cluster/two-nodes';
import { Standalone } from './standalone';

describe('standalone host (examples/standalone)', () => {
  const suite = useTwoNodes();
  let directory: string;
  let file: string;
  let node: Node;
  let pods: readonly Pod[];
  let running: Standalone | undefined;

  const clusterIP: Endpoint = { address: '10.96.0.20', port: 80 };
  const other: Endpoint = { address: '10.96.0.21', port: 80 };
  const vip: Endpoint = { address: '198.51.100.20', port: 80 };
  const nodePort = 30020;

  const web = (...by: readonly Pod[]): ServiceSpec => ({
    name: 'web',
    frontends: [
      { type: 'ClusterIP', ...clusterIP },
      { type: 'LoadBalancer', ...vip },
      { type: 'NodePort', port: nodePort },
    ],
    backends: by.map((pod) => ({ address: pod.addresses[4], port: podPort, local: pod.node === node })),
  });
  const second = (...by: readonly Pod[]): ServiceSpec => ({
    ...web(...by),
    name: 'second',
    frontends: [{ type: 'ClusterIP', ...other }],
  });

  const text = (...services: readonly ServiceSpec[]) => stringify({ services });
  const write = (...services: readonly ServiceSpec[]) => writeFileSync(file, text(...services));

  /** Every request is answered, and by exactly these pods. With 40 requests, none of two pods is left out by chance. */
  async function assertServed(from: Host, to: Endpoint, by: readonly Pod[]): Promise<void> {
    const { served, failed } = await (await from.peer()).tally(to, 40);
    const expected = by.map(({ name }) => name).sort();
    assert.deepEqual({ served: Object.keys(served).sort(), failed }, { served: expected, failed: {} });
  }

  async function assertUnserved(from: Host, to: Endpoint): Promise<void> {
    const peer = await from.peer();
    await assert.rejects(peer.tcp(to, { timeout: 1000 }));
  }

  const start = (...options: string[]) =>
    (running = new Standalone(suite.cleanupEach, node, file, ...options));

  async function startServing(...services: readonly ServiceSpec[]): Promise<Standalone> {
    write(...services);
    const standalone = start();
    const { added, changed, removed, unchanged } = await standalone.next('applied');
    assert.deepEqual(
      { added, changed, removed, unchanged },
      { added: services.map(({ name }) => name), changed: [], removed: [], unchanged: 0 },
    );
    return standalone;
  }

  beforeEach(() => {
    [node] = suite.nodes;
    pods = [suite.nodes[0].pods[0], suite.nodes[1].pods[0]];
    const made = mkdtempSync(path.join(tmpdir(), 'bpf-lb-standalone-'));
    suite.cleanupEach.add(() => rmSync(made, { recursive: true }));
    directory = made;
    file = path.join(directory, 'services.yaml');
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.error(running?.errors, running?.log);
  });

  it('serves what the file says', async () => {
    const standalone = await startServing(web(...pods));
    for (const from of [node, ...node.pods]) await assertServed(from, clusterIP, pods);
    await assertServed(suite.client, vip, pods);
    await assertServed(suite.client, { address: node.addresses[4], port: nodePort }, pods);
    assert.equal(standalone.errors, '');
    for (const { time, level } of standalone.log) {
      assert.equal(new Date(time).toISOString(), time);
      assert.equal(level, 'info');
    }
  });

  it('follows changes, and leaves alone what has not changed', async () => {
    const [pod1, pod2] = pods as [Pod, Pod];
    const standalone = await startServing(web(pod1), second(pod1));
    await assertServed(node, clusterIP, [pod1]);
    write(web(pod2), second(pod1));
    const { changed, unchanged } = await standalone.next('applied');
    assert.deepEqual({ changed, unchanged }, { changed: ['web'], unchanged: 1 });
    await assertServed(node, clusterIP, [pod2]);
    await assertServed(suite.client, vip, [pod2]);
    await assertServed(node, other, [pod1]);

    appendFileSync(file, '\n# A comment is no change.\n');
    assert.deepEqual((await standalone.next('applied')).unchanged, 2);
    await assertServed(node, clusterIP, [pod2]);
  });

  it('follows a service that is removed and one that is added', async () => {
    const standalone = await startServing(web(...pods));
    write(second(...pods));
    const { added, removed } = await standalone.next('applied');
    assert.deepEqual({ added, removed }, { added: ['second'], removed: ['web'] });
    await assertServed(node, other, pods);
    await assertUnserved(node, clusterIP);
    await assertUnserved(suite.client, vip);
    write();
    assert.deepEqual((await standalone.next('applied')).removed, ['second']);
    await assertUnserved(node, other);
  });

  it('follows a file that is replaced by rename, again and again', async () => {
    const [pod1, pod2] = pods as [Pod, Pod];
    const standalone = await startServing(web(pod1));
    for (const pod of [pod2, pod1]) {
      const made = path.join(directory, '.services.yaml.new');
      writeFileSync(made, text(web(pod)));
      renameSync(made, file);
      assert.deepEqual((await standalone.next('applied')).changed, ['web']);
      await assertServed(node, clusterIP, [pod]);
    }
  });

  it('follows a link that is turned, as in the volume of a ConfigMap', async () => {
    const [pod1, pod2] = pods as [Pod, Pod];
    [pod1, pod2].forEach((pod, i) => {
      mkdirSync(path.join(directory, `data${i}`));
      writeFileSync(path.join(directory, `data${i}`, 'services.yaml'), text(web(pod)));
    });
    symlinkSync('data0', path.join(directory, 'data'));
    symlinkSync('data/services.yaml', file);
    const standalone = start();
    await standalone.next('applied');
    await assertServed(node, clusterIP, [pod1]);
    symlinkSync('data1', path.join(directory, 'new'));
    renameSync(path.join(directory, 'new'), path.join(directory, 'data'));
    assert.deepEqual((await standalone.next('applied')).changed, ['web']);
    await assertServed(node, clusterIP, [pod2]);
  });

  describe('with a file that cannot be used', () => {
    const twice = { name: 'b', frontends: [{ type: 'NodePort', port: nodePort }], backends: [] };
    /** What is wrong, with what text the line begins that is told (none: the end), and what the message has to say. */
    const broken: [what: string, content: (good: string) => string, at: string, word: RegExp][] = [
      ['is no YAML', (good) => `${good}  - name: [unclosed\n`, '', /\]/],
      [
        'has a wrong indentation',
        (good) => good.replace('    backends:', '   backends:'),
        '   backends:',
        /Sequence/,
      ],
      ['is empty', () => '', '', /services/],
      ['has no list', () => '# none\nservices: all\n', 'services:', /list/],
      ['has no backends', (good) => good.replace(/ {4}backends:[^]*/, ''), '  - name', /backends/],
      [
        'has an unknown field',
        (good) => good.replace('backends:', 'backend:'),
        '    backend:',
        /unknown field backend/,
      ],
      [
        'has a port that is none',
        (good) => good.replace('port: 30020', 'port: 300200'),
        '        port: 300200',
        /300200/,
      ],
      [
        'has an address that is none',
        (good) => good.replace('10.244.1.11', '10.244'),
        '      - address: 10.244\n',
        /10\.244/,
      ],
      ['has an unknown algorithm', (good) => `${good}    algorithm: best\n`, '    algorithm', /best/],
      [
        'has a frontend twice',
        (good) => `${good}  - ${JSON.stringify(twice)}\n`,
        '  - {"name":"b"',
        /web and b/,
      ],
    ];

    for (const [what, content, at, word] of broken) {
      it(`changes nothing, and tells the line: it ${what}`, async () => {
        const standalone = await startServing(web(...pods));
        const good = readFileSync(file, 'utf8');
        const bad = content(good);
        writeFileSync(file, bad);
        const rejected = await standalone.next('rejected');
        assert.match(String(rejected.message), word);
        const before = at === '' ? bad : `\n${bad}`.split(`\n${at}`)[0];
        assert.equal(rejected.line, before?.split('\n').length, `${rejected.message}\n${bad}`);
        assert.equal(rejected.level, 'error');
        await assertServed(node, clusterIP, pods);
        await assertServed(suite.client, vip, pods);

        write(web(pods[0] as Pod));
        assert.deepEqual((await standalone.next('applied')).changed, ['web']);
        await assertServed(node, clusterIP, pods.slice(0, 1));
      });
    }

    it('changes nothing while the file is missing', async () => {
      const standalone = await startServing(web(...pods));
      rmSync(file);
      assert.match(String((await standalone.next('rejected')).message), /ENOENT/);
      await assertServed(node, clusterIP, pods);
      write(web(...pods), second(...pods));
      assert.deepEqual((await standalone.next('applied')).added, ['second']);
      await assertServed(node, other, pods);
    });

    it('does not start, and touches nothing', async () => {
      writeFileSync(file, 'services:\n  - name: web\n   frontends: []\n');
      const standalone = start();
      assert.equal(await standalone.ends(), 1);
      assert.deepEqual(
        standalone.log.map(({ event, line }) => [event, line]),
        [['failed', 3]],
      );
      writeFileSync(file, text({ ...web(), frontends: [] }));
      const another = start();
      assert.equal(await another.ends(), 1);
      assert.deepEqual(
        another.log.map(({ event, line }) => [event, line]),
        [['failed', 2]],
      );
    });
  });

  it('stops serving when it is told to end', async () => {
    const standalone = await startServing(web(...pods));
    await assertServed(node, clusterIP, pods);
    assert.equal(await standalone.ends('SIGTERM'), 0);
    assert.equal((await standalone.next('closed')).kept, false);
    await assertUnserved(node, clusterIP);
    await assertUnserved(suite.client, vip);
  });

  it('leaves everything serving with --keep; the next one takes over', async () => {
    const stateDir = path.join(directory, 'state');
    suite.cleanupEach.add(() => {
      if (readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${stateDir} `))
        execFileSync('umount', [stateDir]);
    });
    write(web(...pods));
    const first = start('--state-dir', stateDir, '--keep');
    await first.next('applied');
    assert.equal(await first.ends('SIGTERM'), 0);
    assert.equal((await first.next('closed')).kept, true);
    await assertServed(node, clusterIP, pods);
    await assertServed(suite.client, vip, pods);

    write(web(pods[0] as Pod));
    const next = start('--state-dir', stateDir);
    await next.next('applied');
    await assertServed(node, clusterIP, pods.slice(0, 1));
    assert.equal(await next.ends('SIGINT'), 0);
    await assertUnserved(node, clusterIP);
  });

  it('says what it needs', async () => {
    write();
    const standalone = start('--keep');
    assert.equal(await standalone.ends(), 1);
    assert.match(String((await standalone.next('failed')).message), /--state-dir/);
  });

  it('has a sample file that can be used as it is', async () => {
    writeFileSync(file, readFileSync(path.join(__dirname, '../../examples/standalone/services.yaml')));
    const standalone = start();
    assert.deepEqual((await standalone.next('applied')).added, ['web', 'dns']);
  });
});

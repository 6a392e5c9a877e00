import assert from 'node:assert/strict';
import fs from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { native, run } from '../support';

// In a network namespace of its own, where nothing changes but by what is done here. The kernel has sent its messages
// before `ip` ends: a few turns of the event loop later, whoever watches must know.

const ip = (command: string) => run('ip', ...command.split(' '));

/** Carries out many commands of `ip` at once. */
function batch(commands: string[]): void {
  const file = `/tmp/bpf-lb-test-${process.pid}`;
  fs.writeFileSync(file, commands.join('\n'));
  try {
    run('ip', '-batch', file);
  } finally {
    fs.rmSync(file);
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn();
}

/** How many times a callback is called because of an action. */
class Counter {
  #count = 0;
  readonly call = () => {
    this.#count++;
  };

  async during(action: () => void): Promise<number> {
    this.#count = 0;
    action();
    await turns();
    return this.#count;
  }
}

/** Messages that the kernel could not deliver to the rtnetlink sockets of this namespace. */
function lostMessages(): number {
  const [head = '', ...rows] = fs.readFileSync('/proc/thread-self/net/netlink', 'utf8').trim().split('\n');
  const columns = head.trim().split(/\s+/);
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter((row) => row[columns.indexOf('Eth')] === '0')
    .reduce((sum, row) => sum + Number(row[columns.indexOf('Drops')]), 0);
}

const addresses = (verb: string, count: number) =>
  Array.from({ length: count }, (_, i) => `addr ${verb} 10.${i >> 8}.${i & 255}.1/32 dev lo`);

const scenarios: Record<string, () => Promise<void>> = {
  async changes() {
    const counter = new Counter();
    const watch = native.watchNetwork(counter.call);
    assert.equal(await counter.during(() => {}), 0);
    const commands = [
      'link add test0 type veth peer name test1',
      'link set test0 mtu 1400',
      'addr add 192.0.2.1/24 dev lo',
      'addr del 192.0.2.1/24 dev lo',
      'route add 198.51.100.0/24 dev lo',
      'route del 198.51.100.0/24 dev lo',
      'rule add from 192.0.2.0/24 table 100',
      '-6 route add 2001:db8:1::/48 dev lo',
      '-6 route del 2001:db8:1::/48 dev lo',
      '-6 rule add from 2001:db8::/48 table 100',
      'nexthop add id 1 dev lo',
      'link del test0',
    ];
    for (const command of commands) assert.equal(await counter.during(() => ip(command)), 1, command);
    // Reading is no change, and neither is what other namespaces do.
    assert.equal(await counter.during(() => ip('route show table all')), 0);
    assert.equal(await counter.during(() => run('unshare', '--net', 'ip', 'link', 'set', 'lo', 'up')), 0);
    // The kernel itself says something about these later on, too.
    const later = ['-6 addr add 2001:db8::1/64 dev lo nodad', '-6 addr del 2001:db8::1/64 dev lo'];
    for (const command of later) assert.ok((await counter.during(() => ip(command))) > 0, command);
    watch.close();
  },

  async bursts() {
    const [one, other] = [new Counter(), new Counter()];
    const watches = [native.watchNetwork(one.call), native.watchNetwork(other.call)];
    const burst = () => one.during(() => batch(addresses('add', 50)));
    assert.deepEqual(await Promise.all([burst(), other.during(() => {})]), [1, 1]);
    assert.equal(lostMessages(), 0);
    for (const watch of watches) watch.close();
  },

  async loss() {
    const counter = new Counter();
    const watch = native.watchNetwork(counter.call);
    for (const verb of ['add', 'del']) {
      const lost = lostMessages();
      const count = await counter.during(() => batch(addresses(verb, 2_000)));
      assert.ok(lostMessages() > lost);
      assert.ok(count > 0);
      assert.equal(await counter.during(() => ip(`route ${verb} 198.51.100.0/24 dev lo`)), 1);
    }
    watch.close();
  },

  async close() {
    const [closed, open, within] = [new Counter(), new Counter(), new Counter()];
    const watch = native.watchNetwork(closed.call);
    const other = native.watchNetwork(open.call);
    const once = native.watchNetwork(() => {
      within.call();
      once.close();
    });
    const change = () => open.during(() => ip('link set lo mtu 1500'));
    // What has happened before close() is not told after it.
    const during = closed.during(() => {
      ip('addr add 192.0.2.1/24 dev lo');
      watch.close();
      watch.close();
    });
    const calls = await Promise.all([during, within.during(() => {}), open.during(() => {})]);
    assert.deepEqual(calls, [0, 1, 1]);
    const later = [closed.during(() => {}), within.during(() => {}), change()];
    assert.deepEqual(await Promise.all(later), [0, 0, 1]);
    other.close();
  },

  async exceptions() {
    const caught: unknown[] = [];
    const listener = (error: unknown) => caught.push(error);
    process.on('uncaughtException', listener);
    const thrown = [new Error('an error'), 'a string', null, undefined, Symbol('a symbol')];
    let calls = 0;
    const watch = native.watchNetwork(() => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- users' callbacks may throw anything
      throw thrown[calls++];
    });
    for (let i = 0; i < thrown.length; i++) {
      ip(`link set lo mtu ${1500 + i}`);
      await turns();
    }
    process.off('uncaughtException', listener); // it would swallow what assert throws
    assert.deepEqual(caught, thrown);
    watch.close();
  },

  async uncaught() {
    const watch = native.watchNetwork(() => {
      throw new Error('thrown by the callback');
    });
    ip('link set lo mtu 1500');
    await turns();
    watch.close();
  },
};

const scenario = scenarios[process.argv[2] ?? ''];
assert.ok(scenario);
// A process also ends when nothing is left that could resolve the promise.
process.exitCode = 1;
void scenario().then(() => {
  process.exitCode = 0;
});

import { child, cleanupAfterEach, inNamespace, makeCgroup, makeNamespace, requireRoot, run } from './support';

// Each script runs in a process of its own, so that a crash is one failed test, and asserts by itself.
describe('native lifetimes', () => {
  const cleanup = cleanupAfterEach();

  before(function () {
    requireRoot(this);
  });

  for (const activity of ['load', 'commit', 'lookup', 'failure', 'network', 'canary', 'attach']) {
    it(`survives the termination of a worker thread in the middle of: ${activity}`, () => {
      run(...child('terminate.ts'), activity, makeCgroup(cleanup));
    });
  }

  it('survives the termination of a worker thread that watches', () => {
    run(...inNamespace(makeNamespace(cleanup)), ...child('terminate.ts'), 'watch');
  });

  it('frees what is collected without close()', () => {
    run(...child('collect.ts', '--expose-gc'), makeCgroup(cleanup));
  });

  it('finishes operations that close() comes in between', () => {
    run(...child('close-while-busy.ts', '--expose-gc'));
  });

  it('lets the process end while operations run', () => {
    run(...inNamespace(makeNamespace(cleanup)), ...child('exit-while-busy.ts'));
  });
});

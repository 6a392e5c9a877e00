import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(__dirname, '../..');
const suite = 'test/examples/kube-proxy.test.ts';
const prefix = 'examples/kube-proxy ';

/** A row of docs/e2e.md. */
interface Row {
  fullTitle: string;
  covered: boolean;
  /** The file of the test, or the reason why there is none. */
  rest: string;
}

function readRows(): Row[] {
  let heading = '';
  return readFileSync(path.join(root, 'docs/e2e.md'), 'utf8')
    .split('\n')
    .flatMap((line) => {
      heading = /^## (.*)$/.exec(line)?.[1] ?? heading;
      const [, title, state, rest = ''] = /^\| (.*?) \| (covered|not covered) \| (.*) \|$/.exec(line) ?? [];
      return title ? [{ fullTitle: `${heading} ${title}`, covered: state === 'covered', rest }] : [];
    });
}

/** Full titles, without those of the suites around the heading. */
function readTests(): string[] {
  const report = execFileSync('node_modules/.bin/mocha', ['--dry-run', '--reporter', 'json', suite], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const { tests } = JSON.parse(report.slice(report.indexOf('{'))) as { tests: { fullTitle: string }[] };
  return tests.map(({ fullTitle }) => fullTitle);
}

describe('docs/e2e.md', () => {
  const rows = readRows();
  let tests: string[];

  before(function () {
    this.timeout(60_000);
    tests = readTests();
  });

  it('has each title once, and a reason for each that is not covered', () => {
    assert.ok(rows.length > 150);
    const titles = rows.map(({ fullTitle }) => fullTitle);
    assert.deepEqual(
      titles.filter((title, i) => titles.indexOf(title) !== i),
      [],
    );
    assert.deepEqual(
      rows.filter(({ covered, rest }) => !covered && rest.length < 5),
      [],
    );
  });

  it('says of no title that it is covered when there is no such test', () => {
    const missing = rows.filter(
      ({ fullTitle, covered }) => covered && !tests.some((test) => test.endsWith(fullTitle)),
    );
    assert.deepEqual(missing, []);
  });

  it('names the files of tests', () => {
    for (const { rest, covered } of rows) {
      if (!covered) continue;
      const [, file = ''] = /^`([^`]+)`/.exec(rest) ?? [];
      assert.ok(existsSync(path.join(root, 'test/examples/kube-proxy', file)), rest);
    }
  });

  it('has all tests but those of the program itself', () => {
    const covered = rows.filter((row) => row.covered);
    const unlisted = tests.filter(
      (test) =>
        !test.startsWith(`${prefix}the program `) &&
        !covered.some(({ fullTitle }) => test.endsWith(fullTitle)),
    );
    assert.deepEqual(unlisted, []);
  });
});

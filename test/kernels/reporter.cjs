'use strict';

const { inspect } = require('node:util');

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** The verifier says at the end of its log what it refused. */
function describe(error) {
  const text = inspect(error, { maxStringLength: 200 });
  return error.log ? `${text}\n[...]${error.log.slice(-4000)}` : text;
}

/** For node:test: a line a test, the whole error of a failed one, and the line that run.sh judges by. */
module.exports = async function* report(events) {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  let last;
  for await (const { type, data } of events) {
    if (type === 'test:fail') {
      failed++;
      const error = describe(data.details.error.cause ?? data.details.error);
      yield `  FAILED ${data.name}\n${error === last ? '(as before)' : error}\n`;
      last = error;
    } else if (type === 'test:pass' && data.skip !== undefined) {
      skipped++;
      yield `  skipped: ${data.name} (${data.skip})\n`;
    } else if (type === 'test:pass') {
      passed++;
      yield `  passed ${data.name} (${seconds(data.details.duration_ms)})\n`;
    }
  }
  yield `\n${passed} passed, ${failed} failed, ${skipped} skipped\n`;
};

'use strict';

const { Spec } = require('mocha').reporters;

/** Why a test was not run: said by `skip()` of skip.ts for the test itself or for a suite around it. */
function reasonOf(test) {
  for (let runnable = test; runnable; runnable = runnable.parent) {
    if (runnable.skipReason) return runnable.skipReason;
  }
  return 'no reason given';
}

/** Spec, and at the end every skipped test with its reason and one line that a program can read. */
module.exports = class Reporter extends Spec {
  #skipped = [];

  constructor(runner, options) {
    super(runner, options);
    runner.on('pending', (test) => this.#skipped.push(test));
  }

  epilogue() {
    super.epilogue();
    for (const test of this.#skipped) {
      console.log(`  skipped: ${test.fullTitle()} (${reasonOf(test)})`);
    }
    const { passes, failures, pending } = this.stats;
    console.log(`\n${passes} passed, ${failures} failed, ${pending} skipped`);
  }

  /** A run in which nothing was tested is no success. */
  done(failures, exit) {
    exit(failures === 0 && this.stats.passes === 0 ? 1 : failures);
  }
};

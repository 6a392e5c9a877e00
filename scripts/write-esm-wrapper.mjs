// Writes the ES module entries beside the CommonJS ones: dist/NAME.mjs re-exports dist/NAME.js name by name, so
// that import and require() give the same classes, and no tool has to guess what a CommonJS file exports.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const dist = new URL('../dist/', import.meta.url);

/** The entry points of the package, as in "exports" of package.json. */
const entries = ['index', 'kubernetes/index', 'simulator/index'];

for (const entry of entries) {
  const names = Object.keys(require(new URL(`${entry}.js`, dist).pathname)).sort();
  writeFileSync(new URL(`${entry}.mjs`, dist), `export { ${names.join(', ')} } from './index.js';\n`);
  // Types have no run-time names to list.
  writeFileSync(new URL(`${entry}.d.mts`, dist), `export * from './index.js';\n`);
}

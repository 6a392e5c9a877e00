import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import type { Mode } from './packet-flow-case';
import { Report } from './report';
import { run } from './run';

const usage = 'usage: npm run conformance -- FILE.json [FILE.json...] [--kernel] [--mode nftables|iptables]';

function isMode(mode: string): mode is Mode {
  return mode === 'nftables' || mode === 'iptables';
}

/** What was asked for, or undefined. */
function parseCommand() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { kernel: { type: 'boolean', default: false }, mode: { type: 'string', default: 'nftables' } },
    });
    const { kernel, mode } = values;
    if (positionals.length === 0 || !isMode(mode)) return undefined;
    return { files: positionals, kernel, mode };
  } catch {
    return undefined;
  }
}

async function main(): Promise<number> {
  const command = parseCommand();
  if (!command) {
    console.error(usage);
    return 2;
  }
  const report = new Report();
  for (const file of command.files) {
    await run(JSON.parse(readFileSync(file, 'utf8')), { ...command, report });
  }
  console.log(report.format());
  return report.count('failed') > 0 || report.count('passed') === 0 ? 1 : 0;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 2;
  },
);

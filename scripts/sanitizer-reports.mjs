// sanitizer-reports.mjs FOLDER: of what sanitizers reported in there, shows errors, and leaks of memory that the addon
// allocated. What Node and V8 leave at exit, also in the addon's name, is theirs: all goes with the process.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const allocators = /libasan\.so|libstdc\+\+\.so|libc\.so/;
const addon = 'bpf_lb.node';

/** Whose code asked the allocator: the first frame that is not the allocator's own. */
function allocatedByAddon(leak) {
  const frames = leak.split('\n').filter((line) => /^ +#\d/.test(line));
  return frames.find((frame) => !allocators.test(frame))?.includes(addon) ?? false;
}

function findings(report) {
  const [head, ...leaks] = report.split(/^(?=(?:Direct|Indirect) leak of )/m);
  return leaks.length > 0 ? leaks.filter(allocatedByAddon) : [head];
}

const folder = process.argv[2];
const reports = readdirSync(folder).map((name) => readFileSync(path.join(folder, name), 'utf8'));
const found = reports.flatMap(findings);
for (const each of found) console.log(each.trimEnd());
console.log(
  `\nleft by the addon, or wrong: ${found.length} findings in ${reports.length} reports of processes`,
);
console.log(found.length === 0 ? '1 passed, 0 failed, 0 skipped' : '0 passed, 1 failed, 0 skipped');
process.exitCode = found.length === 0 ? 0 : 1;

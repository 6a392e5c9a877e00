import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { deviceNeeds, helpers, socketNeeds } from '../../lib/kernel-features';

const executable = 4; // SHF_EXECINSTR
const call = 0x85; // BPF_JMP | BPF_CALL

/** Numbers of the helpers that the programs of an object call (ELF, and bpf(2) for the instructions). */
function helpersCalledBy(object: string): Set<number> {
  const elf = readFileSync(path.join(__dirname, '../../build/bpf', `${object}.bpf.o`));
  const [sections, size, count] = [
    Number(elf.readBigUInt64LE(40)),
    elf.readUInt16LE(58),
    elf.readUInt16LE(60),
  ];
  const called = new Set<number>();
  for (let i = 0; i < count; i++) {
    const header = elf.subarray(sections + i * size);
    if ((Number(header.readBigUInt64LE(8)) & executable) === 0) continue;
    const [from, length] = [Number(header.readBigUInt64LE(24)), Number(header.readBigUInt64LE(32))];
    for (let at = from; at < from + length; at += 8) {
      /* Other sources than register 0 are functions of programs and of the kernel. */
      if (elf[at] === call && (elf[at + 1]! & 0xf0) === 0) called.add(elf.readInt32LE(at + 4));
    }
  }
  return called;
}

describe('probe()', () => {
  for (const [where, objects, needs] of [
    ['sockets', ['sock'], socketNeeds],
    ['devices', ['tc', 'tc_l3'], deviceNeeds],
  ] as const) {
    it(`asks for no helper that the programs of ${where} do without`, () => {
      const called = new Set(objects.flatMap((object) => [...helpersCalledBy(object)]));
      assert.ok(called.size > 0);
      assert.deepEqual(
        needs.helpers.filter((name) => !called.has(helpers[name])),
        [],
      );
    });
  }
});

import { readFileSync } from 'node:fs';
import path from 'node:path';

import { LoadBalancerError } from '../errors';

/** What bpf/wasm/bpf/bpf_helpers.h imports: numbers are places in the memory. */
export interface ModuleImports {
  lookup(map: number, key: number): number;
  update(map: number, key: number, value: number): void;
  now(): number;
}

/** What bpf/wasm/simulator.c exports. */
export interface ModuleExports {
  readonly memory: WebAssembly.Memory;
  readonly tables: WebAssembly.Global;
  readonly question: WebAssembly.Global;
  readonly answer: WebAssembly.Global;
  readonly __heap_base: WebAssembly.Global;
  decide_socket(): void;
  decide_packet(): void;
}

/** The same from lib/ and from dist/. Made by scripts/build-simulator.sh. */
const file = path.join(__dirname, '../../prebuilds/wasm/simulator.wasm');
let compiled: WebAssembly.Module | undefined;

/** @throws LoadBalancerError `ERR_BPF_UNSUPPORTED` when the module has not been built. */
export function instantiate(imports: ModuleImports): ModuleExports {
  try {
    compiled ??= new WebAssembly.Module(readFileSync(file));
  } catch (cause) {
    throw new LoadBalancerError(
      'ERR_BPF_UNSUPPORTED',
      `The simulator cannot be loaded from ${file}: in a clone of the repository, \`npm run setup\` makes it.`,
      { cause },
    );
  }
  return new WebAssembly.Instance(compiled, { host: { ...imports } }).exports as unknown as ModuleExports;
}

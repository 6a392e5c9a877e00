/** What lib/simulator uses of the global object that Node's types leave out. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }

  class Instance {
    constructor(
      module: Module,
      imports: Record<string, Record<string, (...args: number[]) => number | void>>,
    );
    readonly exports: Readonly<Record<string, unknown>>;
  }

  interface Memory {
    readonly buffer: ArrayBuffer;
    /** Adds pages of 65536 bytes; earlier buffers are detached. */
    grow(pages: number): number;
  }

  interface Global {
    readonly value: number;
  }
}

import { layouts, ServiceFlag } from '../abi';
import { formatAddress, formatEndpoint } from '../address';
import { ModuleMemory } from './module-memory';
import { instantiate, type ModuleExports } from './wasm';

/** A map that decisions read, as bpf/maps.h declares it. */
export interface Table {
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly isTrie: boolean;
}

/** Where decisions find what the maps hold. */
export interface Tables {
  /**
   * Where the module's memory has the value of a key, until the decision is made, or 0. `key` is where it has the key.
   * Of a trie, the value of the longest prefix of the key.
   */
  lookup(table: Table, key: number): number;
  /** Seconds of the clock that entries expire by. */
  now(): number;
}

/** Who asks for what. */
export interface Question {
  /** Both as four words, in the order of the bytes; IPv4 as ::ffff:a.b.c.d. */
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  readonly isIPv6: boolean;
  readonly fromPort: number;
  readonly port: number;
  /** Its number in IP. */
  readonly protocol: number;
  /** 64 bits. */
  readonly seed: { readonly low: number; readonly high: number };
  /** Whether a socket asks, of which namespace, or the device that a packet comes in through. */
  readonly isSocket: boolean;
  readonly inHostNamespace: boolean;
  readonly ifindex: number;
}

/** What the programs would do. */
export interface Decision {
  readonly verdict: string;
  readonly reason: string;
  /** The chosen backend as `address:port`. */
  readonly backend: string | undefined;
  readonly snat: boolean;
  readonly affinity: 'none' | 'hit' | 'new';
  /** What is on offer at the frontend that was found. */
  readonly offer: Offer | undefined;
}

/** The backends of a frontend, for those who ask from where the question came from. */
export interface Offer {
  /** Id of the frontend. */
  readonly frontend: number;
  /** By a traffic policy, to those of this node. */
  readonly narrowed: boolean;
  /** Index into the backend array. */
  readonly first: number;
  readonly count: number;
}

/** An entry that the programs would make or change. */
export interface Write {
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/* Where the fields of the structs in bpf/wasm/simulator.c are: words of four bytes. */
const declaration = { words: 6, name: 0, map: 1, values: 2, type: 3, keySize: 4, valueSize: 5 };
const question = {
  from: 0,
  to: 4,
  seedLow: 8,
  seedHigh: 9,
  fromPort: 10,
  port: 11,
  protocol: 12,
  isIPv6: 13,
  inHostNamespace: 14,
  ifindex: 15,
};
const answer = {
  verdict: 0,
  reason: 1,
  backend: 2,
  backendPort: 6,
  snat: 7,
  found: 8,
  frontend: 9,
  flags: 10,
  narrowed: 11,
  first: 12,
  count: 13,
};

/** BPF_MAP_TYPE_LPM_TRIE */
const trieType = 11;

const backend = layouts.lb_backend.fields;
/** Bytes of an element of the backend array. */
const backendSize = Math.ceil(layouts.lb_backend.size / 8) * 8;
const addressSize = 16;

interface Declared extends Table {
  /** Word in which the module looks for the place of the elements of an array. */
  readonly values: number;
}

/** A pin of session affinity that was found or made. */
interface Pin {
  readonly table: Table;
  readonly key: number;
  readonly value: number;
  readonly isNew: boolean;
}

/**
 * The decisions of the BPF programs: their selection code, compiled to WebAssembly (bpf/wasm/simulator.c). Has arrays
 * in its memory, where it is told to, and asks for everything else.
 */
export class DecisionModule {
  readonly tables: readonly Table[];
  readonly memory: ModuleMemory;
  readonly #exports: ModuleExports;
  readonly #question: number;
  readonly #answer: number;
  readonly #byMap = new Map<number, Declared>();
  /** Texts that have been read: constants of the module by their place, addresses by their bytes. */
  readonly #constants = new Map<number, string>();
  readonly #addresses = new Map<string, string>();
  /** Where the arrays are that are held. */
  readonly #arrays = new Map<string, number>();
  #source: Tables | undefined;
  #pin: Pin | undefined;

  /** @throws LoadBalancerError `ERR_BPF_UNSUPPORTED` when the module has not been built. */
  constructor() {
    this.#exports = instantiate({
      lookup: (map, key) => this.#lookup(map, key),
      update: (map, key, value) => this.#update(map, key, value),
      now: () => this.#source?.now() ?? 0,
    });
    this.memory = new ModuleMemory(this.#exports.memory, this.#exports.__heap_base.value);
    this.#question = this.#exports.question.value / 4;
    this.#answer = this.#exports.answer.value / 4;
    this.tables = this.#readDeclarations();
  }

  /** Keeps the elements of an array here from now on, all zero. Before the first decision. */
  hold(name: string, count: number): void {
    const { values, valueSize } = this.#find(name);
    const at = this.memory.reserve(Math.ceil(valueSize / 8) * 8 * count);
    this.#arrays.set(name, at);
    this.memory.words[values] = at;
  }

  /** Writes into an array that is held. */
  store(name: string, offset: number, bytes: Uint8Array): void {
    const at = this.#arrays.get(name);
    if (at !== undefined) this.memory.bytes.set(bytes, at + offset);
  }

  /** What the programs would do now. Changes no table. */
  decide(asked: Question, source: Tables): Decision {
    this.#source = source;
    this.memory.reclaim();
    this.#pin = undefined;
    this.#ask(asked);
    if (asked.isSocket) this.#exports.decide_socket();
    else this.#exports.decide_packet();
    return this.#read();
  }

  /** What the programs would have left behind after the last decision. A pin that was found moves in time. */
  writes(): Write[] {
    if (!this.#pin) return [];
    const { table, key, value } = this.#pin;
    return [
      {
        table,
        key: this.memory.copy(key, table.keySize),
        value: this.memory.copy(value, table.valueSize),
      },
    ];
  }

  /** Backends from an index of their array on, as `address:port`; '' for what is not there. */
  backends(first: number, count: number, source: Tables): string[] {
    const array = this.#find('backends');
    const held = this.#arrays.get(array.name);
    const key = this.memory.lend(4);
    return Array.from({ length: count }, (_, i) => {
      this.memory.words[key / 4] = first + i;
      const at = held === undefined ? source.lookup(array, key) : held + (first + i) * backendSize;
      if (at === 0) return '';
      const port = this.memory.bytes.readUInt16BE(at + backend.port.offset);
      return this.#endpoint(at + backend.address.offset, port);
    });
  }

  #ask(asked: Question): void {
    const { words } = this.memory;
    const at = this.#question;
    for (let i = 0; i < 4; i++) {
      words[at + question.from + i] = asked.from[i] as number;
      words[at + question.to + i] = asked.to[i] as number;
    }
    words[at + question.seedLow] = asked.seed.low;
    words[at + question.seedHigh] = asked.seed.high;
    words[at + question.fromPort] = asked.fromPort;
    words[at + question.port] = asked.port;
    words[at + question.protocol] = asked.protocol;
    words[at + question.isIPv6] = Number(asked.isIPv6);
    words[at + question.inHostNamespace] = Number(asked.inHostNamespace);
    words[at + question.ifindex] = asked.ifindex;
  }

  #read(): Decision {
    const port = this.#answered(answer.backendPort);
    const chosen = port !== 0;
    const sticky = chosen && (this.#answered(answer.flags) & ServiceFlag.AFFINITY) !== 0;
    const found = this.#answered(answer.found) !== 0;
    return {
      verdict: this.#constant(this.#answered(answer.verdict)),
      reason: this.#constant(this.#answered(answer.reason)),
      backend: chosen ? this.#endpoint((this.#answer + answer.backend) * 4, port) : undefined,
      snat: this.#answered(answer.snat) !== 0,
      affinity: sticky ? (this.#pin?.isNew ? 'new' : 'hit') : 'none',
      offer: found ? this.#readOffer() : undefined,
    };
  }

  #readOffer(): Offer {
    return {
      frontend: this.#answered(answer.frontend),
      narrowed: this.#answered(answer.narrowed) !== 0,
      first: this.#answered(answer.first),
      count: this.#answered(answer.count),
    };
  }

  #answered(word: number): number {
    return this.memory.words[this.#answer + word] as number;
  }

  #lookup(map: number, key: number): number {
    const table = this.#byMap.get(map) as Declared;
    /* The only key that is looked up after its entry was made is that of this entry. */
    if (this.#pin?.isNew && table === this.#pin.table) return this.#pin.value;
    const value = this.#source?.lookup(table, key) ?? 0;
    if (value !== 0 && table.name === 'affinities') {
      this.#pin = { table, key: this.memory.duplicate(key, table.keySize), value, isNew: false };
    }
    return value;
  }

  /** Of decisions, session affinity alone makes entries. What the module passes is on its stack. */
  #update(map: number, key: number, value: number): void {
    const table = this.#byMap.get(map) as Declared;
    this.#pin = {
      table,
      key: this.memory.duplicate(key, table.keySize),
      value: this.memory.duplicate(value, table.valueSize),
      isNew: true,
    };
  }

  #readDeclarations(): Declared[] {
    const declared: Declared[] = [];
    for (let at = this.#exports.tables.value / 4; ; at += declaration.words) {
      const word = (field: number) => this.memory.words[at + field] as number;
      if (word(declaration.name) === 0) return declared;
      const one = {
        name: this.#constant(word(declaration.name)),
        keySize: word(declaration.keySize),
        valueSize: word(declaration.valueSize),
        isTrie: word(declaration.type) === trieType,
        values: word(declaration.values) / 4,
      };
      this.#byMap.set(word(declaration.map), one);
      declared.push(one);
    }
  }

  #find(name: string): Declared {
    for (const declared of this.#byMap.values()) if (declared.name === name) return declared;
    throw new Error(`no decision reads ${name}`);
  }

  #constant(at: number): string {
    let text = this.#constants.get(at);
    if (text === undefined) {
      text = this.memory.text(at);
      this.#constants.set(at, text);
    }
    return text;
  }

  /** Of an address of 16 bytes, in which an IPv4 address may be mapped. */
  #endpoint(at: number, port: number): string {
    const bytes = this.memory.bytes.toString('latin1', at, at + addressSize);
    let address = this.#addresses.get(bytes);
    if (address === undefined) {
      address = addressOf(this.memory.bytes.subarray(at, at + addressSize));
      if (this.#addresses.size >= maxAddresses) this.#addresses.clear();
      this.#addresses.set(bytes, address);
    }
    return formatEndpoint(address, port);
  }
}

const maxAddresses = 65_536;
const mappedPrefix = Buffer.from('00000000000000000000ffff', 'hex');

function addressOf(bytes: Uint8Array): string {
  const isMapped = mappedPrefix.equals(bytes.subarray(0, mappedPrefix.length));
  return formatAddress(isMapped ? bytes.subarray(mappedPrefix.length) : bytes).text;
}

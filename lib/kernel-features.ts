import type { FeatureQuestions, Native } from '../types/native';

/* Numbers of the kernel's interface (include/uapi/linux/bpf.h), which never change. */
const programTypes = { sched_cls: 3, cgroup_sock: 9, cgroup_sock_addr: 18 } as const;
const mapTypes = {
  hash: 1,
  array: 2,
  percpu_array: 6,
  lru_hash: 9,
  lpm_trie: 11,
  sk_storage: 24,
  ringbuf: 27,
} as const;
export const helpers = {
  skb_change_head: 43,
  get_socket_cookie: 46,
  fib_lookup: 69,
  sk_lookup_udp: 85,
  skc_lookup_tcp: 99,
  sk_storage_get: 107,
  probe_read_kernel: 113,
  get_netns_cookie: 122,
  get_current_ancestor_cgroup_id: 123,
  ringbuf_reserve: 131,
  redirect_neigh: 152,
  redirect_peer: 155,
  ktime_get_coarse_ns: 160,
  loop: 181,
  set_retval: 187,
} as const;

type ProgramType = keyof typeof programTypes;

/** Something of the kernel, by the name that its documentation has for it. */
export type KernelFeature =
  | `program type ${ProgramType}`
  | `map type ${keyof typeof mapTypes}`
  | `helper bpf_${keyof typeof helpers}`
  | `kfunc ${'bpf_cast_to_kern_ctx' | 'bpf_sock_destroy'}`
  | 'tcx'
  | 'membarrier(MEMBARRIER_CMD_GLOBAL)';

/** What a part of the library needs. Helpers are those of the first program type. */
interface Needs {
  readonly programTypes: readonly [ProgramType, ...ProgramType[]];
  readonly mapTypes: readonly (keyof typeof mapTypes)[];
  readonly helpers: readonly (keyof typeof helpers)[];
}

const tables = ['hash', 'array', 'percpu_array', 'lru_hash', 'lpm_trie'] as const;

export const socketNeeds: Needs = {
  programTypes: ['cgroup_sock_addr', 'cgroup_sock'],
  mapTypes: [...tables, 'sk_storage'],
  helpers: [
    'get_socket_cookie',
    'get_netns_cookie',
    'get_current_ancestor_cgroup_id',
    'sk_storage_get',
    'probe_read_kernel',
    'ktime_get_coarse_ns',
    'set_retval',
    'loop',
  ],
};

export const deviceNeeds: Needs = {
  programTypes: ['sched_cls'],
  mapTypes: [...tables, 'ringbuf'],
  helpers: [
    'skb_change_head',
    'fib_lookup',
    'sk_lookup_udp',
    'skc_lookup_tcp',
    'ringbuf_reserve',
    'redirect_neigh',
    'redirect_peer',
    'ktime_get_coarse_ns',
    'loop',
  ],
};

const functions = ['bpf_cast_to_kern_ctx', 'bpf_sock_destroy'] as const;

/** What is needed, by the names of {@link KernelFeature}. */
export function featuresOf(needs: Needs): KernelFeature[] {
  return [
    ...needs.programTypes.map((name) => `program type ${name}` as const),
    ...needs.mapTypes.map((name) => `map type ${name}` as const),
    ...needs.helpers.map((name) => `helper bpf_${name}` as const),
  ];
}

/** What the kernel answered. */
export interface KernelAnswers {
  /** Why bpf(2) refuses to make a plain map: then nothing about programs, maps and helpers is known. */
  readonly refused: string | undefined;
  /** Those that the kernel lacks. */
  readonly missing: ReadonlySet<KernelFeature>;
}

/** Asks for everything that {@link socketNeeds}, {@link deviceNeeds} and optional parts need. */
export async function askKernel(native: Native): Promise<KernelAnswers> {
  const both = [socketNeeds, deviceNeeds];
  const types = [...new Set(both.flatMap((needs) => needs.programTypes))];
  const maps = [...new Set(both.flatMap((needs) => needs.mapTypes))];
  const calls = both.flatMap((needs) =>
    needs.helpers.map((helper) => ({ helper, programType: needs.programTypes[0] })),
  );
  const questions: FeatureQuestions = {
    programTypes: types.map((name) => programTypes[name]),
    mapTypes: maps.map((name) => mapTypes[name]),
    helpers: calls.map(({ helper, programType }) => ({
      helper: helpers[helper],
      programType: programTypes[programType],
    })),
    functions,
  };
  const answers = await native.features(questions);
  const missing = new Set<KernelFeature>();
  const note = <Name>(names: readonly Name[], has: boolean[], word: (name: Name) => KernelFeature) => {
    for (const [i, name] of names.entries()) if (!has[i]) missing.add(word(name));
  };
  note(types, answers.programTypes, (name) => `program type ${name}`);
  note(maps, answers.mapTypes, (name) => `map type ${name}`);
  note(calls, answers.helpers, ({ helper }) => `helper bpf_${helper}`);
  note(functions, answers.functions, (name) => `kfunc ${name}`);
  if (answers.tcxError === 'EINVAL') missing.add('tcx');
  if (!answers.gracePeriod) missing.add('membarrier(MEMBARRIER_CMD_GLOBAL)');
  return { refused: answers.mapError, missing };
}

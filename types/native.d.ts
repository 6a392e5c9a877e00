/**
 * What the addon (`build/Release/bpf_lb.node`) exports. It is mechanism only: it carries bytes and file
 * descriptors, and decides nothing. Everything here is private to lib/.
 *
 * Failures of system calls are plain `Error`s with `errno` (negative, as Node's), `code` (`'EPERM'`),
 * `syscall` (`'bpf_link_create'`), `target` (what it was done to: a map, program, path or device) and, for
 * verifier failures, `log` (the last 64 KiB). `code` is Node's name for the number, so 95 is `'ENOTSUP'`; the
 * kernel's 524 is `'ENOTSUPP'`, and libbpf's own numbers (from 4000) are `'ELIBBPF'`. Wrong argument types or
 * sizes are `TypeError`/`RangeError`, thrown at once also by methods that return a promise; no argument can make
 * the addon crash or touch memory outside of its buffers. Methods that return a promise work on libuv's thread
 * pool; the memory of their `Uint8Array` arguments must not be changed, resized or transferred before the
 * promise settles. After `close()` every method throws an `Error` with code `'ERR_BPF_CLOSED'`.
 */

export interface Native {
  /** Loads the programs into the kernel. Opened and verified on the thread pool. */
  load(options: LoadOptions): Promise<Datapath>;
  /** sizeof and offsetof of every struct of bpf/abi.h, as the C++ compiler sees them. */
  readonly abi: Readonly<Record<string, StructLayout>>;
  /** The network namespace of the calling thread: SO_NETNS_COOKIE and the inode of /proc/thread-self/ns/net. */
  netns(): { cookie: bigint; inode: number };
  /** Links, addresses and routes of this network namespace, or of the one at `path`: rtnetlink dumps. */
  network(path?: string): Promise<Network>;
  /** What `network()` makes of the bytes of rtnetlink messages, whatever they are: for tests. */
  parseNetwork(messages: Uint8Array): Network;
  /** SO_NETNS_COOKIE and inode of the namespace at `path` (`/run/netns/NAME`, `/proc/PID/ns/net`), asked on a thread that enters it. */
  netnsOf(path: string): Promise<{ cookie: bigint; inode: number }>;
  /**
   * Calls `onChange` after links, addresses or routes of the calling thread's network namespace have changed: rtnetlink
   * multicast. Many messages that are read in one go are one call; so is a loss of messages (ENOBUFS). Does not keep
   * the process alive. Until `close()`, which is idempotent.
   */
  watchNetwork(onChange: () => void): Watch;
  /**
   * Connects a datagram socket to `address` from a child process inside the cgroup `cgroup` (made below it and
   * removed), and says what the socket then believes. Nothing is sent. Rejects when the child cannot be made. `netns` is
   * the path of the network namespace that the socket is made in (`/proc/PID/ns/net`), if it is another one.
   */
  canary(cgroup: string, address: string, port: number, netns?: string): Promise<CanaryResult>;
  /**
   * Destroys the sockets of `records` (`struct lb_translated`, end to end) by netlink (SOCK_DESTROY), each in its network
   * namespace, and resolves with the records of those that were there. Rejects with EOPNOTSUPP where the kernel cannot
   * (CONFIG_INET_DIAG_DESTROY), with ENOENT where it has no NETLINK_SOCK_DIAG.
   */
  destroySockets(records: Uint8Array): Promise<Uint8Array>;
  /** Resolves after an RCU grace period (membarrier(2), MEMBARRIER_CMD_GLOBAL): no program still sees what was replaced before. */
  gracePeriod(): Promise<void>;
  /** mount(2) of a bpf file system on `path`, with private propagation and mode 0700. */
  mountBpffs(path: string): void;
  /** What the link that is pinned at `path` hangs on: a cgroup by its id, a device; 0: not, or not any more. */
  pinnedLink(path: string): { cgroup: bigint; ifindex: number };
  /** What the map that is pinned at `path` is like. */
  pinnedMap(path: string): MapShape;
  /** What the programs declare their maps to be, by name. */
  declaredMaps(): Readonly<Record<string, MapShape>>;
  /**
   * flock(2) of a directory, exclusively and without waiting: EAGAIN when another process, or another lock of this
   * one, has it. The kernel gives it back when the process ends.
   */
  lockDirectory(path: string): DirectoryLock;
  /**
   * Takes the program of a pinned link off its hook, at once: without the pin the kernel does so in its own time. Also
   * when the hook has gone. The pin stays.
   */
  detachLink(path: string): void;
  /**
   * Removes a clsact filter that another process left, if its program is still the one pinned at `path`, and the pin.
   * `filter` is what the link said that was pinned there.
   */
  detachFilter(path: string, ifindex: number, direction: 'ingress' | 'egress', filter: FilterPlace): void;
  /** statfs(2): the file system's magic number (0xcafe4a11 for bpffs, 0x63677270 for cgroup2). */
  filesystemType(path: string): number;
  /**
   * What this kernel has and lets the process use, each in the order of the questions. Loads tiny programs and makes
   * maps, which are gone afterwards; attaches and pins nothing.
   */
  features(questions: FeatureQuestions): Promise<FeatureAnswers>;
}

/** By the kernel's numbers (BPF_PROG_TYPE_*, BPF_MAP_TYPE_*, BPF_FUNC_*), and the names of kfuncs. */
export interface FeatureQuestions {
  programTypes: readonly number[];
  mapTypes: readonly number[];
  helpers: readonly { programType: number; helper: number }[];
  functions: readonly string[];
}

export interface FeatureAnswers {
  /** Why no plain map can be made, as in `code` of an error. */
  mapError: string | undefined;
  programTypes: boolean[];
  mapTypes: boolean[];
  helpers: boolean[];
  functions: boolean[];
  /** Why the tcx programs of the loopback device cannot be asked for: `'EINVAL'` where the kernel has no tcx. */
  tcxError: string | undefined;
  /** membarrier(2) has MEMBARRIER_CMD_GLOBAL. */
  gracePeriod: boolean;
}

/** Something that goes on until it is closed. Garbage collection closes it too. */
export interface Watch {
  close(): void;
}

/** A directory that is locked until `release()`, which is idempotent, or until it is collected. */
export interface DirectoryLock {
  release(): void;
}

export interface MapShape {
  /** BPF_MAP_TYPE_* */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  /** BPF_F_* */
  readonly flags: number;
  readonly maxEntries: number;
}

export interface StructLayout {
  readonly size: number;
  readonly fields: Readonly<Record<string, { offset: number; size: number }>>;
}

export interface LoadOptions {
  /** max_entries by map name; a map that is not named keeps what its declaration says. */
  maxEntries: Readonly<Record<string, number>>;
  /** Programs to leave out, by name. */
  skipPrograms: readonly string[];
  /** Let programs look into nf_conntrack, whose functions the kernel has to have (see `features()`). Default false. */
  readConntrack?: boolean;
  /**
   * Maps to take from bpffs, or from another datapath, instead of making them: by name. Type, key size, value size and flags have to
   * be the declared ones, and the number of elements what `maxEntries` says if it names the map. Else `EINVAL`, and
   * `log` says what differs.
   */
  reuseMaps: Readonly<Record<string, string | Datapath>>;
}

export type MapOperation =
  /**
   * bpf_map_update_batch: keys and values end to end; every key is replaced atomically. A value of a per-CPU map is
   * the values of all possible CPUs end to end, each rounded up to 8 bytes.
   */
  | { map: string; kind: 'update'; keys: Uint8Array; values: Uint8Array }
  /** bpf_map_delete_batch; keys that are absent are not an error. */
  | { map: string; kind: 'delete'; keys: Uint8Array }
  /** Stores `bytes` at byte `offset` of a memory-mapped array map; elements lie 8-byte aligned end to end. */
  | { map: string; kind: 'store'; offset: number; bytes: Uint8Array };

export interface Datapath {
  /** Runs the operations in order. On failure the error also has `operation` (index) and `done` (elements of it that were carried out). */
  commit(operations: readonly MapOperation[]): Promise<void>;
  /** The same on the calling thread, for changes so small that a change of threads would cost more. */
  commitNow(operations: readonly MapOperation[]): void;
  /** One element, or undefined. Of a per-CPU map, see `update`. */
  lookup(map: string, key: Uint8Array): Uint8Array | undefined;
  /** All elements, in batches. */
  dump(map: string): Promise<{ keys: Uint8Array; values: Uint8Array; count: number }>;
  /** A copy of bytes of a memory-mapped array map. */
  read(map: string, offset: number, length: number): Uint8Array;
  /**
   * What iterator programs write, end to end, when each runs over all sockets of each network namespace that a process is
   * in or that is mounted. Other namespaces than the calling thread's need CAP_SYS_ADMIN, and CAP_SYS_PTRACE to be
   * found by processes of other users: `refused` are the namespaces and processes that permissions hide. Those of
   * processes that this one cannot see (another PID namespace) are not counted. A program that is no iterator is a
   * `TypeError`, rejected.
   */
  iterate(programs: readonly string[]): Promise<Iteration>;
  /** `valueSize` is that of one CPU. */
  mapInfo(map: string): { id: number; type: number; keySize: number; valueSize: number; maxEntries: number };
  /** `runTime` in ns. Both counters stand still unless the sysctl kernel.bpf_stats_enabled is on. */
  programInfo(program: string): { id: number; runTime: bigint; runCount: bigint };

  /** bpf_link on a cgroup v2 directory. A program that belongs to another kind of hook is a `TypeError`, rejected. */
  attachCgroup(program: string, path: string): Promise<Link>;
  /** tcx link (Linux 6.6). Rejects with EINVAL or ENOTSUP where the kernel has none. */
  attachTcx(program: string, ifindex: number): Promise<Link>;
  /**
   * clsact filter; the qdisc is made on demand and left in place because others may use it. The kernel does not know
   * whose filter it is: `process.exit()` or a kill without `close()` before leaves it there.
   */
  attachClsact(program: string, ifindex: number, direction: 'ingress' | 'egress'): Promise<Link>;

  /**
   * Takes over the link that is pinned at `path`: gives it this datapath's program, between two runs of the old one. The
   * pin keeps it attached.
   */
  adoptLink(program: string, path: string): Promise<Link>;
  /** The same for a clsact filter whose program is pinned at `path`. ENOENT when another one is in its place. */
  adoptFilter(
    program: string,
    path: string,
    ifindex: number,
    direction: 'ingress' | 'egress',
    filter: FilterPlace,
  ): Promise<Link>;

  /**
   * The programs on the hook of one of ours at the cgroup directory `path`, in the order in which they run: those that are
   * attached to it, or, if `effective`, those that its sockets meet. `multi`: whoever attached them lets others do so, too;
   * says nothing if `effective`. A name is '' where the process may not ask for it.
   */
  cgroupPrograms(
    program: string,
    path: string,
    effective: boolean,
  ): { multi: boolean; programs: { id: number; name: string }[] };

  pinMap(map: string, path: string): void;
  /**
   * Calls `onRecord` for every record of a BPF ring buffer, on the event loop, at most 256 in a row before others get
   * their turn. Does not keep the process alive. Ends with `close()` of either the watch or the datapath.
   */
  watchRing(map: string, onRecord: (record: Uint8Array) => void): Watch;
  /**
   * BPF_PROG_TEST_RUN on a packet (tc programs), from its Ethernet header. `ifindex` is the device that it seems to
   * have come from. Defaults: the loopback device, one run, mark 0, no BPF_F_TEST_* flags.
   */
  testRun(
    program: string,
    options: { data: Uint8Array; ifindex?: number; repeat?: number; mark?: number; flags?: number },
  ): {
    retval: number;
    /** The packet afterwards; it may have grown by up to 256 bytes. */
    data: Uint8Array;
    /** skb->mark afterwards. */
    mark: number;
    /** Average over the repeats, ns. */
    duration: number;
  };
  /** Frees every kernel object that is not pinned; links are detached unless pinned. Idempotent. */
  close(): void;
}

export interface Iteration {
  readonly records: Uint8Array;
  /** That were visited. */
  readonly namespaces: number;
  readonly refused: number;
}

/** Tells one clsact filter from the others of the same device and direction. */
export interface FilterPlace {
  readonly priority: number;
  readonly handle: number;
}

/** A program at a hook. Unless it is pinned, it is detached when it is collected, or by `close()` of its datapath. */
export interface Link {
  /** Kernel's link id; 0 for a clsact filter. */
  readonly id: number;
  /** Undefined for a link. */
  readonly filter: FilterPlace | undefined;
  /** Puts a program of `datapath`, which it belongs to from then on, in the place of the present one, between two runs. */
  update(datapath: Datapath, program: string): void;
  /** Pins the link, or the program of a clsact filter. From then on it outlives `close()`. */
  pin(path: string): void;
  /** Whether the kernel still has the program at this hook. */
  attached(): boolean;
  /** The same, and whether another program is in the link, or in the filter's place. */
  state(): 'attached' | 'replaced' | 'detached';
  /** Id of the cgroup that it is attached to, which is the inode of its directory; 0n: none, or not any more. */
  cgroup(): bigint;
  /** Removes the program from the hook and the pins made with `pin()`. Idempotent; no effect after `close()`. */
  detach(): void;
}

export interface Network {
  links: {
    ifindex: number;
    name: string;
    /** IFF_* */
    flags: number;
    /** IFLA_INFO_KIND: 'veth', 'bridge', ...; '' for hardware. */
    kind: string;
    /** ifindex of the bridge or bond it is enslaved to, or 0. */
    master: number;
    mtu: number;
    /** IFLA_LINK_NETNSID: what it is linked to (IFLA_LINK), such as the other end of a veth, is in another namespace. */
    leadsToAnotherNamespace: boolean;
    /** ARPHRD_* */
    type: number;
  }[];
  addresses: {
    ifindex: number;
    /** 4 or 16 bytes. */
    address: Uint8Array;
    prefixLength: number;
    /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
    scope: number;
    /** IFA_F_*: 0x01 secondary (IPv4) or temporary (IPv6), 0x40 tentative, ... */
    flags: number;
  }[];
  /** Unicast routes of all tables. */
  routes: {
    family: 4 | 6;
    ifindex: number;
    destination: Uint8Array;
    prefixLength: number;
    metric: number;
    gateway: boolean;
    table: number;
  }[];
}

export interface CanaryResult {
  /** 0, or the positive errno of connect(). */
  connectErrno: number;
  /** getsockname() as text; '' when not connected. */
  local: string;
  /** getpeername() as text with port; '' when not connected. */
  peer: string;
}

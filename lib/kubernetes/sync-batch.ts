import { constants } from 'node:os';

import type { ErrorCode } from '../errors';

/** Something to do about one service. */
export interface Operation {
  readonly service: string;
  run(): Promise<unknown>;
}

const { E2BIG, ENOSPC, ENOMEM } = constants.errno;

/** Codes of errors that are about one service, whatever it is called with. */
const ofService: ReadonlySet<unknown> = new Set<ErrorCode>([
  'ERR_BPF_INVALID_NAME',
  'ERR_BPF_INVALID_ADDRESS',
  'ERR_BPF_INVALID_PORT',
  'ERR_BPF_INVALID_PROTOCOL',
  'ERR_BPF_INVALID_FRONTEND',
  'ERR_BPF_INVALID_BACKEND',
  'ERR_BPF_INVALID_OPTION',
  'ERR_BPF_MIXED_FAMILIES',
  'ERR_BPF_DUPLICATE_FRONTEND',
  'ERR_BPF_MAP_FULL',
]);

/** The `code` of an error, for reports. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'UNKNOWN';
}

/** Whether the service cannot be served, or not for want of room. Anything else is wrong with the datapath. */
export function isOfService(error: unknown): boolean {
  return (
    ofService.has(codeOf(error)) || (isRefusal(error) && [E2BIG, ENOSPC, ENOMEM].includes(-errnoOf(error)))
  );
}

/** The kernel has refused a commit, and thereby all that was called in one tick. */
function isRefusal(error: unknown): boolean {
  return codeOf(error) === 'ERR_BPF_SYSCALL' && errnoOf(error) !== 0;
}

function errnoOf(error: unknown): number {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? error.errno : 0;
}

/**
 * Carries out operations in their order, all in one tick. When the kernel refuses the commit, halves are tried, one
 * after the other, until what it refuses stands alone. Returns the services that failed, each by its last operation.
 */
export async function carryOut(operations: readonly Operation[]): Promise<Map<string, Error>> {
  const outcomes = await outcomesOf(operations);
  const failures = new Map<string, Error>();
  for (const [i, { service }] of operations.entries()) {
    const error = outcomes[i];
    if (error) failures.set(service, error);
    else failures.delete(service);
  }
  return failures;
}

/** The error of each operation; undefined for those that succeeded. */
async function outcomesOf(operations: readonly Operation[]): Promise<(Error | undefined)[]> {
  const results = await Promise.allSettled(operations.map(async (operation) => operation.run()));
  const outcomes = results.map((result) =>
    result.status === 'rejected' ? (result.reason as Error) : undefined,
  );
  const refused = [...outcomes.keys()].filter((i) => isRefusal(outcomes[i]));
  if (refused.length < 2) return outcomes;
  const middle = Math.ceil(refused.length / 2);
  for (const half of [refused.slice(0, middle), refused.slice(middle)]) {
    const again = await outcomesOf(half.map((i) => operations[i] as Operation));
    for (const [n, i] of half.entries()) outcomes[i] = again[n];
  }
  return outcomes;
}

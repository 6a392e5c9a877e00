import { inspect } from 'node:util';

import { LoadBalancerError } from '../errors';

/** One setting that cannot be used. */
export interface ConfigurationProblem {
  /** As the source spells it: `bpf-lb-mode`, `conntrack.udpTimeout`. */
  readonly key: string;
  readonly value: unknown;
  /** What is wrong with the value and what is possible. */
  readonly reason: string;
}

/** A configuration asks for what bpf-lb does not do, or is malformed. Code `ERR_BPF_INVALID_OPTION`. */
export class ConfigurationError extends LoadBalancerError {
  /** All that was found, not only the first. */
  readonly problems: readonly ConfigurationProblem[];

  constructor(source: string, problems: readonly ConfigurationProblem[]) {
    const lines = problems.map(({ key, value, reason }) => `${key}: ${inspect(value)}: ${reason}`);
    const list = lines.length === 1 ? ` ${lines[0]}` : lines.map((line) => `\n- ${line}`).join('');
    super('ERR_BPF_INVALID_OPTION', `${source}:${list}`);
    this.problems = problems;
  }
}

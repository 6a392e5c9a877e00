import type { Algorithm, FrontendType, SourceRangesPolicy } from '../spec';
import { show } from './json';
import { parseLabelSelector, type Requirement } from './labels';
import type { Findings } from './warnings';

/** Prefix of the annotations of this library. */
export const defaultAnnotationPrefix = 'service.bpf-lb.io/';

/** Understood beside the prefix of this library, which comes first. */
const aliasPrefix = 'service.cilium.io/';

/** What annotations of a Service ask for. */
export interface ServiceAnnotations {
  readonly algorithm?: Algorithm;
  readonly sourceRangesPolicy?: SourceRangesPolicy;
  /** Types of the frontends that are made; absent: all. */
  readonly types?: readonly FrontendType[];
  /** Nodes that serve it: those whose labels meet all requirements of one of these lists; absent: all. */
  readonly nodes?: readonly (readonly Requirement[])[];
}

const algorithms: readonly Algorithm[] = ['random', 'maglev', 'least-connections'];
const types: readonly FrontendType[] = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalIPs'];
const known = ['lb-algorithm', 'forwarding-mode', 'src-ranges-policy', 'type', 'node', 'node-selector'];

/** Reads the annotations below both prefixes. */
export function readAnnotations(
  annotations: ReadonlyMap<string, string>,
  prefix: string,
  findings: Findings,
): ServiceAnnotations {
  const prefixes = [prefix, aliasPrefix];
  const values = new Map<string, string>();
  for (const [name, value] of annotations) {
    const used = prefixes.find((p) => name.startsWith(p));
    if (used === undefined) continue;
    const short = name.slice(used.length);
    if (!known.includes(short)) findings.add('UnsupportedAnnotation', `${name} is not supported`);
    else if (used === prefix || !annotations.has(prefix + short)) values.set(short, value);
  }
  return new Reader(values, prefixes, findings).read();
}

class Reader {
  readonly #values: ReadonlyMap<string, string>;
  readonly #prefixes: readonly string[];
  readonly #findings: Findings;

  constructor(values: ReadonlyMap<string, string>, prefixes: readonly string[], findings: Findings) {
    this.#values = values;
    this.#prefixes = prefixes;
    this.#findings = findings;
  }

  read(): ServiceAnnotations {
    this.#checkForwardingMode();
    const algorithm = this.#oneOf('lb-algorithm', algorithms);
    const sourceRangesPolicy = this.#oneOf('src-ranges-policy', ['allow', 'deny'] as const);
    const [types, nodes] = [this.#types(), this.#nodes()];
    return {
      ...(algorithm && { algorithm }),
      ...(sourceRangesPolicy && { sourceRangesPolicy }),
      ...(types && { types }),
      ...(nodes && { nodes }),
    };
  }

  #checkForwardingMode(): void {
    const mode = this.#values.get('forwarding-mode');
    if (mode === undefined || mode === 'snat') return;
    this.#findings.add('UnsupportedAnnotation', `forwarding-mode ${show(mode)}: snat is used`);
  }

  #oneOf<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#values.get(name);
    if (value === undefined) return undefined;
    const choice = choices.find((c) => c === value);
    if (!choice) this.#invalid(name, value, `use one of ${choices.join(', ')}`);
    return choice;
  }

  /* A type that is misspelt is not made: the Service is then reachable in fewer ways than meant, not in more. */
  #types(): FrontendType[] | undefined {
    const value = this.#values.get('type');
    if (value === undefined) return undefined;
    const asked = value.split(',').map((type) => type.trim());
    const unknown = asked.filter((type) => !types.some((t) => t === type));
    if (unknown.length > 0) this.#invalid('type', unknown.join(', '), `use some of ${types.join(', ')}`);
    return types.filter((type) => asked.includes(type));
  }

  /* A selector that cannot be read selects no node, for the same reason. */
  #nodes(): Requirement[][] | undefined {
    const selector = this.#values.get('node-selector');
    if (selector !== undefined) {
      const requirements = parseLabelSelector(selector);
      if (!requirements) this.#invalid('node-selector', selector, 'it is not a label selector');
      return requirements ? [requirements] : [];
    }
    const node = this.#values.get('node');
    if (node === undefined) return undefined;
    return this.#prefixes.map((prefix) => [{ key: `${prefix}node`, operator: 'In', values: [node] }]);
  }

  #invalid(name: string, value: string, hint: string): void {
    this.#findings.add('InvalidAnnotation', `${name} ${show(value)}: ${hint}`);
  }
}

import { ApiError } from './responses';
import { parseSelector } from './selector';
import { type KubeObject, type Resource, resources } from './store';

/** What a request is about. */
export interface Target {
  readonly resource: Resource;
  readonly namespace?: string;
  readonly name?: string;
}

/** Whether an object is among those that a request is about. */
export type Selection = (object: KubeObject | undefined) => boolean;

export function findResource(name: string): Resource {
  const resource = resources.find((r) => r.name === name);
  if (!resource) throw new Error(`There is no resource ${name}`);
  return resource;
}

/** Undefined for paths of other resources. */
export function parsePath(path: string): Target | undefined {
  for (const resource of resources) {
    const group = resource.apiVersion === 'v1' ? '/api/v1' : `/apis/${resource.apiVersion}`;
    if (!path.startsWith(`${group}/`)) continue;
    const match = new RegExp(`^(?:namespaces/([^/]+)/)?${resource.name}(?:/([^/]+))?$`).exec(
      path.slice(group.length + 1),
    );
    if (!match) continue;
    const [, namespace, name] = match;
    return { resource, ...(namespace ? { namespace } : {}), ...(name ? { name } : {}) };
  }
  return undefined;
}

/** Of a list or watch. */
export function parseSelection(query: URLSearchParams, namespace: string | undefined): Selection {
  const labels = attempt(() => parseSelector(query.get('labelSelector') ?? ''));
  const fields = parseFields(query.get('fieldSelector') ?? '');
  return (object) =>
    object !== undefined &&
    labels(object.metadata.labels ?? {}) &&
    fields(object) &&
    (namespace === undefined || object.metadata.namespace === namespace);
}

const fields: Readonly<Record<string, (object: KubeObject) => unknown>> = {
  'metadata.name': ({ metadata }) => metadata.name,
  'metadata.namespace': ({ metadata }) => metadata.namespace,
  'spec.nodeName': ({ spec }) => (spec as { nodeName?: string } | undefined)?.nodeName,
};

function parseFields(text: string): (object: KubeObject) => boolean {
  const conditions = text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const [, name = '', value = ''] = /^([^=!]+)==?(.*)$/.exec(part) ?? [];
      const field = fields[name];
      if (!field) throw new ApiError(400, 'BadRequest', `field label not supported: ${part}`);
      return (object: KubeObject) => field(object) === value;
    });
  return (object) => conditions.every((holds) => holds(object));
}

function attempt<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new ApiError(400, 'BadRequest', (error as Error).message);
  }
}

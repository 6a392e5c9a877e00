import type { BackendSpec, FrontendSpec, ServiceSpec } from 'bpf-lb';
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';

/** The file is not what it has to be. */
export class FileError extends Error {
  /** Counted from 1. */
  readonly line: number;

  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** Services, and where in the file they are. */
export interface ServicesFile {
  readonly services: readonly ServiceSpec[];
  /** The line of a service, or of the part of it that bpf-lb's message is about. */
  lineOf(index: number, message: string): number;
}

/* Misspelt, an optional field would have no effect, and nobody would know. */
const serviceFields: readonly (keyof ServiceSpec)[] = [
  'name',
  'frontends',
  'backends',
  'externalTrafficPolicy',
  'internalTrafficPolicy',
  'algorithm',
  'maglevTableSize',
  'sessionAffinity',
  'sessionAffinityTimeout',
  'sourceRanges',
  'sourceRangesPolicy',
];
const partFields: Readonly<Record<string, readonly string[]>> = {
  frontends: ['type', 'address', 'port', 'protocol'] satisfies (keyof FrontendSpec)[],
  backends: ['address', 'port', 'weight', 'state', 'local'] satisfies (keyof BackendSpec)[],
};

/** Values are for bpf-lb to check; this checks the form, and throws a FileError. */
export function parseServices(text: string): ServicesFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  /** The line where what is at the path begins, or else what would hold it. */
  const lineAt = (path: readonly (string | number)[]): number => {
    const [holder, last] = [document.getIn(path.slice(0, -1), true), path.at(-1)];
    const field = isMap(holder) && holder.items.find(({ key }) => isScalar(key) && key.value === last)?.key;
    const node: unknown = field || document.getIn(path, true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    return path.length > 0 ? lineAt(path.slice(0, -1)) : 1;
  };
  const checkFields = (value: unknown, known: readonly string[], path: readonly (string | number)[]) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new FileError(
        `${path.join('.') || 'the file'} has to have fields: ${known.join(', ')}`,
        lineAt(path),
      );
    const unknown = Object.keys(value).find((field) => !known.includes(field));
    if (unknown !== undefined)
      throw new FileError(
        `unknown field ${unknown}; there are ${known.join(', ')}`,
        lineAt([...path, unknown]),
      );
  };

  const [error] = document.errors;
  if (error) throw new FileError(error.message, lines.linePos(error.pos[0]).line);
  const content: unknown = document.toJS();
  checkFields(content, ['services'], []);
  const { services } = content as { services: unknown };
  if (!Array.isArray(services)) throw new FileError('services has to be a list', lineAt(['services']));
  services.forEach((service: Record<string, unknown>, i) => {
    checkFields(service, serviceFields, ['services', i]);
    for (const [list, fields] of Object.entries(partFields)) {
      const parts = service[list];
      if (!Array.isArray(parts))
        throw new FileError(`${list} has to be a list`, lineAt(['services', i, list]));
      parts.forEach((part, j) => checkFields(part, fields, ['services', i, list, j]));
    }
  });
  const lineOf = (index: number, message: string) => {
    const [, list = '', element = '', field = ''] =
      /: (\w+)(?:\[(\d+)\](?:\.(\w+))?)?:? /.exec(message) ?? [];
    return lineAt([
      'services',
      index,
      list,
      ...(element ? [Number(element)] : []),
      ...(field ? [field] : []),
    ]);
  };
  return { services: services as ServiceSpec[], lineOf };
}

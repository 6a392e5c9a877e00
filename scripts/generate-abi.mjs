// Writes lib/abi.ts from the BTF of bpf/abi.h (build/bpf/abi.o, see build-bpf.sh).
// Usage: node scripts/generate-abi.mjs [--check]; --check writes nothing and exits 1 when the file is not current.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = `${root}lib/abi.ts`;

const bpftool = process.env.BPFTOOL ?? 'bpftool';
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
const btf = JSON.parse(
  execFileSync(bpftool, ['-j', 'btf', 'dump', 'file', `${root}build/bpf/abi.o`], { env, encoding: 'utf8' }),
);
const types = new Map(btf.types.map((type) => [type.id, type]));

function sizeOf(id) {
  const type = types.get(id);
  switch (type.kind) {
    case 'ARRAY':
      return type.nr_elems * sizeOf(type.type_id);
    case 'INT':
    case 'ENUM':
    case 'ENUM64':
    case 'STRUCT':
    case 'UNION':
      return type.size;
    case 'TYPEDEF':
    case 'CONST':
    case 'VOLATILE':
      return sizeOf(type.type_id);
    default:
      throw new Error(`abi.h must not hold a ${type.kind}`);
  }
}

/** [name, { offset, size }] of every field; those of an unnamed struct or union count as the outer one's. */
function fieldsOf(type, base = 0) {
  return type.members.flatMap(({ name, type_id, bits_offset, bitfield_size }) => {
    if (bitfield_size) throw new Error(`${type.name}.${name} is a bit field`);
    const offset = base + bits_offset / 8;
    if (name === '(anon)') return fieldsOf(types.get(type_id), offset);
    return [[name, { offset, size: sizeOf(type_id) }]];
  });
}

/** lb_service_flag -> ServiceFlag */
const constantName = (name) =>
  name
    .split('_')
    .slice(1)
    .map((word) => word[0].toUpperCase() + word.slice(1))
    .join('');

/** LB_SERVICE_SOCKET of lb_service_flag -> SOCKET: without the words that the enum's name already says. */
function enumeratorName(name, enumName) {
  const own = name.split('_');
  const said = enumName.toUpperCase().split('_');
  const first = own.findIndex((word, i) => word !== said[i]);
  return own.slice(first).join('_');
}

const ours = btf.types.filter(({ name }) => name.startsWith('lb_'));
const layouts = ours
  .filter(({ kind }) => kind === 'STRUCT' || kind === 'UNION')
  .map((type) => [type.name, { size: type.size, fields: Object.fromEntries(fieldsOf(type)) }]);
const enums = ours
  .filter(({ kind }) => kind.startsWith('ENUM'))
  .map(({ name, values }) => {
    const constants = values.map((value) => [enumeratorName(value.name, name), value.val]);
    return `
      /** \`enum ${name}\` */
      export const ${constantName(name)} = ${JSON.stringify(Object.fromEntries(constants))} as const;`;
  });

const source = `
  // Generated from bpf/abi.h by scripts/generate-abi.mjs. Do not edit.

  /** Size and field offsets, in bytes, of every struct that both sides of the kernel boundary read. */
  export const layouts = ${JSON.stringify(Object.fromEntries(layouts))} as const;
  ${enums.join('\n')}
`;
const formatted = await format(source, {
  ...(await resolveConfig(output)),
  parser: 'typescript',
  objectWrap: 'collapse',
});

function current() {
  try {
    return readFileSync(output, 'utf8') === formatted;
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

if (!current()) {
  if (process.argv.includes('--check')) {
    process.stderr.write('lib/abi.ts is not what bpf/abi.h says: run `npm run build:bpf`.\n');
    process.exit(1);
  }
  writeFileSync(output, formatted);
}

'use strict';

// The C and C++ files of the addon and of the vendored libraries: the one list that binding.gyp, CMakeLists.txt
// and fetch-vendor.sh read. Usage: node sources.js addon|libbpf|libelf [PREFIX]; paths are relative to native/.

const fs = require('node:fs');
const path = require('node:path');

const native = path.join(__dirname, '..');
const within = (folder, names) => names.map((name) => `${folder}/${name}.c`);

// All of libbpf but linker.c, which serves bpftool only and would pull in the half of libelf that writes files.
const libbpf = [
  'bpf bpf_prog_linfo btf btf_dump btf_iter btf_relocate elf features gen_loader hashmap libbpf libbpf_errno',
  'libbpf_probes netlink nlattr relo_core ringbuf str_error strset usdt zip',
];

// What the linker takes from libelf for these: reading, of both classes and byte orders.
const libelf = [
  'elf32_getchdr elf32_getphdr elf32_getshdr elf32_xlatetof elf64_getchdr elf64_getehdr elf64_getphdr',
  'elf64_getshdr elf64_xlatetof elf_begin elf_compress elf_end elf_error elf_getdata elf_getphdrnum elf_getscn',
  'elf_getshdrnum elf_getshdrstrndx elf_kind elf_memory elf_ndxscn elf_nextscn elf_rawdata elf_strptr',
  'elf_version gelf_fsize gelf_getchdr gelf_getclass gelf_getehdr gelf_getnote gelf_getphdr gelf_getshdr',
  'gelf_getsym gelf_getverdaux gelf_getverdef gelf_getversym gelf_xlate gelf_xlatetof',
];

const words = (lines) => lines.join(' ').split(' ');

const sources = {
  addon: () =>
    fs
      .readdirSync(path.join(native, 'src'))
      .filter((name) => name.endsWith('.cc'))
      .sort()
      .map((name) => `src/${name}`),
  libbpf: () => within('vendor/libbpf/src', words(libbpf)),
  libelf: () => [...within('vendor/elfutils/libelf', words(libelf)), 'vendor/elfutils/lib/eu-search.c'],
};

const [set, prefix = ''] = process.argv.slice(2);
console.log(
  sources[set]()
    .map((file) => prefix + file)
    .join('\n'),
);

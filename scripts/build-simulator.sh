#!/usr/bin/env bash
# Compiles the decisions of bpf/ to WebAssembly, for lib/simulator: prebuilds/wasm/simulator.wasm, which runs on every
# machine.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly out=build/wasm module=prebuilds/wasm/simulator.wasm
readonly clang=${CLANG:-clang-19} linker=${WASM_LD:-wasm-ld-19}

inputs=$({ LC_ALL=C cat bpf/*.h bpf/wasm/*.c bpf/wasm/bpf/*.h native/vendor/VERSIONS "$0" && "$clang" --version && "$linker" --version; } | sha256sum)
if [ -e "$module" ] && [ "$(cat "$out/inputs.sha256" 2>/dev/null)" = "$inputs" ]; then exit 0; fi

echo 'build-simulator: compiling the decisions of the BPF programs to WebAssembly'
rm -rf "$out"
mkdir -p "$out" "$(dirname "$module")"

# As the programs are compiled, but for the header that stands for the kernel's helpers: bpf/wasm/bpf/bpf_helpers.h.
"$clang" --target=wasm32 -mbulk-memory -ffreestanding -nostdlib -fvisibility=hidden \
  -O2 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror \
  -Ibpf/wasm -Ibpf -isystem native/vendor/include -isystem native/vendor/libbpf/include/uapi \
  -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
  -c bpf/wasm/simulator.c -o "$out/simulator.o"
"$linker" --no-entry --gc-sections --strip-all --export-dynamic --export=__heap_base \
  "$out/simulator.o" -o "$out/simulator.wasm"
chmod 644 "$out/simulator.wasm"
mv "$out/simulator.wasm" "$module"
echo "$inputs" >"$out/inputs.sha256"

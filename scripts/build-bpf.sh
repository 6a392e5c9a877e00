#!/usr/bin/env bash
# Compiles bpf/*.bpf.c, links them to one object and makes the skeleton that the addon includes:
# native/generated/bpf_lb.skel.h. Nothing of the running kernel takes part: the headers are libbpf's.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly out=build/bpf skeleton=native/generated/bpf_lb.skel.h
readonly clang=${CLANG:-clang-19} strip=${LLVM_STRIP:-llvm-strip-19} bpftool=${BPFTOOL:-bpftool} cpu=${BPF_CPU:-v3}

# Debian keeps bpftool in /usr/sbin, which is not in every user's path.
PATH=$PATH:/usr/sbin
# The order of the sources is the order of maps and programs: it must not depend on the locale.
export LC_ALL=C

inputs=$({ cat bpf/*.h bpf/*.bpf.c native/vendor/VERSIONS "$0" && echo "$cpu" && "$clang" --version && "$bpftool" version; } | sha256sum)
if [ -e "$skeleton" ] && [ "$(cat "$out/inputs.sha256" 2>/dev/null)" = "$inputs" ]; then exit 0; fi

echo 'build-bpf: compiling the BPF programs'
rm -rf "$out"
mkdir -p "$out" "$(dirname "$skeleton")"

# <asm/types.h> is the one header that is the architecture's own.
readonly flags=(-target bpf -mcpu=$cpu -g -O2 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror
  -Ibpf -isystem native/vendor/include -isystem native/vendor/libbpf/include/uapi
  -idirafter "/usr/include/$(uname -m)-linux-gnu" "-ffile-prefix-map=$PWD=.")

objects=() compilers=()
for source in bpf/*.bpf.c; do
  object=$out/$(basename "$source" .c).o
  objects+=("$object")
  "$clang" "${flags[@]}" -c "$source" -o "$object" &
  compilers+=($!)
done
for compiler in "${compilers[@]}"; do wait "$compiler"; done

# BTF holds what is used, so one variable of every type of abi.h stands for the programs' use of it.
{
  echo '#include "abi.h"'
  sed -nE 's/^(struct|enum) (lb_[a-z0-9_]+) \{.*/\1 \2 a_\2;/p' bpf/abi.h
} | "$clang" "${flags[@]}" -x c -c - -o "$out/abi.o"

"$bpftool" gen object "$out/bpf_lb.bpf.o" "${objects[@]}"
# The DWARF goes, the BTF stays.
"$strip" -g "$out/bpf_lb.bpf.o"
"$bpftool" gen skeleton "$out/bpf_lb.bpf.o" name bpf_lb >"$out/bpf_lb.skel.h"
mv "$out/bpf_lb.skel.h" "$skeleton"
echo "$inputs" >"$out/inputs.sha256"

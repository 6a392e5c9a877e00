#!/usr/bin/env bash
# Measures bpf-lb beside doing without it, kube-proxy's rules and programs that do nothing. Takes some minutes.
#
#   bench.sh [--json FILE] [--only yardstick|connect|datagrams|hooks|packets|traffic|control-plane|kubernetes]... [--quick]
#
# Everything happens in namespaces, mounts and cgroups of its own, which are gone afterwards, also after a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/step.sh
# Where Debian keeps bpftool is not in every user's path.
PATH=$PATH:/usr/sbin

[ "$(id -u)" = 0 ] || fail 'bench: this needs root, to make network namespaces and load programs: use sudo.'
# Two at a time would measure each other.
exec 8<scripts/bench.sh
flock --nonblock 8 || fail 'bench: another one is running.'

bash scripts/setup.sh

readonly scripts=build/bench tools=build/bench/tools
compile_tools() {
  local source
  mkdir -p "$tools"
  node_modules/.bin/tsc -p bench/tsconfig.json
  for source in bench/*.bpf.c; do
    "${CLANG:-clang-19}" -target bpf -mcpu=v3 -g -O2 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror \
      -isystem native/vendor/include -isystem native/vendor/libbpf/include/uapi \
      -idirafter "/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "$tools/$(basename "$source" .c).o"
  done
  bpftool gen skeleton "$tools/packets.bpf.o" name packets_bpf >"$tools/packets.skel.h"
  # With libbpf and libelf as they were built for the addon; zlib's development files are not needed.
  for source in bench/*.c; do
    case $source in *.bpf.c) continue ;; esac
    gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror "-I$tools" -isystem native/vendor/include \
      -isystem native/vendor/libbpf/include/uapi -o "$tools/$(basename "$source" .c)" "$source" \
      build/Release/bpf.a build/Release/elf.a -l:libz.so.1
  done
}
step build/.stamps/bench 'bench: compiling the tools' bench lib types tsconfig.json \
  native/vendor/VERSIONS scripts/bench.sh -- compile_tools

hierarchy=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
[ -n "$hierarchy" ] || fail 'bench: no cgroup v2 hierarchy is mounted: run mount -t cgroup2 none /sys/fs/cgroup/unified'
readonly cgroup=$hierarchy/bpf-lb-bench
work=$(mktemp -d)
readonly work

# A cgroup can be removed a moment after its last process has gone.
remove_cgroup() {
  local attempt
  for attempt in $(seq 50); do
    if [ ! -e "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "bench: $cgroup cannot be removed" >&2
}

clean_up() {
  if [ -n "${measuring-}" ]; then
    kill -KILL "$measuring" 2>/dev/null || true # all that it has started goes with it
    wait "$measuring" 2>/dev/null || true
  fi
  remove_cgroup
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

remove_cgroup # that of a run whose end was cut short
mkdir "$cgroup"
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
  node "$scripts/main.js" --cgroup "$cgroup" --work "$work" --tools "$PWD/$tools" "$@" &
measuring=$!
status=0
wait "$measuring" || status=$?
measuring=
exit "$status"

#!/usr/bin/env bash
# Everything between a fresh clone and a library that works: Debian packages, npm packages, vendored sources, BPF
# programs, addon, dist/. Safe to run again; a step whose inputs have not changed is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

# Two set-ups at a time would build into each other's files.
exec 9<scripts/setup.sh
flock 9

source scripts/step.sh
source scripts/debian.sh

check_machine() {
  [ "$(uname -s)" = Linux ] || fail 'setup: bpf-lb runs on Linux only; on other systems use a Linux virtual machine.'
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) fail "setup: there is no build for $(uname -m): use an x86_64 or aarch64 machine." ;;
  esac
  command -v node >/dev/null || fail 'setup: Node.js is missing: install Node.js 20.19 or later.'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "setup: Node.js $(node --version) is too old: install Node.js 20.19 or later."
  if [ "$(printf '6.1\n%s\n' "$(uname -r)" | sort -V | head -n 1)" != 6.1 ]; then
    echo "setup: Linux $(uname -r) can build bpf-lb but not run it: that needs Linux 6.1 or later." >&2
  fi
}

# What builds (clang-19 to bzip2), what checks the code (clang-format-19, cmake), what the tests and examples use.
readonly packages=(
  clang-19 lld-19 llvm-19 bpftool g++ make python3 bzip2
  clang-format-19 cmake
  curl iproute2 nftables iptables nginx-light openssl procps util-linux
)

check_machine
install_packages "${packages[@]}"
step node_modules/.setup-stamp 'setup: installing npm packages' package-lock.json -- npm ci
scripts/fetch-vendor.sh
scripts/build-bpf.sh
scripts/build-simulator.sh
step build/.stamps/abi 'setup: checking lib/abi.ts' lib/abi.ts build/bpf/abi.o scripts/generate-abi.mjs -- \
  node scripts/generate-abi.mjs --check
step build/.stamps/native 'setup: compiling the addon (about half a minute)' "${addon_inputs[@]}" -- npm run build:native
step build/.stamps/ts 'setup: compiling the TypeScript' lib types tsconfig.json tsconfig.build.json \
  scripts/write-esm-wrapper.mjs -- npm run build:ts

#!/usr/bin/env bash
# The addon's own tests under AddressSanitizer and UndefinedBehaviorSanitizer (developer's build, native/CMakeLists.txt).
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cmake >/dev/null || {
  echo 'test-sanitized: CMake is missing; run: apt-get install cmake' >&2
  exit 1
}
bash scripts/setup.sh
node_modules/.bin/cmake-js --directory native --out native/build --debug --parallel "$(nproc)" --log-level warn build

# The sanitizers' libraries must come before node's. What V8 leaves at exit would drown leaks of ours, so leaks are
# not looked for.
# node-gyp-build takes the addon from here instead of build/.
export BPF_LB_PREBUILD=$PWD/native
LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  exec node node_modules/mocha/bin/mocha.js 'test/native/**/*.test.ts' "$@"

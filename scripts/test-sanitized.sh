#!/usr/bin/env bash
# The addon's own tests, and malformed input, under AddressSanitizer and UndefinedBehaviorSanitizer (developer's build,
# native/CMakeLists.txt); then what processes left behind that the addon had allocated. `--bounded`: repeats less, for CI.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/step.sh

if [ "${1:-}" = --bounded ]; then
  export BPF_LB_TEST_BOUNDED=1
  shift
fi

bash scripts/setup.sh
node_modules/.bin/cmake-js --directory native --out native/build --debug --parallel "$(nproc)" --log-level warn build

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/reports"

# Node itself leaves things at exit, which must not fail a process: reports are read afterwards.
common=(abort_on_error=1 exitcode=0 "log_path=$work/reports/report" 'stack_trace_format="    #%n %f %S %M"')
colons() { (IFS=: && echo "$*"); }

# The sanitizers' libraries must come before node's. node-gyp-build takes the addon from BPF_LB_PREBUILD instead of build/.
(
  export BPF_LB_PREBUILD=$PWD/native
  ASAN_OPTIONS=$(colons "${common[@]}" detect_leaks=1 malloc_context_size=12)
  UBSAN_OPTIONS=$(colons "${common[@]}" halt_on_error=1 print_stacktrace=1)
  LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)
  export ASAN_OPTIONS UBSAN_OPTIONS LD_PRELOAD
  exec node node_modules/mocha/bin/mocha.js --ignore test/native/soak.test.ts \
    'test/native/**/*.test.ts' test/program/malformed-input.test.ts "$@"
) >"$work/tests" 2>&1 && failed=0 || failed=1
node scripts/sanitizer-reports.mjs "$work/reports" >"$work/leaks" || failed=1
grep -hvE '^[0-9]+ passed, ' "$work/tests" "$work/leaks"
scripts/sum-tests.sh 2 "$work/tests" "$work/leaks" || failed=1
exit "$failed"

#!/usr/bin/env bash
# All that has to be right before a change lands: builds, static checks, types, tests. Tests that need root say so.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  echo "== $1"
  shift
  "$@"
}

tests() {
  exec node_modules/.bin/mocha --forbid-only "test/$1/**/*.test.ts"
}

step set-up bash scripts/setup.sh
step lint npm run --silent lint
step format npm run --silent format:check
step types node_modules/.bin/tsc --noEmit

# Two at a time: most tests wait for something. Each half has tests that run without root.
echo '== tests'
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
{
  others=0
  (tests '{native,program,unit,examples}') || others=1
  bash scripts/test-sanitized.sh --bounded || others=1
  exit "$others"
} >"$work/others" 2>&1 &
others=$!
failed=0
(tests '{cluster,packaging}') | tee "$work/cluster" || failed=1
wait "$others" || failed=1
cat "$work/others"

scripts/sum-tests.sh 3 "$work/cluster" "$work/others" || failed=1
exit "$failed"

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
(tests '{native,program,unit,examples}') >"$work/others" 2>&1 &
others=$!
failed=0
(tests '{cluster,packaging}') | tee "$work/cluster" || failed=1
wait "$others" || failed=1
cat "$work/others"

awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { runs++; passed += $1; failed += $3; skipped += $5 }
  END { print "\n" passed + 0 " passed, " failed + 0 " failed, " skipped + 0 " skipped"; exit runs != 2 }' \
  "$work/cluster" "$work/others" || failed=1
exit "$failed"

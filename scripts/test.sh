#!/usr/bin/env bash
# All that has to be right before a change lands: builds, static checks, types, tests. Tests that need root say so.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  echo "== $1"
  shift
  "$@"
}

step set-up bash scripts/setup.sh
step lint npm run --silent lint
step format npm run --silent format:check
step types node_modules/.bin/tsc --noEmit
echo '== tests'
exec node_modules/.bin/mocha --forbid-only 'test/{unit,native,program,cluster,examples,packaging}/**/*.test.ts'

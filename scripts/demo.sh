#!/usr/bin/env bash
# From a fresh clone to a running demo: sets up what is missing, then runs examples/demo/demo.ts.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/setup.sh
exec node --import tsx examples/demo/demo.ts "$@"

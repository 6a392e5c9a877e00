#!/usr/bin/env bash
# sum-tests.sh RUNS FILE...: one closing line for the closing lines of so many test runs, which the files hold. A run that did
# not come to its end counts as a failure.
set -euo pipefail

runs=$1
shift
awk -v expected="$runs" '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { runs++; passed += $1; failed += $3; skipped += $5 }
  END { failed += expected - runs; print "\n" passed + 0 " passed, " failed + 0 " failed, " skipped + 0 " skipped"; exit failed > 0 }' "$@"

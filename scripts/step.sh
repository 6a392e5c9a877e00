# shellcheck shell=bash
# Sourced by the scripts that build: progress lines, and steps that are left out when nothing has changed.

fail() {
  echo "$1" >&2
  exit 1
}

# quietly COMMAND...: its output is shown only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 80 "$log" >&2
    rm -f "$log"
    fail "'$*' failed: see above."
  fi
  rm -f "$log"
}

# step STAMP MESSAGE INPUT... -- COMMAND...: runs the command unless the file STAMP says that it has run with these
# very inputs (files, or folders of files).
step() {
  local stamp=$1 message=$2 inputs=() hash
  shift 2
  while [ "$1" != -- ]; do
    inputs+=("$1")
    shift
  done
  shift
  hash=$({ echo "$*" && node --version && find "${inputs[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; } | sha256sum)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ]; then return; fi
  echo "$message"
  quietly "$@"
  mkdir -p "$(dirname "$stamp")"
  echo "$hash" >"$stamp"
}

# Node's headers, where they come with Node.js: node-gyp would download them.
node_prefix=$(node -p 'path.dirname(path.dirname(process.execPath))' 2>/dev/null || true)
if [ -e "$node_prefix/include/node/node_api.h" ]; then export npm_config_nodedir=${npm_config_nodedir:-$node_prefix}; fi

# What the addon is made from.
# shellcheck disable=SC2034 # for the scripts that source this
addon_inputs=(
  native/src native/gyp native/elfutils-config native/generated native/vendor/VERSIONS bpf/abi.h binding.gyp
  node_modules/node-addon-api/package.json
)

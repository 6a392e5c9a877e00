#!/usr/bin/env bash
# Makes prebuilds/: the addon as it is shipped. Arguments go to prebuildify (`--arch arm64`, with CC, CXX, AR and
# PREBUILD_STRIP_BIN set to the cross tools).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/step.sh

# prebuildify rebuilds from nothing and takes the result away: a copy keeps this folder's own build.
build() {
  local copy
  copy=$(mktemp -d)
  # shellcheck disable=SC2064 # the name is fixed now
  trap "rm -rf '$copy'" EXIT
  cp -r --parents native/src native/gyp native/elfutils-config native/generated native/vendor bpf/abi.h binding.gyp \
    package.json "$copy" &&
    ln -s "$PWD/node_modules" "$copy/node_modules" &&
    JOBS=max npx prebuildify --napi --strip --tag-libc --target "$(node --version)" --cwd "$copy" --out "$PWD" "$@"
}

step "prebuilds/.stamp$(printf '%s' "$@")" 'prebuild: compiling the addon for the package' "${addon_inputs[@]}" -- build "$@"

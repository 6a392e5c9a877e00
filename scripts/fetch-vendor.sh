#!/usr/bin/env bash
# Fetches the sources of the libraries that the addon is built with into native/vendor, reduced to what is
# compiled, the headers and the licences. They come from Debian's source packages: apt checks the signatures,
# the pins below check that they are the very files that were reviewed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly suite=trixie
readonly vendor=native/vendor cache=native/vendor-cache
readonly libbpf=libbpf_1.5.0.orig.tar.gz elfutils=elfutils_0.192.orig.tar.bz2
readonly pins="53492aff6dd47e4da04ef5e672d753b9743848bdb38e9d90eafbe190b7983c44  $libbpf
616099beae24aba11f9b63d86ca6cc8d566d968b802391334c91df54eab416b4  $elfutils"
# What native/vendor is made from: the tarballs, the selection of files and this recipe.
versions="$pins
$(sha256sum native/gyp/sources.js scripts/fetch-vendor.sh)"

if [ "$(cat "$vendor/VERSIONS" 2>/dev/null)" = "$versions" ]; then exit 0; fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cached() { (cd "$cache" && sha256sum --check --status - <<<"$pins" 2>/dev/null); }

# The mirror is the machine's own; only the suite differs, because Debian 12 has an older libbpf.
download() {
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    grep -v '^ *#' | grep -oE '[a-z]+://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ') || true
  if [ -z "$mirror" ] || [ ! -e "$keyring" ]; then
    echo "fetch-vendor: this is not Debian, so put $libbpf and $elfutils from Debian's source packages" \
      "libbpf and elfutils ($suite) into $cache and run this again." >&2
    return 1
  fi
  printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "$mirror" "$suite" "$keyring" >"$tmp/vendor.sources"
  mkdir -p "$tmp/lists/partial" "$tmp/apt-cache"
  local apt=(apt-get -qq -o Dir::Etc::sourcelist="$tmp/vendor.sources" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$tmp/lists" -o Dir::Cache="$tmp/apt-cache" -o Acquire::Retries=3)
  if [ "$(id -u)" = 0 ]; then apt+=(-o APT::Sandbox::User=root); fi
  "${apt[@]}" update
  (cd "$cache" && "${apt[@]}" source --download-only --tar-only --only-source libbpf elfutils)
}

mkdir -p "$cache"
if ! cached; then
  echo 'fetch-vendor: downloading the sources of libbpf and libelf (13 MB)'
  download
  cached || {
    echo "fetch-vendor: the tarballs in $cache are not the pinned ones; remove them and run this again." >&2
    exit 1
  }
fi

new=$vendor.new
rm -rf "$new"
mkdir -p "$new/libbpf" "$new/elfutils" "$new/include/bpf"
tar -xzf "$cache/$libbpf" -C "$new/libbpf" --strip-components=1 --wildcards --no-wildcards-match-slash \
  '*/src/*.[ch]' '*/include' '*/LICENSE*'
tar -xjf "$cache/$elfutils" -C "$new/elfutils" --strip-components=1 --wildcards --no-wildcards-match-slash \
  '*/libelf/*.[ch]' '*/lib/*.[ch]' '*/COPYING*'

# elf64_getehdr.c is a template's second use: it includes the first.
compiled=$(node native/gyp/sources.js libbpf && node native/gyp/sources.js libelf && echo vendor/elfutils/libelf/elf32_getehdr.c)
find "$new" -name '*.c' -printf 'vendor/%P\n' | grep -vxFf <(echo "$compiled") | sed "s|^vendor|$new|" | xargs rm

# libbpf's public headers, under the name that programs include them by.
for header in bpf btf libbpf libbpf_common libbpf_legacy libbpf_version bpf_helpers bpf_helper_defs bpf_tracing \
  bpf_endian bpf_core_read; do
  cp "$new/libbpf/src/$header.h" "$new/include/bpf/"
done

echo "$versions" >"$new/VERSIONS"
rm -rf "$vendor"
mv "$new" "$vendor"

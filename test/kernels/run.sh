#!/usr/bin/env bash
# Tries the library on a kernel that is not this machine's: boots it under QEMU's software emulation, with nothing
# around it but Node.js, the library, a few tools and the tests of guest.ts.
#
#   run.sh [PACKAGE]   a kernel package that apt knows; default: Debian 12's, for virtual machines
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/step.sh
source scripts/debian.sh
# Where Debian keeps bpftool is not in every user's path.
PATH=$PATH:/usr/sbin

readonly wanted=${1:-linux-image-cloud-amd64}
readonly out=build/kernels
# Seconds until a machine that hangs is switched off. It usually takes forty.
readonly time_limit=300
# What the tests need of the kernel's modular part. It asks modprobe for them when it needs them.
readonly modules='veth|sch_ingress|cls_bpf|nf_conntrack'

# The package with the kernel in it: one without a version in its name only depends on it.
find_image() {
  apt-cache show "$wanted" >/dev/null 2>&1 || quietly apt-get -q update
  apt-cache depends "$wanted" 2>/dev/null | sed -nE 's/^ *Depends: (linux-image-[^ ]+)$/\1/p' | grep -m 1 . || echo "$wanted"
}

# unpack PACKAGE: puts what is in a Debian package into $out/PACKAGE. Nothing of it is installed.
unpack() {
  local new=$tmp/$1 apt=(apt-get -q)
  if [ -e "$out/$1" ]; then return; fi
  echo "test-kernels: downloading $1"
  if [ "$(id -u)" = 0 ]; then apt+=(-o APT::Sandbox::User=root); fi
  mkdir "$new"
  (cd "$tmp" && { "${apt[@]}" download "$1" || { "${apt[@]}" update && "${apt[@]}" download "$1"; }; }) >"$tmp/log" 2>&1 ||
    fail "test-kernels: $1 cannot be downloaded: $(grep '^E:' "$tmp/log")"
  dpkg-deb --extract "$tmp/$1"_*.deb "$new"
  mv "$new" "$out/$1"
}

# copy_programs PROGRAM...: into the machine's /usr/bin, and their shared libraries to where they are here.
copy_programs() {
  mkdir -p "$root/usr/bin"
  cp -L "$@" "$root/usr/bin"
  ldd "$@" build/Release/bpf_lb.node | grep -oE '/[^ :]+\.so[^ :]*' | sort -u | xargs cp -L --parents -t "$root"
}

copy_modules() {
  local folder=lib/modules/$release
  if [ ! -e "$image/$folder/modules.dep" ]; then "$busybox" depmod -b "$image" "$release"; fi
  mkdir -p "$root/$folder"
  (cd "$image/$folder" && cp modules.* "$OLDPWD/$root/$folder" &&
    sed -nE "s#(.*/($modules)\.ko[^ ]*):#\1#p" modules.dep | xargs --no-run-if-empty cp --parents -t "$OLDPWD/$root/$folder")
}

# What an embedder's folder has of us, and the tests.
copy_library() {
  local dependencies
  mkdir -p "$root/app"
  dependencies=$(node -p 'Object.keys(require("./package.json").dependencies).map((name) => `node_modules/${name}`).join(" ")')
  # shellcheck disable=SC2086 # several names
  cp -r --parents -t "$root/app" package.json dist build/Release/bpf_lb.node $dependencies
  node_modules/.bin/tsc -p test/kernels/tsconfig.json --outDir "$root/app"
  cp test/kernels/reporter.cjs "$root/app"
}

[ "$(uname -m)" = x86_64 ] || fail "test-kernels: this test is for x86_64; this machine is $(uname -m)."
bash scripts/setup.sh
install_packages qemu-system-x86

mkdir -p "$out"
tmp=$(mktemp -d "$out/run.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root
mkdir -p "$root/bin"

unpack busybox-static
busybox=$out/busybox-static/bin/busybox
package=$(find_image)
unpack "$package"
image=$out/$package
[ -d "$image/lib/modules" ] || fail "test-kernels: there is no kernel in the package $package."
release=$(ls "$image/lib/modules")

echo "test-kernels: Linux $release"
cp "$busybox" "$root/bin"
cp test/kernels/init "$root"
copy_programs "$(command -v node)" "$(command -v ip)" "$(command -v bpftool)"
copy_modules
copy_library
(cd "$root" && find . | "$OLDPWD/$busybox" cpio -o -H newc) >"$tmp/initramfs" 2>/dev/null
rm -r "$root"

# The kernel speaks on the first serial line, the tests speak on the second.
timeout --foreground "$time_limit" qemu-system-x86_64 \
  -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -no-user-config -display none -no-reboot \
  -serial "file:$tmp/console" -serial stdio -kernel "$image/boot/vmlinuz-$release" -initrd "$tmp/initramfs" \
  -append 'console=ttyS0 quiet panic=-1' </dev/null | tee "$tmp/output" || true

if ! tail -n 1 "$tmp/output" | grep -qE '^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$'; then
  echo 'test-kernels: failed; the end of what the kernel said:' >&2
  tail -n 40 "$tmp/console" >&2
  exit 1
fi

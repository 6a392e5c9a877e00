#!/usr/bin/env bash
# The addon with other programs of the same meaning, compiled for a newer instruction set, in build/variant: what an
# upgrade brings. Needs Linux 6.6. Takes the objects of build/ and makes again what has the programs in it. Use:
#   BPF_LB_PREBUILD=$PWD/build/variant node ...
set -euo pipefail
cd "$(dirname "$0")/.."

readonly out=build/variant
inputs=$(cat build/Release/bpf_lb.node "$0" | sha256sum)
if [ "$(cat "$out/inputs.sha256" 2>/dev/null)" = "$inputs" ]; then exit 0; fi

echo 'build-variant: building an addon with other programs'
rm -rf "$out"
mkdir -p "$out"/{native,build,scripts}
for name in bpf node_modules binding.gyp; do ln -s "../../$name" "$out/$name"; done
for name in vendor gyp elfutils-config; do ln -s "../../../native/$name" "$out/native/$name"; done
# Sources include the generated header by where they are.
cp -a native/src "$out/native/src"
for name in Makefile binding.Makefile bpf_lb.target.mk config.gypi native node_modules Release; do
  cp -a "build/$name" "$out/build/"
done

# The script works on the folder that it lies in.
cp -a scripts/build-bpf.sh "$out/scripts/"
BPF_CPU=v4 bash "$PWD/$out/scripts/build-bpf.sh"
# Nothing is new for gyp, whose own files are named from where build/ is.
make --silent -C "$out/build" -o Makefile BUILDTYPE=Release bpf_lb
echo "$inputs" >"$out/inputs.sha256"

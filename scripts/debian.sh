# shellcheck shell=bash
# Sourced after step.sh by the scripts that need Debian packages.

# install_packages PACKAGE...: those that are missing. On another distribution it only names them.
install_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || {
    echo "setup: this is not Debian, so the tools are taken as they are; needed are: $*." >&2
    return
  }
  for package in "$@"; do
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  [ "$(id -u)" = 0 ] || fail "setup: Debian packages are missing; as root run: apt-get install ${missing[*]}"
  echo "setup: installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get -q update
  # Nothing that a package brings may start on its own here: the tests start what they need.
  RUNLEVEL=1 quietly apt-get -q install --yes --no-install-recommends "${missing[@]}"
}

# What the pieces of .ci/run have in common; each may also be run by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stage() { printf '\n=== %s (after %d s)\n' "$*" "$SECONDS"; }

# have COMMAND PACKAGE...: installs Debian's packages if the command, or file, is missing and apt-get is there.
have() {
  local what=$1
  shift
  if ! command -v "$what" >/dev/null && [[ ! -e $what ]] && command -v apt-get >/dev/null; then
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$@"; } >/dev/null 2>&1 || true
  fi
  command -v "$what" >/dev/null || [[ -e $what ]]
}

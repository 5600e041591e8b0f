#!/usr/bin/env bash
# Who may include whom in csrc/, and whether each header has all that it needs.
source "$(dirname "$0")/common.sh"

failed=0
# only FOLDER PATTERN: product files in FOLDER include nothing but what matches the extended regular expression.
only() {
  local found
  found=$(grep -rnE '^ *# *include' "csrc/$1" --include='*.h' --include='*.cpp' | grep -v '_test\.cpp:' |
    grep -vE "include ($2)( |$)" || true)
  if [[ -n $found ]]; then
    printf 'csrc/%s may not include:\n%s\n' "$1" "$found"
    failed=1
  fi
}

# Compiled once per ISA: no containers, no algorithms, nothing that would become one symbol with several contents.
plain='<(cmath|cstddef|cstdint|cstring|limits|type_traits|utility|immintrin\.h|arm_neon\.h)>'
only kernels "\"(kernels|cells|program)\.h\"|\"kernels/[^\"]*\"|$plain"
not_python='<[^>]*>|"(kernels|cells|dispatch)\.h"'
only system "$not_python|\"system/[^\"]*\""
only model "$not_python|\"(system|model)/[^\"]*\""
found=$(grep -rnE 'include *<(pybind11|Python\.h)' csrc --include='*.h' --include='*.cpp' | grep -v '^csrc/python/' || true)
if [[ -n $found ]]; then
  printf 'pybind11 and Python.h are for csrc/python alone:\n%s\n' "$found"
  failed=1
fi
found=$(grep -rnE 'include *<(unistd|pthread|sched|malloc|windows|sys/.*)\.h>|aligned_alloc|ssize_t ' csrc --include='*.h' \
  --include='*.cpp' | grep -vE '^csrc/(system|testing)/|[Pp]y(_|::)ssize_t' || true)
if [[ -n $found ]]; then
  printf 'What is an operating system'"'"'s own is for csrc/system alone:\n%s\n' "$found"
  failed=1
fi

# Every header by itself. Those of csrc/python need Python and pybind11, so they are compiled where those are.
python=$(python3 -c 'import pybind11, sysconfig
print("-isystem", pybind11.get_include(), "-isystem", sysconfig.get_paths()["include"])' 2>/dev/null) || python=
headers=$(find csrc -name '*.h' ! -path 'csrc/testing/*')
[[ -n $python ]] || { headers=$(grep -v '^csrc/python/' <<<"$headers"); echo 'Without pybind11: csrc/python is left out.'; }
xargs -P "$(nproc)" -I{} sh -c \
  '"${CXX:-g++}" -std=c++17 -fsyntax-only -fvisibility=hidden -Wall -Wextra -Werror -Wno-psabi -Wno-unknown-pragmas -Icsrc '"$python"' \
   -DRECURRA_ISA_NAMESPACE=isa_check -include {} -x c++ /dev/null || { echo "{} does not compile alone"; exit 1; }' \
  <<<"$headers" || failed=1
((failed == 0)) && echo "$(wc -w <<<"$headers") headers: includes as they should be, and each compiles alone"
exit "$failed"

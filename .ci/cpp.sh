#!/usr/bin/env bash
# The C++ tests: as they are, and under sanitizers. Builds in the folder that it is given, or in one of its own.
source "$(dirname "$0")/common.sh"

scratch=${1:-$(mktemp -d)}
mkdir -p "$scratch"
[[ -n ${1:-} ]] || trap 'rm -rf "$scratch"' EXIT
have /usr/include/doctest/doctest.h doctest-dev || { echo "The C++ tests need doctest (Debian: doctest-dev)"; exit 1; }

# build NAME TARGETS OPTION...: configures and compiles in $scratch/NAME.
build() {
  local name=$1 targets=$2
  shift 2
  cmake -S . -B "$scratch/$name" -G Ninja -DRECURRA_TESTS=ON -DCMAKE_BUILD_TYPE=Release "$@" >"$scratch/$name.log"
  # shellcheck disable=SC2086 # several targets
  ninja -C "$scratch/$name" --quiet $targets >>"$scratch/$name.log" 2>&1 || { tail -50 "$scratch/$name.log"; exit 1; }
}

stage "C++ tests"
build plain all -DRECURRA_WERROR=ON
ctest --test-dir "$scratch/plain" --output-on-failure

# Of one ISA, the best that runs here: all would take ten minutes more, and guard pages have watched them above.
best=$("$scratch/plain/bits" 2>&1 >/dev/null | sed 's/^bits of //')
isas=$best kernels=kernel_tests_$best
# All but the products of integers is that of AVX-512.
[[ $best != avx512vnni ]] || isas="$best;avx512" kernels="$kernels kernel_tests_avx512"
stage "C++ tests with address and undefined-behaviour sanitizers, $best"
build address "$kernels core_tests bits fuzz_cells" -DRECURRA_THREADS=none -DRECURRA_OPTIMIZE=-O1 "-DRECURRA_ISAS=$isas" \
  "-DCMAKE_CXX_FLAGS=-fsanitize=address,undefined -fno-sanitize-recover=all -g1"
ctest --test-dir "$scratch/address" --output-on-failure -R "${kernels// /|}|core_tests"
"$scratch/address/bits" >"$scratch/address.bits"
"$scratch/address/fuzz_cells" 100000

# With threads of the standard library, since the sanitizer doesn't see how GNU's OpenMP orders its own. bits is whole
# networks in three threads; what it prints must be what it prints without.
stage "C++ tests with the thread sanitizer"
build thread "core_tests bits fuzz_cells" -DRECURRA_THREADS=std -DRECURRA_OPTIMIZE=-O1 "-DRECURRA_ISAS=$isas" \
  "-DCMAKE_CXX_FLAGS=-fsanitize=thread -g1 -Wno-tsan"
ctest --test-dir "$scratch/thread" --output-on-failure -R core_tests
OMP_NUM_THREADS=3 "$scratch/thread/bits" | diff "$scratch/address.bits" -
OMP_NUM_THREADS=3 "$scratch/thread/fuzz_cells" 4000

#!/usr/bin/env bash
# AVX2, AVX-512 with and without VNNI, and NEON give the same bits: the C++ tests for AArch64 under emulation, then the hashes of what whole
# models compute on each. Takes the folder in which .ci/cpp.sh has built, or builds in one of its own.
# RECURRA_CI_WITHOUT_ARM=1 allows a machine without the cross compiler, loudly.
source "$(dirname "$0")/common.sh"

scratch=${1:-$(mktemp -d)}
mkdir -p "$scratch"
[[ -n ${1:-} ]] || trap 'rm -rf "$scratch"' EXIT
options=(-G Ninja -DRECURRA_TESTS=ON -DRECURRA_WERROR=ON -DCMAKE_BUILD_TYPE=Release)

declare -A hashes
# note ISA COMMAND...: what the program prints on that ISA.
note() {
  local isa=$1
  shift
  RECURRA_ISA=$isa "$@" 2>/dev/null >"$scratch/$isa.bits"
  hashes[$isa]=$(sha256sum <"$scratch/$isa.bits" | cut -c1-16)
  printf '%-10s %s of %d cases\n' "$isa" "${hashes[$isa]}" "$(wc -l <"$scratch/$isa.bits")"
}

if [[ $(uname -m) == x86_64 ]]; then
  cmake -S . -B "$scratch/plain" "${options[@]}" >/dev/null
  ninja -C "$scratch/plain" --quiet bits
  for isa in avx2 avx512 avx512vnni; do
    if RECURRA_ISA=$isa "$scratch/plain/bits" >/dev/null 2>&1; then
      note "$isa" "$scratch/plain/bits"
    else
      echo "This machine has no $isa: those bits are not compared."
    fi
  done
fi

stage "AArch64: C++ tests under emulation"
if have aarch64-linux-gnu-g++ g++-aarch64-linux-gnu && have qemu-aarch64 qemu-user &&
  have /usr/include/doctest/doctest.h doctest-dev; then
  cmake -S . -B "$scratch/arm" "${options[@]}" -DRECURRA_THREADS=none -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
    -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64 >/dev/null
  ninja -C "$scratch/arm" --quiet
  ctest --test-dir "$scratch/arm" --output-on-failure
  stage "the same bits"
  note neon qemu-aarch64 "$scratch/arm/bits"
elif [[ ${RECURRA_CI_WITHOUT_ARM:-} == 1 ]]; then
  echo "############ NOT TESTED: AArch64, for want of a cross compiler or an emulator, as RECURRA_CI_WITHOUT_ARM=1 allows"
else
  echo "AArch64 can't be tested: there is no aarch64-linux-gnu-g++ with qemu-aarch64, and apt-get can't install them"
  exit 1
fi

reference=
for isa in "${!hashes[@]}"; do
  reference=${reference:-$isa}
  diff "$scratch/$reference.bits" "$scratch/$isa.bits" || { echo "$reference and $isa differ"; exit 1; }
done
echo "the same bits: ${!hashes[*]}"

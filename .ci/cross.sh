#!/usr/bin/env bash
# All of csrc but the bindings, compiled and linked into csrc/testing/bits.cpp's program for systems that aren't here:
# macOS on AArch64, and Windows on x86-64, where Wine, if it is installed, runs it: it must print what the same program
# prints here. Takes the folder in which .ci/cpp.sh has built, or builds in one of its own. Needs ziglang, which
# `pip install 'recurra[cross]'` brings: a Clang with the C and C++ libraries of many systems.
source "$(dirname "$0")/common.sh"

scratch=${1:-$(mktemp -d)}
mkdir -p "$scratch"
[[ -n ${1:-} ]] || trap 'rm -rf "$scratch"' EXIT
python=$(command -v python3)
"$python" -m ziglang version >/dev/null

# compiler TARGET: writes $scratch/TARGET-c++, a compiler as CMake takes one, and its ar and ranlib. It only links where
# that is wanted, as it has to compile the target's C++ library first, a minute of its own.
compiler() {
  local tool
  for tool in ar ranlib; do
    printf '#!/bin/sh\nexec %s -m ziglang %s "$@"\n' "$python" "$tool" >"$scratch/$1-$tool"
  done
  {
    echo '#!/bin/sh'
    [[ $links == yes ]] || echo 'case " $* " in *" -c "* | *" -E "* | *" --version "*) ;; *) exit 1 ;; esac'
    echo "exec $python -m ziglang c++ -target $1 -fno-sanitize=undefined \"\$@\""
  } >"$scratch/$1-c++"
  chmod +x "$scratch/$1"-*
}
# build TARGET SYSTEM PROCESSOR NINJA-TARGET...
build() {
  local target=$1 system=$2 processor=$3
  shift 3
  stage "$target"
  compiler "$target"
  cmake -S . -B "$scratch/$target" -G Ninja -DRECURRA_TESTS=ON -DRECURRA_WERROR=ON -DRECURRA_OPTIMIZE=-O1 \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME="$system" -DCMAKE_SYSTEM_PROCESSOR="$processor" \
    -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY -DCMAKE_OSX_SYSROOT= -DRECURRA_DOCTEST=/usr/include \
    -DCMAKE_CXX_COMPILER="$scratch/$target-c++" -DCMAKE_AR="$scratch/$target-ar" \
    -DCMAKE_RANLIB="$scratch/$target-ranlib" >"$scratch/$target.log" || { tail -50 "$scratch/$target.log"; exit 1; }
  ninja -C "$scratch/$target" --quiet "$@" >>"$scratch/$target.log" 2>&1 || { tail -50 "$scratch/$target.log"; exit 1; }
}

have /usr/include/doctest/doctest.h doctest-dev || { echo "The C++ tests need doctest (Debian: doctest-dev)"; exit 1; }
links=no build aarch64-macos Darwin arm64 recurra_core
links=yes build x86_64-windows-gnu Windows AMD64 bits

wine=$(command -v wine64 || command -v wine || true)
if [[ -z $wine || $(uname -m) != x86_64 ]]; then
  echo "############ NOT RUN: the program for Windows, for want of wine64 (Debian: wine64)"
  exit
fi
stage "the same bits on Windows, by Wine"
[[ -x $scratch/plain/bits ]] || {
  cmake -S . -B "$scratch/plain" -G Ninja -DRECURRA_TESTS=ON -DCMAKE_BUILD_TYPE=Release >/dev/null
  ninja -C "$scratch/plain" --quiet bits
}
export WINEPREFIX=$scratch/wine WINEDEBUG=-all OMP_NUM_THREADS=2 # two, so that threads are there to go wrong
# printed FILE PROGRAM...: into the file, which may not be empty.
printed() {
  RECURRA_ISA=avx2 "${@:2}" 2>"$1-errors" | tr -d '\r' >"$1" && [[ -s $1 ]] || { cat "$1-errors"; echo "$2 failed"; exit 1; }
}
printed "$scratch/bits-here" "$scratch/plain/bits"
printed "$scratch/bits-windows" "$wine" "$scratch/x86_64-windows-gnu/bits.exe"
diff "$scratch/bits-here" "$scratch/bits-windows"
echo "the same bits: $(wc -l <"$scratch/bits-here") cases"

#!/usr/bin/env bash
# All of csrc but the bindings, compiled for systems that aren't here: macOS on AArch64, and Windows on x86-64. Nothing is
# linked, for which the target's C++ library had to be compiled, and so nothing runs. Takes a folder to build in, or works
# in one of its own. Needs ziglang, which `pip install 'recurra[cross]'` brings: a Clang with the headers of many systems.
source "$(dirname "$0")/common.sh"

scratch=${1:-$(mktemp -d)}
mkdir -p "$scratch"
[[ -n ${1:-} ]] || trap 'rm -rf "$scratch"' EXIT
python=$(command -v python3)
"$python" -m ziglang version >/dev/null

# compiler TARGET: writes $scratch/TARGET-c++, a compiler as CMake takes one, and its ar and ranlib. It refuses to link.
compiler() {
  local tool
  for tool in ar ranlib; do
    printf '#!/bin/sh\nexec %s -m ziglang %s "$@"\n' "$python" "$tool" >"$scratch/$1-$tool"
  done
  {
    echo '#!/bin/sh'
    echo 'case " $* " in *" -c "* | *" -E "* | *" --version "*) ;; *) exit 1 ;; esac'
    echo "exec $python -m ziglang c++ -target $1 -fno-sanitize=undefined \"\$@\""
  } >"$scratch/$1-c++"
  chmod +x "$scratch/$1"-*
}
# build TARGET SYSTEM PROCESSOR
build() {
  local target=$1 system=$2 processor=$3
  stage "$target"
  compiler "$target"
  cmake -S . -B "$scratch/$target" -G Ninja -DRECURRA_TESTS=ON -DRECURRA_WERROR=ON -DRECURRA_OPTIMIZE=-O1 \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME="$system" -DCMAKE_SYSTEM_PROCESSOR="$processor" \
    -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY -DCMAKE_OSX_SYSROOT= -DRECURRA_DOCTEST=/usr/include \
    -DCMAKE_CXX_COMPILER="$scratch/$target-c++" -DCMAKE_AR="$scratch/$target-ar" \
    -DCMAKE_RANLIB="$scratch/$target-ranlib" >"$scratch/$target.log" || { tail -50 "$scratch/$target.log"; exit 1; }
  ninja -C "$scratch/$target" --quiet recurra_core >>"$scratch/$target.log" 2>&1 || { tail -50 "$scratch/$target.log"; exit 1; }
}

have /usr/include/doctest/doctest.h doctest-dev || { echo "The C++ tests need doctest (Debian: doctest-dev)"; exit 1; }
build aarch64-macos Darwin arm64
build x86_64-windows-gnu Windows AMD64

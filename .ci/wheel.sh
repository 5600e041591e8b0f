#!/usr/bin/env bash
# A release, made and used as others will: an sdist, a wheel of it that is the same bytes wherever it is compiled, repaired,
# and installed where there is neither a compiler nor a network nor this checkout. Takes a folder, in which it leaves
# repaired/ (the wheel), venv/ (where that is installed) and elsewhere/ (the tests); or works in one of its own.
source "$(dirname "$0")/common.sh"

most_megabytes=2.0  # of a repaired wheel
most_seconds=5      # to install it and have the first result
most_import=0.1     # seconds, beside NumPy's import

scratch=${1:-$(mktemp -d)}
mkdir -p "$scratch"
[[ -n ${1:-} ]] || trap 'rm -rf "$scratch"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
export LC_ALL=C # elsewhere EPOCHREALTIME may have a comma in it
SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)
export SOURCE_DATE_EPOCH
python=$(command -v python3)

stage "tools of releases"
"$python" -m venv "$scratch/tools"
"$scratch/tools/bin/python" - pyproject.toml .github/workflows/release.yml >"$scratch/tools.txt" <<'PYTHON'
import re, sys, tomllib
project, workflow = (open(path).read() for path in sys.argv[1:])
project = tomllib.loads(project)
pinned = project["project"]["optional-dependencies"]["release"]
elsewhere = re.findall(r"[\w-]+==[\w.]+", workflow + str(project["tool"]["cibuildwheel"]))
if wrong := {*elsewhere} - {*pinned}:
    sys.exit(f"other versions than the extra `release` has: {', '.join(sorted(wrong))}")
print(*pinned, sep="\n")
PYTHON
"$scratch/tools/bin/pip" install -q -r "$scratch/tools.txt"
PATH="$scratch/tools/bin:$PATH"

stage "workflows, and the wheels that a release will have"
zizmor --offline --no-progress --persona pedantic .github
jactionlint --shellcheck=
for platform in linux:x86_64,aarch64 macos:arm64 windows:AMD64; do
  cibuildwheel --print-build-identifiers --platform "${platform%:*}" --archs "${platform#*:}"
done | sort >"$scratch/identifiers"
printf '%s\n' cp3{10,11,12,13,14,14t}-{{manylinux,musllinux}_{x86_64,aarch64},macosx_arm64,win_amd64} | sort |
  diff - "$scratch/identifiers" || { echo "cibuildwheel would build others (>) than it should (<)"; exit 1; }
echo "$(wc -l <"$scratch/identifiers") wheels"

# same FILE FILE: or says which members differ.
same() {
  cmp -s "$1" "$2" && { echo "the same $(wc -c <"$1") bytes: $(basename "$1")"; return; }
  python - "$1" "$2" <<'PYTHON'
import sys, tarfile, zipfile
def members(path):
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        return {i.filename: (i.date_time, i.external_attr, archive.read(i)) for i in archive.infolist()}
    with tarfile.open(path) as archive:
        return {i.name: (i.mtime, i.mode, i.isfile() and archive.extractfile(i).read()) for i in archive.getmembers()}
first, second = map(members, sys.argv[1:])
names = [name for name in first | second if first.get(name) != second.get(name)]
sys.exit(f"{sys.argv[1]} and {sys.argv[2]} differ in {names or 'the order or packing of their members'}")
PYTHON
}

stage "the sdist, twice"
python -m build --sdist --no-isolation -o "$scratch/sdist" . >"$scratch/sdist.log" 2>&1
(TZ=Asia/Tokyo LC_ALL=C.UTF-8 python -m build --sdist --no-isolation -o "$scratch/sdist-again" . >>"$scratch/sdist.log" 2>&1)
same "$scratch"/sdist/*.tar.gz "$scratch"/sdist-again/*.tar.gz

# The first may use what ccache has of this folder. The second is compiled from the sdist, in a folder of another name,
# with headers of another, and without ccache.
stage "the wheel, compiled in two folders"
python -m build --wheel --no-isolation -o "$scratch/first" . >"$scratch/first.log" 2>&1 ||
  { tail -30 "$scratch/first.log"; exit 1; }
mkdir -p "$scratch/another/folder"
CCACHE_DISABLE=1 TMPDIR="$scratch/another/folder" TZ=Asia/Tokyo LC_ALL=C.UTF-8 \
  python -m pip wheel -q --no-deps --no-build-isolation -w "$scratch/second" "$scratch"/sdist/*.tar.gz
same "$scratch"/first/*.whl "$scratch"/second/*.whl

stage "repaired, twice"
for again in repaired repaired-again; do
  auditwheel repair -w "$scratch/$again" "$scratch"/second/*.whl >"$scratch/$again.log" 2>&1 ||
    { cat "$scratch/$again.log"; exit 1; }
done
wheel=$(echo "$scratch"/repaired/*.whl)
same "$wheel" "$scratch"/repaired-again/*.whl
python cmake/pack.py "$wheel"
echo "$(basename "$wheel"): what this system's C library allows; a release's are made in manylinux_2_28"
# Under a name of its own, or the dynamic linker would take another's libgomp.so.1 for ours, or ours for theirs.
libraries=$(python -m zipfile -l "$wheel" | awk '$1 ~ /\.libs\/./ { print $1 }')
if grep -vE '^recurra\.libs/lib[a-z]+-[0-9a-f]{8,}\.so' <<<"$libraries"; then
  echo "these libraries need names of their own"
  exit 1
fi
twine check --strict "$scratch"/sdist/*.tar.gz "$wheel"
check-wheel-contents --ignore W009,W010 "$wheel" # that recurra.libs/ lies beside recurra/
python .ci/documents.py "$wheel"
megabytes=$(awk "BEGIN { printf \"%.2f\", $(wc -c <"$wheel") / 1e6 }")
echo "$megabytes MB, of at most $most_megabytes; compiled in are: $(tr '\n' ' ' <<<"$libraries")"
awk "BEGIN { exit !($megabytes <= $most_megabytes) }" || { echo "the wheel is too large"; exit 1; }

stage "installed without a network or a compiler"
"$python" -m pip download -q -d "$scratch/wheelhouse" 'numpy>=1.26' 'pytest>=8.2'
"$python" -m venv "$scratch/venv"
isolated=(env PATH="$scratch/venv/bin" PIP_NO_INDEX=1)
if unshare -rn true 2>/dev/null; then
  isolated=("$(command -v unshare)" -rn "${isolated[@]}")
else
  echo "No network namespace may be made here: pip alone is told to stay away from the network."
fi
"${isolated[@]}" python -c 'import shutil, sys
sys.exit([name for name in ("c++", "g++", "cc", "gcc", "clang", "cmake") if shutil.which(name)] or None)'
"${isolated[@]}" pip install -q --no-index --find-links "$scratch/wheelhouse" numpy pytest
# within SECONDS MOST WHAT: or ends, unless others keep the machine busy: these are times by the wall.
within() {
  echo "$3: ${1:?nothing was measured} s, of at most $2"
  if awk "BEGIN { exit !($1 > $2) }"; then
    awk -v cpus="$(nproc)" '{ exit !($1 > 1.5 * cpus) }' /proc/loadavg || { echo "that is too long"; exit 1; }
    echo "############ TOO LONG, but let pass: $(cut -d' ' -f1 /proc/loadavg) processes want the $(nproc) CPUs"
  fi
}
for turn in 1 2 3; do # the best one counts
  [[ $turn == 1 ]] || "${isolated[@]}" pip uninstall -q -y recurra
  begin=$EPOCHREALTIME
  "${isolated[@]}" pip install -q --no-index --no-deps "$wheel"
  (cd / && "${isolated[@]}" python -c 'import numpy, recurra
y, h_n = recurra.GRU(8, 16, seed=0)(numpy.zeros((5, 2, 8), numpy.float32))
assert y.shape == (5, 2, 16)')
  awk "BEGIN { printf \"%.2f\\n\", $EPOCHREALTIME - $begin }"
done >"$scratch/seconds"
within "$(sort -g "$scratch/seconds" | head -1)" "$most_seconds" "installed, with a first result"
import=$(cd / && for _ in 1 2 3 4 5; do
  "${isolated[@]}" python -X importtime -c 'import numpy, recurra' 2>&1 | awk -F'|' '$3 == " recurra" { print $2 / 1e6 }'
done | sort -g | head -1)
within "$import" "$most_import" "import, beside NumPy's"

stage "what checks files, in the sdist, which hasn't all of them"
mkdir -p "$scratch/unpacked"
tar -xzf "$scratch"/sdist/*.tar.gz --strip-components=1 -C "$scratch/unpacked"
(cd "$scratch/unpacked" && "${isolated[@]}" python -m pytest -q -p no:cacheprovider \
  tests/test_site.py tests/test_guard.py tests/test_examples.py::test_links_lead_somewhere)

stage "the least tests, from another folder"
mkdir -p "$scratch/elsewhere"
cp -r tests pyproject.toml "$scratch/elsewhere"
cd "$scratch/elsewhere"
"${isolated[@]}" python -c "import recurra; assert recurra.__file__.startswith('$scratch/venv'), recurra.__file__"
"${isolated[@]}" python -m pytest -q -p no:cacheprovider @tests/minimal.txt

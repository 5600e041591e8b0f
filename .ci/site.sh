#!/usr/bin/env bash
# The documentation as a site, in build/site or the folder that it is given: no warnings, every public name in the
# reference, every link and anchor of the pages there. It needs `pip install '.[docs]'` and no network: types of Python,
# NumPy and others are links only with RECURRA_DOCS_OFFLINE=0, for publishing, where an inventory that can't be had isn't
# fatal. `.ci/site.sh --external` asks the web for the pages' links to it, too.
source "$(dirname "$0")/common.sh"

[[ ${1:-} == --external ]] && external=1 && shift
out=${1:-build/site}
export RECURRA_DOCS_OFFLINE=${RECURRA_DOCS_OFFLINE:-1}
[[ $RECURRA_DOCS_OFFLINE != 1 ]] || strict="-W --keep-going"

stage "documentation"
[[ -e $out/objects.inv || -z $(ls -A "$out" 2>/dev/null) ]] ||
  { echo "$out: expected a site built before, which has an objects.inv, or nothing"; exit 1; }
rm -rf "$out"
# shellcheck disable=SC2086 # options
sphinx-build -q -E -n ${strict:-} -d "$out-pickled" docs "$out"
python .ci/site_links.py "$out"
python .ci/site_names.py "$out"
[[ -z ${external:-} ]] || sphinx-build -q -b linkcheck -d "$out-pickled" docs "$out-links"

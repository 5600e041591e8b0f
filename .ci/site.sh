#!/usr/bin/env bash
# The documentation as a site, in build/site or the folder that it is given: every reference resolved, every link and
# anchor of the pages there. It needs `pip install '.[docs]'`, and a network for nothing: with RECURRA_DOCS_OFFLINE=0
# names of Python, NumPy, PyTorch and scikit-learn become links. `.ci/site.sh --external` asks the web, too.
source "$(dirname "$0")/common.sh"

[[ ${1:-} == --external ]] && external=1 && shift
out=${1:-build/site}
export RECURRA_DOCS_OFFLINE=${RECURRA_DOCS_OFFLINE:-1}

stage "documentation"
rm -rf "$out"
sphinx-build -q -E -W --keep-going -n docs "$out"
python .ci/site_links.py "$out"
python .ci/site_names.py "$out"
[[ -z ${external:-} ]] || sphinx-build -q -W --keep-going -b linkcheck docs "$out-links"

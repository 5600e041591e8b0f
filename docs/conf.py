"""The documentation as a site: `sphinx-build -W --keep-going -n docs build/site`, or .ci/site.sh, which checks it too.

Nothing of it needs a network when it is read. Building it does only for links to the references of Python, NumPy,
scikit-learn and PyTorch; with RECURRA_DOCS_OFFLINE=1 their names are text, where no inventory lies on this machine.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import recurra

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "recurra"
author = "The recurra authors"
project_copyright = author
version = release = recurra.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "links",
    "names",
]
exclude_patterns = ["_ext"]
nitpicky = True

# ---- Pages: the same Markdown as on GitHub, with its anchors

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
smartquotes_action = "D"  # dashes; the quotes of "tanh" are Python's
highlight_language = "text"  # of blocks that don't say: equations, mostly

# ---- Docstrings

default_role = "code-name"  # single backticks
autodoc_default_options = {"members": True, "special-members": "__call__", "member-order": "bysource"}
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autosummary_generate = False
add_module_names = False
python_maximum_signature_line_length = 88
python_display_short_literal_types = True
toc_object_entries = False  # headings have the names
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # several names may share a line
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_admonition_for_examples = False

# Once, and before autodoc would reload them for what is imported for type checkers only.
for name in ("cells", "export.writer", "functional", "narrow.compare", "onnx.reader", "onnx.writer", "optim",
             "reference.narrow", "schedules", "sklearn", "torch", "weights.files", "weights.keras_models",
             "weights.torch_models"):  # fmt: skip
    import_module(f"recurra.{name}")

# ---- References of others

offline = os.environ.get("RECURRA_DOCS_OFFLINE") == "1"
INVENTORIES = {  # where they are, and where Debian's packages python3-doc and python-sklearn-doc put them
    "python": ("https://docs.python.org/3", "/usr/share/doc/python3-doc/html/objects.inv"),
    "numpy": ("https://numpy.org/doc/stable", "/usr/share/doc/python-numpy-doc/html/objects.inv"),
    "torch": ("https://docs.pytorch.org/docs/stable", "/usr/share/doc/python-torch-doc/html/objects.inv"),
    "sklearn": ("https://scikit-learn.org/stable", "/usr/share/doc/python-sklearn-doc/html/objects.inv"),
}
intersphinx_mapping = {
    key: (where, file if offline else None)
    for key, (where, file) in INVENTORIES.items()
    if not offline or Path(file).exists()
}
linkcheck_ignore = [r"https://github\.com/recurra/recurra/"]  # links.py looks whether the files exist
linkcheck_anchors = False

# ---- How it looks

html_theme = "furo"
html_title = "recurra"
html_baseurl = "https://recurra.github.io/recurra/"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/recurra/recurra/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

"""What is different here from GitHub: links out of docs/, and to the files at the root that are pages; narrow tables.

The pages are read on GitHub too, where [x](../examples/x.py) leads to a file of the repository. So it does from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from typing import Any

    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/recurra/recurra"
SHORT, LONGEST_NAME = 14, 24  # letters
PAGES = {"CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing", "SECURITY.md": "security"}


class RepositoryLinks(SphinxTransform):
    """Before anything looks at them: what MyST took for downloads and for pages that there aren't."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Replaces each by a link to the repository, or to the page that includes the file."""
        for kind in (addnodes.download_reference, addnodes.pending_xref):
            for node in list(self.document.findall(kind)):
                if node.get("reftype") == "myst":
                    self._replace(node)

    def _replace(self, node: nodes.Element) -> None:
        target, anchor = node["reftarget"], node.get("reftargetid")
        if node.get("refdomain") == "doc":
            if target in self.env.found_docs:
                if node.astext() == f"{target.rpartition('/')[2]}.md":  # the title says more
                    node["refexplicit"] = False
                    node[0].clear()
                return
            target += ".md"
        elif not anchor:
            target, _, anchor = target.partition("#")
        file = self._file(target)
        if file is None:
            return
        page = PAGES.get(file)
        if page is None and file.startswith("docs/") and file.endswith(".md"):
            page = file.removeprefix("docs/").removesuffix(".md")  # from a file at the root that is a page
        if page in self.env.found_docs:
            made: nodes.Element = addnodes.pending_xref(
                refdomain="doc", reftarget=page, reftargetid=anchor, refdoc=self.env.docname, reftype="myst",
                refexplicit=True,
            )  # fmt: skip
        else:
            kind = "tree" if (ROOT / file).is_dir() else "blob"
            uri = f"{REPOSITORY}/{kind}/main/{file}" + (f"#{anchor}" if anchor else "")
            made = nodes.reference(refuri=uri, internal=False)
        made += node.children
        node.replace_self(made)

    def _file(self, target: str) -> str | None:
        """The file from the root on that a link of this page, or of one at the root, leads to."""
        if not target:
            return None
        for folder in (self.env.doc2path(self.env.docname).parent, ROOT):
            path = (folder / target).resolve()
            if path.exists() and path.is_relative_to(ROOT) and path != ROOT:
                return path.relative_to(ROOT).as_posix()
        return None


class ShortCells(SphinxTransform):
    """Names, and numbers with what belongs to them, "4.60 · 28 %", stay in one line of a table."""

    default_priority = 800

    def apply(self, **_: Any) -> None:
        """Marks cells and code of few letters."""
        for cell in self.document.findall(nodes.entry):
            for node in (cell, *cell.findall(nodes.literal)):
                if len(node.astext()) <= (SHORT if node is cell else LONGEST_NAME):
                    node["classes"].append("short")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(RepositoryLinks)
    app.add_transform(ShortCells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

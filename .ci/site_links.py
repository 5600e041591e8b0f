"""Whether all that the pages of a built site refer to is there: `python .ci/site_links.py FOLDER`.

Files and anchors of the site itself. Of other sites only links may point elsewhere: what a page loads comes with it.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    """What a page has to point at, and what it points at."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, bool]] = []  # with whether it is loaded
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes ids and references."""
        given = dict(attrs)
        self.anchors |= {given[name] or "" for name in ("id", "name") if name in given}
        if tag == "a" and given.get("href"):
            self.links.append((given["href"] or "", False))
        elif given.get(LOADED.get(tag, "")) and given.get("rel") != "canonical":
            self.links.append((given[LOADED[tag]] or "", True))


def faults(folder: Path) -> list[str]:
    """A line for each reference that leads nowhere."""
    pages = {file.resolve(): Page(file) for file in folder.rglob("*.html")}
    found = []
    for file, page in pages.items():
        for link, loaded in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if loaded and parts.scheme != "data":
                    found.append(f"{file.name}: loads {link}")
                elif parts.scheme not in {"http", "https", "mailto", "data"} or not (parts.netloc or parts.path):
                    found.append(f"{file.name}: {link} is no address")
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            if not target.is_file():
                found.append(f"{file.name}: {link} isn't there")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{file.name}: {link} has no such anchor")
    return found


if __name__ == "__main__":
    site = Path(sys.argv[1])
    assert (site / "index.html").exists(), f"{site}: expected a built site, which has an index.html"
    lines = faults(site)
    print("\n".join(lines) or "All links of the site lead somewhere.")
    sys.exit(bool(lines))

"""Writes what is compiled into the extension as a CycloneDX document, which goes into the wheel (PEP 770).

    python sbom.py OUT --version VERSION --pybind11 VERSION --pybind11-headers FOLDER

The same bytes for the same versions: no time, no random serial number. pybind11 is headers only, so nothing else tells
that it is in there; its licence asks that its text goes with what is compiled from it, and here it does, where the
package that brought the headers has it. What `auditwheel` adds to a wheel, it adds to the documents too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def licence_of_pybind11(headers: Path, version: str) -> dict[str, object]:
    """Its licence, with the text if the package that brought the headers has it beside them."""
    name: dict[str, object] = {"id": "BSD-3-Clause"}
    for folder in headers.resolve().parents:
        text = folder / f"pybind11-{version}.dist-info" / "licenses" / "LICENSE"
        if text.is_file():
            return name | {"text": {"contentType": "text/plain", "content": text.read_text("utf-8")}}
    return name


def document(version: str, pybind11: str, headers: Path) -> dict[str, object]:
    """The document as a dict."""
    ours, theirs = f"pkg:pypi/recurra@{version}", f"pkg:pypi/pybind11@{pybind11}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": ours,
                "name": "recurra",
                "version": version,
                "licenses": [{"license": {"id": "MIT"}}],
                "purl": ours,
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": theirs,
                "name": "pybind11",
                "version": pybind11,
                "description": "Headers, compiled into recurra._core",
                "licenses": [{"license": licence_of_pybind11(headers, pybind11)}],
                "purl": theirs,
            }
        ],
        "dependencies": [{"ref": ours, "dependsOn": [theirs]}, {"ref": theirs}],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--pybind11", required=True)
    parser.add_argument("--pybind11-headers", required=True, type=Path)
    given = parser.parse_args()
    made = document(given.version, given.pybind11, given.pybind11_headers)
    given.out.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")

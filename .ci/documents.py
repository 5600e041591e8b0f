"""Documents that others' tools read, checked as those tools do: the conda recipe, and what wheels say is in them.

python .ci/documents.py WHEEL...
"""

from __future__ import annotations

import json
import sys
import zipfile
from importlib import metadata
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, VariantConfig

STDLIBS = {"linux-64": "sysroot", "linux-aarch64": "sysroot", "osx-arm64": "macosx_deployment_target"}
COMPILED_IN = {"pybind11"}  # of which nothing else in a wheel tells


def check_recipe(version: str) -> None:
    """That it is one, on every platform that it is for, and of this version."""
    recipe = Stage0Recipe.from_file("recipe/recipe.yaml")
    for platform, stdlib in STDLIBS.items():
        variants = VariantConfig({"python": ["3.12.*"], "c_stdlib": [stdlib], "c_stdlib_version": ["2.28"]})
        (rendered,) = recipe.render(variants, RenderConfig(PlatformConfig(target_platform=platform)))
        made = rendered.recipe.package
        assert (made.name, str(made.version)) == ("recurra", version), (made.name, made.version, version)
    print(f"recipe.yaml: recurra {version} for {', '.join(STDLIBS)}")


def check_boms(wheel: str) -> None:
    """That each is valid CycloneDX, and that together they name what is in the wheel."""
    named: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        paths = [name for name in archive.namelist() if ".dist-info/sboms/" in name and not name.endswith("/")]
        for path in paths:
            text = archive.read(path).decode()
            given = json.loads(text)
            versions = {version.to_version(): version for version in SchemaVersion}
            error = JsonStrictValidator(versions[given["specVersion"]]).validate_str(text)
            assert error is None, (path, error)
            components = {one["name"]: one.get("version", "") for one in given["components"]}
            assert "timestamp" not in given.get("metadata", {}), f"{path} differs from build to build"
            named |= components.keys()
            print(f"{path}: {', '.join(' '.join(one) for one in components.items())}")
        libraries = [Path(name).name for name in archive.namelist() if ".libs/" in name and not name.endswith("/")]
    assert named >= COMPILED_IN, named
    for library in libraries:
        assert any(library.startswith(name.rstrip("1")) for name in named), (library, named)


if __name__ == "__main__":
    check_recipe(metadata.version("recurra") if len(sys.argv) < 2 else Path(sys.argv[1]).name.split("-")[1])
    for given in sys.argv[1:]:
        check_boms(given)

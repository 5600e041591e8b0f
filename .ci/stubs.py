"""Whether python/recurra/_core.pyi has the names and arguments of the compiled half: beside a stub made from that."""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = Path(__file__).parents[1] / "python" / "recurra" / "_core.pyi"


def functions(body):
    """Names of functions, and of the arguments of each; of a property, that it is one."""
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name not in {"__new__", "__init__"}:
            arguments = [one.arg for one in node.args.posonlyargs + node.args.args if one.arg != "self"]
            found[node.name] = "property" if "property" in map(ast.unparse, node.decorator_list) else arguments
    return found


def names(tree):
    """Those of the module, and of each class, what it inherits within the module included."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def members(name):
        bases = [base.id for base in classes[name].bases if isinstance(base, ast.Name) and base.id in classes]
        inherited = {key: value for base in bases for key, value in members(base).items()}
        return inherited | functions(classes[name].body)

    public = {f"{name}.{key}": value for name in classes if name[0] != "_" for key, value in members(name).items()}
    return functions(tree.body) | dict.fromkeys((name for name in classes if name[0] != "_"), "class") | public


with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "pybind11_stubgen", "recurra._core", "--ignore-all-errors", "-o", folder]
    subprocess.run(command, check=True, capture_output=True)
    made = names(ast.parse(Path(folder, "recurra", "_core.pyi").read_text()))
ours = names(ast.parse(OURS.read_text()))
# What is written for CPython itself, for the sake of speed, has no signatures to compare with.
plain = {name for name in made.keys() | ours.keys() if name == "seal" or name.startswith("Stream.")}
differing = sorted(name for name in (made.keys() | ours.keys()) - plain if made.get(name) != ours.get(name))
for name in differing:
    print(f"{name}: {made.get(name)} compiled, {ours.get(name)} in _core.pyi")
print(f"{len(made)} compiled names, of which {len(differing)} are described otherwise")
sys.exit(bool(differing) or len(made) < 100)

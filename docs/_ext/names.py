"""Names in docstrings and signatures: links where they lead somewhere, code where they don't."""

from __future__ import annotations

import builtins
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sphinx import addnodes
from sphinx.domains.python import PyXRefRole
from sphinx.ext.intersphinx import InventoryAdapter
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# What annotations call things by, with `from __future__ import annotations`, and where those are documented.
HOMES = {
    "np": "numpy",
    "Path": "os.PathLike",
    "ModelProto": "onnx.ModelProto",
    "NDArray": "numpy.typing.NDArray",
    **{
        name: f"collections.abc.{name}"
        for name in ("Callable", "Iterable", "Iterator", "Mapping", "MutableMapping", "Sequence")
    },
    **{name: f"typing.{name}" for name in ("Any", "ClassVar", "Literal", "Protocol", "Self", "TypeVar")},
}
WORDS = {  # of annotations, and the headings that say what they mean
    "Recurrent": ("api/layers", "rnn"),
    "Module": ("api/layers", "what-all-layers-share"),
    "Names": ("api/optim", "groups-of-parameters"),
    "CanStep": ("api/optim", "optimizers"),
    "States": ("api/index", "state"),
    "Array": ("api/index", "array"),
    "ArrayIn": ("api/index", "array"),
    "NumbersIn": ("api/index", "array"),
    "State": ("api/index", "state"),
    "Tape": ("api/layers", "tapes"),
    "Seed": ("api/index", "seed"),
    "Batches": ("api/training", "fit"),
    "Loss": ("api/losses", "losses"),
}
TAPES = re.compile(r"((_core|recurra\.\w+)\.)?(\w*Tape(32|64)?|_?LayerArrays)")
# Types of attributes that are for looking at.
INNER = {
    "Cell",
    "FormulaSequences",
    "Network32",
    "Network64",
    "Node",
    "Port",
    "Program",
    "Rate",
    "Step",
}
EXTERNAL = re.compile(r"(numpy|torch|sklearn|onnx|keras|pandas|collections\.abc|typing|types|os)\b")


class CodeRole(PyXRefRole):
    """Single backticks in docstrings: code of any kind, a name perhaps."""

    def process_link(
        self, env: BuildEnvironment, refnode: Element, has_explicit_title: bool, title: str, target: str
    ) -> tuple[str, str]:
        """The text stays as it is; what is called is looked for without its arguments."""
        refnode["recurra_code"] = True
        refnode["refdomain"], refnode["reftype"] = "py", "obj"
        shown, _ = super().process_link(env, refnode, has_explicit_title, title, target)
        return shown, re.sub(r"\(.*\)$", "", target, flags=re.DOTALL)


def full(target: str) -> str:
    """A name as its home has it."""
    first, dot, rest = target.partition(".")
    return HOMES.get(first, first) + dot + rest


class Words(SphinxPostTransform):
    """Before Sphinx looks for a name's last part anywhere: types without a page have a heading instead."""

    default_priority = 5

    def run(self, **_: Any) -> None:
        """Replaces them, but where their own module documents something of that name."""
        objects = self.env.domains["py"].data["objects"]
        for node in list(self.document.findall(addnodes.pending_xref)):
            target = node["reftarget"]
            if node.get("refdomain") != "py" or node.get("recurra_code"):
                continue
            if f"{node.get('py:module')}.{target}" in objects:
                node["reftarget"] = f"{node['py:module']}.{target}"
                continue
            if target in objects or (target.startswith("recurra.") and found(target) is None):
                continue
            last = target.rpartition(".")[2]
            if last in INNER and not target.startswith("recurra.reference"):
                node.replace_self(node.children)
            elif place := WORDS.get(last) or (TAPES.fullmatch(target) and WORDS["Tape"]):
                made = make_refnode(self.app.builder, self.env.docname, *place, node.children, target)
                node.replace_self(made)


def resolve(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: Element) -> Element | None:
    """Before intersphinx: gives names their homes, and keeps words that aren't names from being looked up."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    found = documented(env, node, target)
    if found is not None:
        return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content, target)
    if node.get("recurra_code"):
        elsewhere = EXTERNAL.match(full(target)) or isinstance(getattr(builtins, target, None), type)
        if not elsewhere or ("." not in target and target[0].islower()):
            return None if target.startswith("recurra.") else content
    node["reftarget"] = full(target)
    return None


def documented(env: BuildEnvironment, node: addnodes.pending_xref, target: str) -> Any:
    """Where an attribute that a class has from its base is documented, of whichever class that is."""
    objects = env.domains["py"].data["objects"]
    names = [target, f"recurra.{target}", f"{node.get('py:module')}.{target}"]
    for name in names:
        owner, _, attribute = name.rpartition(".")
        if name in objects:
            return objects[name]
        kind = found(owner)
        for base in getattr(kind, "__mro__", ()):
            if attribute not in vars(base) or attribute.startswith("_"):
                continue
            for other, entry in objects.items():
                if other.endswith("." + attribute) and vars(base)[attribute] is raw(other):
                    return entry
            break
    return None


def found(name: str) -> Any:
    """What has this name, or None."""
    parts = name.split(".")
    if parts[0] != "recurra":
        return None
    for cut in range(len(parts), 0, -1):
        try:
            value: Any = import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                value = getattr(value, part)
        except (ImportError, AttributeError):
            continue
        return value
    return None


def raw(name: str) -> Any:
    """An attribute as its class has it: a property, not what it returns."""
    owner, _, attribute = name.rpartition(".")
    for base in getattr(found(owner), "__mro__", ()):
        if attribute in vars(base):
            return vars(base)[attribute]
    return None


def leave_elsewhere(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: Element) -> Any:
    """After intersphinx: what other packages document is no mistake where their inventories can't be had."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if node.get("recurra_code") and not target.startswith("recurra."):
        return content
    package = target.partition(".")[0]
    key = package if package in app.config.intersphinx_mapping else "python" if is_pythons(target) else None
    elsewhere = EXTERNAL.match(target) or hasattr(builtins, target)
    return content if elsewhere and key not in InventoryAdapter(env).named_inventory else None


def is_pythons(target: str) -> bool:
    """Whether it is of the standard library or built in."""
    return target.partition(".")[0] in sys.stdlib_module_names or hasattr(builtins, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("code-name", CodeRole())
    app.add_post_transform(Words)
    app.connect("missing-reference", resolve, priority=100)
    app.connect("missing-reference", leave_elsewhere, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Whether a user's type checker knows the type of everything public: pyright's report, of the public names alone."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from public_names import public

command = [sys.executable, "-m", "pyright", "--ignoreexternal", "--outputjson", "--verifytypes", "recurra"]
report = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout
things = [base for thing in public().values() for base in (thing.__mro__ if inspect.isclass(thing) else [thing])]
ours = {f"{thing.__module__}.{thing.__qualname__}" for thing in things if hasattr(thing, "__qualname__")}
seen = 0
unknown = []
for symbol in json.loads(report)["typeCompleteness"]["symbols"]:
    owner, _, member = symbol["name"].rpartition(".")
    if ours & {symbol["name"], owner} and owner.startswith("recurra") and not member.startswith("_"):
        seen += 1
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]:
            unknown.append("\n    ".join([symbol["name"], *(one["message"] for one in symbol["diagnostics"])]))
print(*unknown, f"{seen} public names and members, {len(unknown)} of unknown type", sep="\n")
sys.exit(bool(unknown) or seen < 400)

"""python tests/doctor_hashes.py writes what `python -m recurra doctor` compares bits with, by this machine's kernels.

It is run when a network is added to `recurra.doctor.networks`, or when bits are meant to change. The hashes of an
architecture's baseline are kept where this machine has another architecture. tests/test_doctor.py compares them.
"""

from __future__ import annotations

import json

import recurra
from recurra.doctor.bits import STORED, family
from recurra.doctor.child import start


def main() -> None:
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    made: dict[str, dict[str, str]] = {}
    for isa in recurra.build_info()["isas_available"]:
        report = start("networks", RECURRA_ISA=isa).result()
        assert report.get("threads") == [], report
        assert made.setdefault(family(isa), report["hashes"]) == report["hashes"], f"{isa} has bits of its own"
    STORED.write_text(json.dumps(stored | made, indent=1) + "\n")


if __name__ == "__main__":
    main()

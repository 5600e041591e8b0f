"""Two processes that train one model through MPI; test_distributed runs it and compares what they say.

Their shares differ in size; in one of them a loss is NaN once, which both skip; without validation, patience looks at
both shares; each writes checkpoints, and goes on from them.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

import recurra
from two_processes_data import make, whole


def main(folder):
    world, calls = MPI.COMM_WORLD, []
    rank = world.rank

    def loss(y, target):
        value, gradient = recurra.mse(y, target)
        calls.append(value)
        return (math.nan if rank == 1 and len(calls) == 3 else value), gradient

    x, target = whole()
    rows = slice(0, 3) if rank == 0 else slice(3, 5)
    batches = [(x[i, :, rows], target[i, :, rows]) for i in range(4)]
    options = {
        "reduce": lambda array: world.Allreduce(MPI.IN_PLACE, array),
        "nonfinite": "skip",
        "patience": 2,
        "metrics": {"largest": lambda y, t: float(np.abs(y - t).max())},
        "checkpoint": Path(folder) / f"rank{rank}",
    }
    model, optimizer = make()
    recurra.fit(model, batches, loss, optimizer, epochs=3, **options)
    model, optimizer = make()
    history = recurra.fit(model, batches, loss, optimizer, epochs=40, resume=True, **options)
    weights = b"".join(value.tobytes() for value in model.state_dict().values())
    said = {"weights": hashlib.sha256(weights).hexdigest(), "skipped": history.skipped, "stopped": history.stopped}
    said |= {"validation": history.validation, "metrics": history.validation_metrics, "losses": history.losses}
    (Path(folder) / f"said{rank}").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])

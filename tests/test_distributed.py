"""Training in several processes: the recipes of examples/, and decisions that all processes make alike."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import recurra
import two_processes_data

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*command, **environment):
    result = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        cwd=Path(__file__).parent,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def check_recipe(said):
    """Both processes saw the losses of the whole batches, and their weights are those of training alone."""
    losses = re.findall(r"process \d: loss (\d\.\d{4}) to (\d\.\d{4})", said)  # lines of several processes may mingle
    assert len(losses) == 2
    assert losses[0] == losses[1]
    assert float(losses[0][1]) < 0.6 * float(losses[0][0])
    assert float(re.search(r"distance from training alone: (\d\.\de-\d\d)", said)[1]) < 1e-6


def test_torch():
    pytest.importorskip("torch")
    check_recipe(run(sys.executable, EXAMPLES / "distributed_torch.py"))


def mpi():
    """The program that starts processes, and where its library is; the wheel may lie in a folder of its own."""
    try:
        files = {file.name: Path(file.locate()).resolve() for file in metadata.files("mpich") or ()}
    except metadata.PackageNotFoundError:
        files = {}
    program = files.get("mpiexec", shutil.which("mpiexec"))
    if program is None or find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py and mpich")
    libraries = [str(path.parent) for name, path in files.items() if name.startswith("libmpi.so")]
    return program, {"LD_LIBRARY_PATH": ":".join([*libraries[:1], os.environ.get("LD_LIBRARY_PATH", "")])}


def test_mpi():
    program, environment = mpi()
    check_recipe(run(program, "-n", 2, sys.executable, EXAMPLES / "distributed_mpi.py", **environment))


def test_joblib():
    """The table doesn't depend on how many workers there are."""
    pytest.importorskip("joblib")
    tables = [run(sys.executable, EXAMPLES / "search_joblib.py", workers) for workers in (1, 2)]
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 4
    assert "accuracy 100.0%" in tables[0].splitlines()[0]


def test_processes_decide_alike(tmp_path):
    """What isn't finite in one is skipped by both; they lose patience together, over the shares of both."""
    pytest.importorskip("safetensors")
    program, environment = mpi()
    run(program, "-n", 2, sys.executable, "two_processes.py", tmp_path, **environment)
    first, second = (json.loads((tmp_path / f"said{rank}").read_text()) for rank in (0, 1))
    assert first == second
    assert first["skipped"] == 1
    assert first["stopped"] == "patience"
    assert len(first["validation"]) > 3
    # alone, with whole batches and without the one that was skipped
    x, target = two_processes_data.whole()
    model, optimizer = two_processes_data.make()
    batches = list(zip(x, target, strict=True))
    kept = lambda epoch: batches if epoch else [*batches[:2], *batches[3:]]  # noqa: E731
    epochs = len(first["losses"])
    history = recurra.fit(model, kept, recurra.mse, optimizer, epochs=epochs, validation=batches, patience=2)
    np.testing.assert_allclose(history.losses, first["losses"], rtol=1e-9)
    np.testing.assert_allclose(history.validation, first["validation"], rtol=1e-9)

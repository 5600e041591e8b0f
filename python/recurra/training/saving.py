"""When checkpoints are written, and where a training begins."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import check_size
from recurra._files import checked_path, checked_target
from recurra.history import History

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from .run import Run


class Saving:
    """The arguments about checkpoints, checked."""

    def __init__(self, checkpoint: Any, every: object, resume: Any) -> None:
        self._path = None if checkpoint is None else _check_path("checkpoint", checkpoint)
        self._every = check_size("checkpoint_every", every)
        self._source = self._check_source(resume)
        if self._path is None and self._source is None:
            return
        name = "checkpoint" if self._path is not None else "resume"
        if importlib.util.find_spec("safetensors") is None:
            raise ImportError(f"{name}: expected safetensors, which is missing: pip install 'recurra[safetensors]'")
        if self._path is not None:
            checked_target("checkpoint", self._path)  # before an epoch is lost

    def begin(self, run: Run, metrics: list[str]) -> History:
        """The history so far, the run being brought to where it was then."""
        if self._path is None and self._source is None:
            return History()
        run.check("checkpoint" if self._path is not None else "resume")
        if self._source is None:
            return History()
        from .checkpoint import read_checkpoint

        return read_checkpoint(self._source, run, metrics)

    def after_epoch(self, run: Run, history: History, last: bool) -> None:
        """Writes what is due."""
        if self._path is not None and (last or len(history.losses) % self._every == 0):
            from .checkpoint import write_checkpoint

            write_checkpoint(self._path, run, history)

    def _check_source(self, resume: Any) -> Path | None:
        if not isinstance(resume, (bool, np.bool_)):
            return _check_path("resume", resume)
        if not resume:
            return None
        if self._path is None:
            raise ValueError("resume: expected a path, or True beside a checkpoint, got True without one")
        return self._path if self._path.exists() else None


def _check_path(name: str, value: str | os.PathLike[str]) -> Path:
    from pathlib import Path  # 3 ms, for those who save only

    return Path(checked_path(name, value))

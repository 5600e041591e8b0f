"""Checkpoints: all that a training needs to go on, to the bit, as if it had never stopped, in one file."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra._checks import shown
from recurra.history import History
from recurra.weights.errors import FormatError
from recurra.weights.strict_json import parse_json
from recurra.weights.tensor_file import read_tensors, write_tensors

from .generators import describe, described

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from recurra.module import Array

    from .run import Run

    Arrays = dict[str, Array]

KEY = "recurra.fit"  # of the description in the file's metadata
VERSION = 1
LISTS = ("losses", "validation", "seconds", "norms", "rates")


def write_checkpoint(path: str | os.PathLike[str], run: Run, history: History) -> None:
    """Writes all of a training after a whole epoch.

    Raises:
        TypeError, ValueError: a state has something else than arrays by name.
        OSError: the file can't be written; what was there still is.
    """
    best = run.best
    states = run.states() | ({} if best.weights is None else {"best": best.weights})
    arrays = {f"{part}/{name}": np.asarray(value) for part, state in states.items() for name, value in state.items()}
    arrays |= {f"history/{name}": np.array(getattr(history, name), float) for name in LISTS}
    for name in ("metrics", "validation_metrics"):
        lists = getattr(history, name).values()
        arrays |= {f"history/{name}.{i}": np.array(values, float) for i, values in enumerate(lists)}
    random, texts = ({}, {}) if run.generator is None else describe(run.generator)
    arrays |= {f"rng/{name}": array for name, array in random.items()}
    header = run.kinds() | {
        "version": VERSION,
        "metrics": list(history.metrics),
        "validation_metrics": list(history.validation_metrics),
        "skipped": history.skipped,
        "waited": best.waited,
        "rng": texts,
    }
    arrays["history/best"] = np.array([best.loss])
    write_tensors(path, arrays, {KEY: json.dumps(header, allow_nan=False)})


def read_checkpoint(path: str | os.PathLike[str], run: Run, metrics: list[str]) -> History:
    """Gives a training the state that was written, and returns its history.

    Args:
        path: of the file.
        run: of the same kinds and shapes.
        metrics: their names.

    Raises:
        FormatError: the file is damaged, or no checkpoint.
        ValueError: it is one of something else; the message says what differs. Nothing is changed then.
        OSError: there is no such file, or it can't be read.
    """
    arrays, metadata = read_tensors(path)
    header = _header(path, metadata)
    parts: dict[str, Arrays] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = array
    for what, kind in run.kinds().items():
        if header.get(what) != kind:
            own, other = kind or f"no {what}", header.get(what) or f"no {what}"
            raise ValueError(f"resume: expected a checkpoint with {own}, as in the call, got one with {other}")
    model = run.model.state_dict()
    for part in ("model", "best"):
        if part == "model" or part in parts:
            _check_like(part, parts.get(part, {}), model)
    history = _history(path, parts.get("history", {}), header, metrics)
    kept, *_ = _numbers(path, "best", parts.get("history", {})) or [math.inf]
    position = _position(run.generator, parts.get("rng", {}), header)
    run.load({name: parts.get(name, {}) for name in run.states()})
    if run.generator is not None:
        run.generator.bit_generator.state = position
    best = run.best
    if best.patience is not None:
        best.loss, best.weights = kept, parts.get("best")
        best.waited = header["waited"]
        history.best = None if best.weights is None else best.loss
    return history


def _header(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    header = parse_json(metadata[KEY], "description") if KEY in metadata else None
    counts = [header.get(name) for name in ("skipped", "waited")] if isinstance(header, dict) else [None]
    if not isinstance(header, dict) or not all(type(count) is int and count >= 0 for count in counts):
        raise FormatError(f"{shown(str(path))}: expected a checkpoint of fit, got another file")
    if header.get("version") != VERSION:
        raise FormatError(f"{shown(str(path))}: expected version {VERSION}, got {shown(header.get('version'))}")
    return header


def _check_like(part: str, arrays: Arrays, model: Arrays) -> None:
    """Whether weights are ones of this model."""
    wrong = [f"no {name}" for name in model if name not in arrays]
    wrong += [f"also {name}" for name in arrays if name not in model]
    for name, own in model.items():
        array = arrays.get(name, own)
        if (array.dtype, array.shape) != (own.dtype, own.shape):
            wrong.append(f"{name} {array.dtype} {array.shape} instead of {own.dtype} {own.shape}")
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        what = "weights" if part == "model" else "best weights"
        raise ValueError(f"resume: expected a checkpoint of this model, got {what} with {', '.join(wrong[:5])}{more}")


def _history(path: str | os.PathLike[str], arrays: Arrays, header: Mapping[str, Any], metrics: list[str]) -> History:
    """The history, whose lists are as long as they should be."""
    found = {name: _numbers(path, name, arrays) for name in LISTS}
    named = {}
    for name in ("metrics", "validation_metrics"):
        names = header.get(name)
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise FormatError(f"{shown(str(path))}: expected names of {name}, got {shown(names)}")
        if names != metrics and (names or name == "metrics"):
            raise ValueError(f"resume: expected a checkpoint with metrics {metrics}, as in the call, got {names}")
        named[name] = {one: _numbers(path, f"{name}.{i}", arrays) for i, one in enumerate(names)}
    epochs = len(found["losses"])
    for values in (*found.values(), *named["metrics"].values(), *named["validation_metrics"].values()):
        if len(values) not in {0, epochs}:
            raise FormatError(f"{shown(str(path))}: expected {epochs} numbers in a list, got {len(values)}")
    return History(**found, skipped=header["skipped"], **named)  # type: ignore[arg-type]


def _numbers(path: str | os.PathLike[str], name: str, arrays: Arrays) -> list[float]:
    array = arrays.get(name)
    if array is None or array.dtype != np.float64 or array.ndim != 1:
        raise FormatError(f"{shown(str(path))}: expected numbers as {name}, got {shown(array)}")
    numbers: list[float] = array.tolist()
    return numbers


def _position(generator: np.random.Generator | None, arrays: Arrays, header: Mapping[str, Any]) -> Any:
    """The state of a generator, or None if there is none."""
    texts = header.get("rng")
    if not isinstance(texts, dict):
        raise FormatError(f"resume: expected a generator's state as rng, got {shown(texts)}")
    if generator is None:
        if texts:
            raise ValueError("resume: expected a checkpoint without rng, as in the call, got one with it")
        return None
    if not texts:
        raise ValueError("resume: expected a checkpoint with rng, as in the call, got one without")
    return described(generator, arrays, texts)

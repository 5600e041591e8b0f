"""The network and the optimizer that an estimator's parameters describe, checked before anything is trained."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any

from recurra import cells
from recurra._checks import check_dtype, check_flag, check_number, check_size, shown
from recurra.feedforward import Dropout, Last
from recurra.formula_layer import FormulaLayer
from recurra.layers import GRU, LSTM, RNN
from recurra.linear import Linear
from recurra.optim import SGD, Adam, AdamW
from recurra.recurrent import Recurrent
from recurra.sequential import Sequential

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

BUILT_IN: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
OPTIMIZERS: dict[str, Any] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
OUTPUTS = ("last", "steps")


def chosen(name: str, value: Any, table: Mapping[str, Any], also: str) -> Any:
    """What stands for a name in a table, whatever its case."""
    found = table.get(value) or table.get(value.lower())
    if found is None:
        near = difflib.get_close_matches(value.lower(), table, 1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name}: expected {', '.join(map(repr, table))}{also}, got {value!r}{hint}")
    return found


def layer_type(cell: Any) -> Any:
    """The class of recurrent layers that `cell` names or is."""
    if isinstance(cell, str):
        published = getattr(cells, cell, None) if cell.lower() not in BUILT_IN else None
        if isinstance(published, type) and issubclass(published, FormulaLayer):
            return published
        return chosen("cell", cell, BUILT_IN, ", a name in recurra.cells or a class of layers")
    if isinstance(cell, type) and issubclass(cell, Recurrent) and cell is not FormulaLayer:
        return cell
    raise TypeError(
        f"cell: expected 'lstm', 'gru', 'rnn', a name in recurra.cells or a class of layers, got {shown(cell)}"
    )


def optimizer_type(optimizer: Any) -> Any:
    """A function of (model, lr=…, weight_decay=…) that makes one."""
    if isinstance(optimizer, str):
        return chosen("optimizer", optimizer, OPTIMIZERS, " or a class such as recurra.Adam")
    if callable(optimizer):
        return optimizer
    raise TypeError(f"optimizer: expected 'adam', 'adamw', 'sgd' or a class such as recurra.Adam, got {optimizer!r}")


def check_parameters(estimator: Any) -> None:
    """Every parameter that isn't checked by what it is handed to.

    Raises:
        TypeError, ValueError: one of them isn't what it should be.
    """
    layer_type(estimator.cell)
    optimizer_type(estimator.optimizer)
    for name in ("hidden_size", "num_layers", "batch_size", "max_epochs", "n_iter_no_change"):
        check_size(name, getattr(estimator, name))
    for name in ("bidirectional", "standardize", "early_stopping"):
        check_flag(name, getattr(estimator, name))
    check_number("dropout", estimator.dropout, "a number in [0, 1)", 0, 1)
    check_number("weight_decay", estimator.weight_decay, "a number from 0 up", 0, math.inf)
    check_number("tol", estimator.tol, "a number from 0 up", 0, math.inf)
    if estimator.clip_norm is not None:
        check_number("clip_norm", estimator.clip_norm, "None or a number above 0", 5e-324, math.inf)
    check_number("learning_rate", estimator.learning_rate, "a number from 0 up", 0, math.inf)
    check_number("validation_fraction", estimator.validation_fraction, "a number in (0, 1)", 5e-324, 1)
    check_dtype(estimator.dtype)
    if estimator.schedule is not None and not callable(estimator.schedule):
        raise TypeError(
            f"schedule: expected None or a function of the optimizer, such as recurra.schedules.StepLR with arguments, "
            f"got {shown(estimator.schedule)}"
        )
    if not isinstance(estimator.output, str) or estimator.output not in OUTPUTS:
        raise ValueError(f"output: expected 'last' or 'steps', got {shown(estimator.output)}")
    if not (isinstance(estimator.verbose, (int, str)) and estimator.verbose in (0, 1, 2, "bar")):
        raise ValueError(f"verbose: expected 0, 1, 2 or 'bar', got {shown(estimator.verbose)}")
    if estimator.cell_options is not None and not hasattr(estimator.cell_options, "keys"):
        raise TypeError(f"cell_options: expected a dict of a layer's arguments, got {shown(estimator.cell_options)}")


def make_model(estimator: Any, features: int, outputs: int, rng: np.random.Generator) -> Sequential:
    """Recurrent layers, what a sequence comes to unless every step counts, dropout and a linear read-out."""
    kind = layer_type(estimator.cell)
    dtype, rate = check_dtype(estimator.dtype), float(estimator.dropout)
    options = {
        "num_layers": int(estimator.num_layers),
        "bidirectional": bool(estimator.bidirectional),
        "dropout": rate if estimator.num_layers > 1 else 0.0,
        "dtype": dtype,
        "seed": rng,
        "tokens": False,
    } | dict(estimator.cell_options or {})
    recurrent = kind(features, int(estimator.hidden_size), **options)
    width = (recurrent.proj_size or recurrent.hidden_size) * (2 if recurrent.bidirectional else 1)
    layers = [recurrent] if estimator.output == "steps" else [recurrent, Last()]
    layers += [Dropout(rate)] if rate else []
    return Sequential(*layers, Linear(width, outputs, dtype=dtype, seed=rng))


def make_optimizer(estimator: Any, model: Sequential) -> Any:
    """With weight decay only where there is some, so that an optimizer's own default stands else."""
    kind = optimizer_type(estimator.optimizer)
    decay = {"weight_decay": float(estimator.weight_decay)} if estimator.weight_decay else {}
    return kind(model, lr=float(estimator.learning_rate), **decay)

"""`recurra.save` and `recurra.load`: models, and the optimizers that train them, in files that hold nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import recurra
from recurra._checks import shown
from recurra.optim import Optimizer

from .building import Builder, named_types
from .description import Description
from .errors import FormatError
from .optimizers import describe_optimizer, optimizer_of
from .strict_json import parse_json
from .tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from recurra.module import Array

VERSION = 1
KEY = "recurra"  # of the description in the file's metadata
OPTIMIZER = "optimizer/"  # what names of its arrays begin with; no parameter's has a slash


def save(path: str | os.PathLike[str], model: Any, *, optimizer: Optimizer | None = None) -> None:
    """Writes a model, and what trains it, to a file in the safetensors format, to the last bit.

    The file has the parameters by `model.state_dict()`'s names, which are PyTorch's, so that other tools read them too,
    and a description in JSON: classes and options, nothing that could be executed. The new file takes the old one's
    place at once, once it is whole and on the disk; a crash leaves one of the two, and perhaps a hidden `.….recurra`
    beside it. Symbolic links stay, and so do an old file's permissions. Gradients aren't saved.

    Args:
        path: of the file, by custom `*.safetensors`.
        model: a layer, a model, compressed or not, or an object of your own with `state_dict`. Of a class of your own
            `load` needs the class; where its constructor isn't that of a layer of the package, the class needs a method
            `get_config()`, which returns the constructor's arguments by name: numbers, texts, layers, lists, tuples
            and dicts of such. Without one the arrays are saved, for `load(path, into=model)`.
        optimizer: of parameters of the model: its class, groups and state. Training goes on from the file as if it had
            never stopped, to the bit.

    Raises:
        ImportError: without safetensors (`pip install 'recurra[safetensors]'`).
        TypeError: the model or a member of it can't be saved; nothing is written then.
        ValueError: likewise, of names and of what an optimizer trains.
        OSError: the file can't be written; what was there still is.

    Example:
        >>> model = recurra.Sequential(recurra.GRU(3, 8, seed=0), recurra.Last(), recurra.Linear(8, 1, seed=1))
        >>> adam = recurra.Adam(model, lr=0.01)
        >>> recurra.save("model.safetensors", model, optimizer=adam)
        >>> model, adam = recurra.load("model.safetensors", optimizer=True)
        >>> model[0], adam.lr
        (GRU(3, 8), 0.01)
    """
    if not callable(getattr(model, "state_dict", None)) or isinstance(model, type):
        hint = ": the order is save(path, model)" if hasattr(path, "state_dict") else ""
        raise TypeError(f"model: expected a layer or an object with state_dict(), got {shown(model)}{hint}")
    description = Description()
    description.add(model)
    header: dict[str, Any] = {"version": VERSION, "package": recurra.__version__, "layers": description.layers}
    state = model.state_dict()
    if not hasattr(state, "keys"):
        raise TypeError(f"model: expected a dict of arrays from state_dict(), got {shown(state)}")
    arrays = dict(state)
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"model: expected names from state_dict() that are strings, got {shown(name)}")
    if any(name.startswith(OPTIMIZER) for name in arrays):
        raise ValueError(f"model: expected names of parameters that don't begin with {OPTIMIZER}, got such")
    if optimizer is not None:
        header["optimizer"] = describe_optimizer(optimizer, model)
        arrays |= {OPTIMIZER + name: array for name, array in optimizer.state_dict().items()}
    write_tensors(path, arrays, {KEY: json.dumps(header, allow_nan=False)})


def load(
    path: str | os.PathLike[str],
    *,
    types: Iterable[type[Any]] = (),
    into: Any = None,
    optimizer: bool | Optimizer = False,
) -> Any:
    """Reads what `save` wrote. Nothing in the file is executed, and no class is looked up by a name from it.

    A layer in several places of the model stays one, and a cell made by `from_layer` shares its layer's weights again.
    No memory is taken beyond a few times the file's size, but for what a `get_config` class does with its arguments.

    Args:
        path: of the file.
        types: classes of your own that the model has: layers made of formulas, which have to be the formulas that were
            saved, to the last constant (the error says what differs); and classes whose `get_config()` gave the
            arguments that they are called with. Those of `recurra.cells` are known.
        into: a model that takes over the file's arrays, whatever made it; the file may then be any safetensors file
            with arrays of the names, shapes and dtype of the model's parameters. Without it, a model is made.
        optimizer: True for that of the file, as second result; or one of the model in `into`, of the file's class,
            which takes over its state.

    Returns:
        The model; with `optimizer`, the pair (model, optimizer).

    Raises:
        ImportError: without safetensors.
        FormatError: the file is truncated, damaged, of another format or of a newer version, has sizes that its arrays
            don't have, more than 32,768 arrays or 8 MB of names and descriptions; or a class isn't there or isn't what
            was saved. A ValueError, which names the file and the trouble. Nothing is changed then, in `into` neither.
        TypeError: another argument is of a wrong type, or arrays are of another dtype than those of `into`.
        ValueError: another argument is wrong, or `into` has other parameters.
        OSError: there is no such file, or it can't be read.

    Example:
        >>> recurra.save("lstm.safetensors", recurra.LSTM(3, 8, num_layers=2, seed=0))
        >>> recurra.load("lstm.safetensors")
        LSTM(3, 8, num_layers=2)
        >>> recurra.load("lstm.safetensors", into=recurra.LSTM(3, 8, num_layers=2, batch_first=True))
        LSTM(3, 8, num_layers=2, batch_first=True)
    """
    own = named_types(types)
    if into is not None and (isinstance(into, type) or not callable(getattr(into, "load_state_dict", None))):
        raise TypeError(f"into: expected a model, got {shown(into)}")
    if not isinstance(optimizer, (bool, Optimizer)):
        raise TypeError(f"optimizer: expected True, False or an optimizer, got {shown(optimizer)}")
    if isinstance(optimizer, Optimizer) and into is None:
        raise ValueError(f"optimizer: expected True, or into=, the model that it is of, got {shown(optimizer)}")
    arrays, metadata = read_tensors(path)
    state = {name.removeprefix(OPTIMIZER): value for name, value in arrays.items() if name.startswith(OPTIMIZER)}
    arrays = {name: value for name, value in arrays.items() if not name.startswith(OPTIMIZER)}
    try:
        header = _header(metadata, needed=into is None or optimizer is not False)
        model = into
        if model is None:
            model = Builder(own, arrays).build(header.get("layers"))
            _load_arrays(model, arrays)
        trainer = optimizer_of(optimizer, header.get("optimizer"), model, own)
        if into is None:
            _load_arrays(trainer, state)
    except (FormatError, RecursionError) as error:
        raise FormatError(f"{str(path)!r}: {error}") from error
    if into is not None:
        _take_over(into, arrays, trainer, state)
    return model if trainer is None else (model, trainer)


def _header(metadata: Mapping[str, str], needed: bool) -> dict[str, Any]:
    """The description in the metadata, or an empty one."""
    if KEY not in metadata:
        if needed and "recurra.fit" in metadata:
            raise FormatError(
                "expected a file of recurra.save, got a checkpoint of recurra.fit, which goes on from it with resume="
            )
        if needed:
            raise FormatError(
                "expected a file of recurra.save, got one without its description; load(path, into=model) takes arrays "
                "of any safetensors file"
            )
        return {}
    header = parse_json(metadata[KEY], "description")
    if type(header) is not dict or type(header.get("version")) is not int:
        raise FormatError(f"description: expected a version, got {shown(header)}")
    if header["version"] != VERSION:
        raise FormatError(f"description: expected version {VERSION}, which this package knows, got {header['version']}")
    return header


def _load_arrays(target: Any, arrays: Mapping[str, Array]) -> None:
    """Gives a model or optimizer that was just made its arrays, which are as wrong as the file is."""
    if target is None:
        return
    try:
        target.load_state_dict(arrays)
    except (TypeError, ValueError) as error:
        raise FormatError(f"expected arrays of {type(target).__name__}, got others: {error}") from error


def _take_over(model: Any, arrays: Mapping[str, Array], trainer: Any, state: Mapping[str, Array]) -> None:
    """Gives a caller's model and optimizer the arrays, both or none."""
    before = model.state_dict()
    model.load_state_dict(arrays)
    if trainer is not None:
        try:
            trainer.load_state_dict(state)
        except BaseException:
            model.load_state_dict(before)
            raise

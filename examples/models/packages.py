"""What the programs here share: files of packages, pieces of ONNX files, and a race in turns."""

import argparse
import importlib
import importlib.util
import sys
import time
import types
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

import recurra

NARROW = ("int8", "bfloat16", "float16")  # what weights are compressed to


def parser(description):
    """A parser with the option of all programs; the first line of `description` is what --help shows."""
    options = argparse.ArgumentParser(
        description=description.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--turns", type=int, default=15, help="how often each model is timed")
    return options


def file_of(package, name=""):
    """A file of a package that is installed, without importing it, as it may want others that aren't."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise ModuleNotFoundError(f"{package} is missing: pip install --no-deps {package.replace('_', '-')}")
    return Path(found.submodule_search_locations[0]) / name


def own_module(name, *missing):
    """A module within a package: without what the package's own `__init__` does, and mocks in the place of `missing`.

    So the package's code runs where not all is installed that it imports; and what it would download stays where it is.
    """
    package = types.ModuleType(name.partition(".")[0])
    package.__path__ = [str(file_of(package.__name__))]
    stand_ins = {package.__name__: package} | {module: mock.MagicMock() for module in missing}
    inside = [module for module in sys.modules if module.startswith(f"{package.__name__}.")]
    before = {module: sys.modules.pop(module) for module in [*inside, *stand_ins] if module in sys.modules}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module(name)
    finally:
        for module in [*stand_ins, *(m for m in sys.modules if m.startswith(f"{package.__name__}."))]:
            sys.modules.pop(module, None)
        sys.modules.update(before)


def session(model):
    """ONNX Runtime with one thread, of a file's path or of an ONNX model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def arrays_of(model):
    """The constants, by name, of a file's path or of an ONNX model."""
    import onnx

    model = onnx.load(model) if isinstance(model, Path) else model
    return {constant.name: onnx.numpy_helper.to_array(constant) for constant in model.graph.initializer}


def piece(path, first, last):
    """The ONNX model that computes the float32 array `last` of a file's from its array `first`."""
    import onnx

    model, nodes, needed = onnx.load(path), [], {last}
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.insert(0, node)
            needed |= {*node.input} - {first}
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (first, last)]
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    graph = onnx.helper.make_graph(nodes, "piece", ends[:1], ends[1:], constants)
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def filled(layer, *arrays):
    """The layer with these arrays as its parameters, in their order."""
    layer.load_state_dict({name: np.ascontiguousarray(a) for name, a in zip(layer.params, arrays, strict=True)})
    return layer


def size_of(model):
    """The bytes of its parameters."""
    return model.size if hasattr(model, "size") else sum(array.nbytes for array in model.state_dict().values())


def compressed(model, weights=None):
    """The model itself, or a copy with narrow weights."""
    return model if weights is None else recurra.compress(model, weights)


def versions(make):
    """Models by name: in float32, what `make()` makes, and what `make(weights)` makes with narrow weights."""
    return {"float32": make()} | {weights: make(weights) for weights in NARROW}


def in_turns(calls, turns):
    """The seconds (calls, turns) of calls without arguments; each turn calls all, as moments are busy."""
    seconds = [[] for _ in calls]
    for _ in range(turns):
        for call, row in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            row.append(time.perf_counter() - start)
    return np.array(seconds)


def race(title, models, answer, difference, outcome, turns):
    """Prints how large each model is, how far off, how fast beside the first one, and what comes of its answer.

    Times are medians; "at best" compares the fastest turn of each.

    Args:
        title: a line above the table.
        models: by name; the first is the package's own.
        answer: of a model, what is timed.
        difference: of two models, a number.
        outcome: of two answers, a text about the first of them.
        turns: how often each is timed.
    """
    own, *_ = models.values()
    answers = [answer(model) for model in models.values()]
    seconds = in_turns([partial(answer, model) for model in models.values()], turns)
    medians, fastest = np.median(seconds, axis=1), seconds.min(axis=1)
    print(f"{title}\n{'':28}{'bytes':>12}{'difference':>12}{'ms':>10}{'faster':>9}{'at best':>9}  outcome")
    for (name, model), each, median, least in zip(models.items(), answers, medians, fastest, strict=True):
        speed = f"{1e3 * median:10.3f}{medians[0] / median:8.2f}x{fastest[0] / least:8.2f}x"
        print(f"{name:28}{size_of(model):12,}{difference(model, own):12.1e}{speed}  {outcome(each, answers[0])}")

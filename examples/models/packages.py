"""What the models share: files of packages, a piece of an ONNX file, and a race of answers in turns."""

import importlib
import importlib.util
import statistics
import sys
import time
import types
from pathlib import Path
from unittest import mock

import numpy as np


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
    """ONNX Runtime with one thread, of a file's path or an ONNX model's bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def piece(path, first, last):
    """The bytes of an ONNX model that computes the float32 array `last` of another's file from its array `first`."""
    import onnx

    graph, nodes, needed = onnx.load(path), [], {last}
    for node in reversed(graph.graph.node):
        if needed.intersection(node.output):
            nodes.insert(0, node)
            needed |= {*node.input} - {first}
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (first, last)]
    constants = [constant for constant in graph.graph.initializer if constant.name in needed]
    part = onnx.helper.make_graph(nodes, "piece", ends[:1], ends[1:], constants)
    options = {"opset_imports": graph.opset_import, "ir_version": graph.ir_version}
    return onnx.helper.make_model(part, **options).SerializeToString()


def arrays_of(path):
    """An ONNX file's constants by name."""
    import onnx

    return {constant.name: onnx.numpy_helper.to_array(constant) for constant in onnx.load(path).graph.initializer}


def filled(layer, *arrays):
    """The layer with these arrays as its parameters, in their order."""
    layer.load_state_dict({name: np.ascontiguousarray(a) for name, a in zip(layer.params, arrays, strict=True)})
    return layer


def size_of(*models):
    """The bytes of their parameters."""
    return sum(array.nbytes for model in models for array in model.state_dict().values())


def in_turns(calls, turns):
    """The median seconds of each call; each turn calls all of them, so that a busy moment hits them alike."""
    seconds = [[] for _ in calls]
    for _ in range(turns):
        for call, row in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            row.append(time.perf_counter() - start)
    return [statistics.median(row) for row in seconds]


def race(title, contestants, difference, outcome, turns=15):
    """Prints what each contestant answers, how far from the first one's answer, and how fast it is beside the first.

    Args:
        title: a line above the table.
        contestants: by name, bytes of its parameters and what computes its answer. The first is the package's own.
        difference: of two answers, a number.
        outcome: of an answer, what it is for: a list of segments, words, texts…; or of two answers, a text.
        turns: how often each is called.
    """
    calls = [call for _, call in contestants.values()]
    answers = [call() for call in calls]
    seconds = in_turns(calls, turns)
    print(title)
    print(f"{'':28}{'bytes':>12}{'difference':>12}{'ms':>10}{'faster':>9}  outcome")
    for name, (size, _), answer, taken in zip(contestants, contestants.values(), answers, seconds, strict=True):
        print(
            f"{name:28}{size:12,}{difference(answer, answers[0]):12.1e}{1e3 * taken:10.3f}"
            f"{seconds[0] / taken:8.2f}x  {outcome(answer, answers[0])}"
        )

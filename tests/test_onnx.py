"""The standard's own tests of all operators, read by `from_onnx`: each gives its answer, or is refused by name."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections import Counter

import numpy as np
import pytest

import recurra

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402
from onnx.backend.test.case import node as standard  # noqa: E402

from onnx_nodes import PARAMETERS  # noqa: E402
from recurra.onnx.nodes import NEWEST, OPERATORS  # noqa: E402
from recurra.onnx.reader import from_onnx  # noqa: E402

RECURRENT = {"RNN", "LSTM", "GRU"}
# Why a case of an operator that there is a rule for may be refused.
REASONS = (
    "expected numbers or bools",  # bfloat16, 4 bits, strings
    "expected tensors",  # sequences, optionals
    "expected no attribute saturate",  # of casts to 8 bits
    "expected no attribute block_size",
    "expected no attribute training_mode",
    "expected Scan as of opset 9",
    "expected training_mode that is constant and false",
    "expected an opset from 7 on",
    "expected an opset of the domain ai.onnx",
    f"as of opset {NEWEST} at most",  # of an onnx newer than the rules
)


def all_cases():
    """By name; without those of pools, which take 5 s to be made, and which there is no rule for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.iter_modules(standard.__path__):
            if not module.name.endswith("pool"):
                importlib.import_module(f"{standard.__name__}.{module.name}")
    return {case.name: case for case in standard._NodeTestCases}


CASES = all_cases()
OPERATORS_OF = {name: {node.op_type for node in case.model.graph.node} for name, case in CASES.items()}
OURS = [name for name, used in OPERATORS_OF.items() if used <= set(OPERATORS)]
RECURRENT_CASES = [name for name, used in OPERATORS_OF.items() if used & RECURRENT]


def with_weights(model, inputs):
    """The same model with W, R, B and P as initializers, which they are in every network, and the other inputs."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in model.graph.input:
        if value.name in PARAMETERS:
            fixed.graph.input.remove(value)
            fixed.graph.initializer.append(numpy_helper.from_array(inputs.pop(value.name), value.name))
    return fixed


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def assert_case(name):
    case = CASES[name]
    ((inputs, outputs),) = case.data_sets
    given = {value.name: array(x) for value, x in zip(case.model.graph.input, inputs, strict=True)}
    model = with_weights(case.model, given) if OPERATORS_OF[name] & RECURRENT else case.model
    network = from_onnx(model)
    results = network.run(given)
    assert [port.name for port in network.outputs] == list(results)
    for (output, got), value in zip(results.items(), outputs, strict=True):
        expected = array(value)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype), output
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(got, expected, max(case.rtol, 1e-5), max(case.atol, 1e-6), err_msg=output)
        else:
            np.testing.assert_array_equal(got, expected, output)


@pytest.mark.parametrize("name", RECURRENT_CASES)
def test_recurrent_operator(name):
    assert_case(name)


def test_the_standards_recurrent_cases_are_found():
    assert len(RECURRENT_CASES) >= 18
    assert any("P" in [value.name for value in CASES[name].model.graph.input] for name in RECURRENT_CASES)


def refusal_of(name):
    """Why a case is refused; "" if it gives the standard's answer."""
    try:
        assert_case(name)
    except recurra.FormatError as error:
        return str(error)
    return ""


def test_every_case_of_an_operator_with_a_rule():
    outcomes, tried = Counter(), Counter()
    for name in OURS:
        refusal = refusal_of(name)
        assert not refusal or any(reason in refusal for reason in REASONS), (name, refusal)
        outcomes["refused" if refusal else "computed"] += 1
        tried.update(() if refusal else OPERATORS_OF[name])
    assert outcomes["computed"] > 800
    assert set(tried) == set(OPERATORS)


def test_every_case_of_another_operator_is_refused_by_name():
    others = [name for name in CASES if name not in OURS]
    assert len(others) > 500
    for name in others:
        with pytest.raises(recurra.FormatError) as caught:
            from_onnx(CASES[name].model)
        assert any(operator in str(caught.value) for operator in OPERATORS_OF[name]) or any(
            reason in str(caught.value) for reason in REASONS
        ), (name, str(caught.value))

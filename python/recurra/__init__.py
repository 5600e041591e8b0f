"""Recurrent networks (RNN, LSTM, GRU) on the CPU from NumPy arrays: fast, small, and the same bits on every run.

    import numpy as np, recurra

    lstm = recurra.LSTM(32, 64, seed=0)
    y, (h_n, c_n) = lstm(np.zeros((100, 8, 32), np.float32))  # (T, B, input_size) -> (T, B, hidden_size)

Layers, losses and optimizers are here. `recurra.formula` makes layers of a cell's equations, and `recurra.cells` has
published ones. `recurra.functional` has the networks as functions of arrays, and `recurra.reference` the same in plain
NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _openmp, functional  # noqa: F401 (_openmp comes before all that loads the compiled half)
from ._core import build_info
from ._lazy import lazy, listed
from .attention import Attention, AttentionPooling
from .composite import Composite
from .data import batches, pad
from .embedding import Embedding
from .encoder_decoder import EncoderDecoder
from .feedforward import Dropout, Last, ReLU, Sigmoid, Tanh
from .fit import fit
from .formula_layer import FormulaCell, FormulaLayer
from .functional import sigmoid
from .generate import generate
from .history import History
from .layers import GRU, LSTM, RNN
from .linear import Linear
from .losses import (
    binary_cross_entropy,
    cross_entropy,
    ctc,
    ctc_decode,
    gaussian_nll,
    huber,
    mse,
    quantile,
    softmax,
)
from .metrics import accuracy
from .normalisation import LayerNorm
from .optim import SGD, Adam, AdamW, clip_grad_norm
from .parallel import Parallel
from .residual import Residual
from .sequential import Sequential
from .single_steps import GRUCell, LSTMCell, RNNCell
from .sparse_rows import SparseRows
from .stream import Stream
from .threads import get_num_threads, set_num_threads
from .weights.errors import FormatError

if TYPE_CHECKING:  # the module is the decorator, too, which checkers of types can't be told
    from .formula import formula
else:
    from . import formula

if TYPE_CHECKING:  # what `__getattr__` below brings, where it is asked for
    from . import cells, narrow, reference, schedules
    from . import sklearn as sklearn
    from . import torch as torch
    from .export.writer import export_c
    from .narrow.compare import compare
    from .narrow.compress import compress
    from .onnx.reader import from_onnx
    from .onnx.writer import to_onnx
    from .weights.files import load, save
    from .weights.keras_models import from_keras, to_keras
    from .weights.torch_models import from_torch, to_torch

__version__: str = build_info()["version"]  # also refuses, here and now, a RECURRA_ISA that can't be had

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "AdamW",
    "Attention",
    "AttentionPooling",
    "Composite",
    "Dropout",
    "Embedding",
    "EncoderDecoder",
    "FormatError",
    "FormulaCell",
    "FormulaLayer",
    "GRUCell",
    "History",
    "LSTMCell",
    "Last",
    "LayerNorm",
    "Linear",
    "Parallel",
    "RNNCell",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SparseRows",
    "Stream",
    "Tanh",
    "__version__",
    "accuracy",
    "batches",
    "binary_cross_entropy",
    "build_info",
    "cells",
    "clip_grad_norm",
    "compare",
    "compress",
    "cross_entropy",
    "ctc",
    "ctc_decode",
    "export_c",
    "fit",
    "formula",
    "from_keras",
    "from_onnx",
    "from_torch",
    "functional",
    "gaussian_nll",
    "generate",
    "get_num_threads",
    "huber",
    "load",
    "mse",
    "narrow",
    "pad",
    "quantile",
    "reference",
    "save",
    "schedules",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "to_keras",
    "to_onnx",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    """What takes a while to load, or needs a neighbour, where it is asked for."""
    return lazy(__name__, name)


def __dir__() -> list[str]:
    return sorted(globals().keys() | listed())

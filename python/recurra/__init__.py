"""Recurrent networks (RNN, LSTM, GRU) on the CPU from NumPy arrays: fast, small, and the same bits on every run.

    import numpy as np, recurra

    lstm = recurra.LSTM(32, 64, seed=0)
    y, (h_n, c_n) = lstm(np.zeros((100, 8, 32), np.float32))  # (T, B, input_size) -> (T, B, hidden_size)

Layers, losses and optimizers are here. `recurra.formula` makes layers of a cell's equations, and `recurra.cells` has
published ones. `recurra.functional` has the networks as functions of arrays, and `recurra.reference` the same in plain
NumPy.
"""

from __future__ import annotations

from typing import Any

from . import _openmp, formula, functional, reference  # noqa: F401 (_openmp comes before all that loads the compiled half)
from ._core import build_info
from ._lazy import lazy
from .attention import Attention
from .attention_pooling import AttentionPooling
from .composite import Composite
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
from .losses import binary_cross_entropy, cross_entropy, mse, softmax
from .normalisation import LayerNorm
from .optim import SGD, Adam, AdamW, clip_grad_norm
from .parallel import Parallel
from .residual import Residual
from .sequential import Sequential
from .single_steps import GRUCell, LSTMCell, RNNCell
from .sparse_rows import SparseRows
from .threads import get_num_threads, set_num_threads
from .weights.errors import FormatError

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
    "Tanh",
    "__version__",
    "binary_cross_entropy",
    "build_info",
    "cells",
    "clip_grad_norm",
    "cross_entropy",
    "fit",
    "formula",
    "functional",
    "generate",
    "get_num_threads",
    "mse",
    "reference",
    "set_num_threads",
    "sigmoid",
    "softmax",
]


def __getattr__(name: str) -> Any:
    """What takes a while to load, or needs a neighbour, where it is asked for."""
    return lazy(__name__, name)

"""recurra's layers as torch.nn.Modules: torch trains, saves and moves them, recurra computes them.

    import recurra.torch
    recurra.torch.accelerate(model)                   # every torch.nn.LSTM, GRU, RNN and cell of a model, in place
    lstm = recurra.torch.LSTM(8, 64, num_layers=2)    # or one of them in its place: the same arguments and weights
    Peephole = recurra.torch.as_module(recurra.cells.PeepholeLSTM)   # or a cell that torch hasn't

Sizes: T steps, B sequences, H hidden_size, P proj_size or H, L num_layers, D directions.
"""

try:
    import torch  # noqa: F401
except ImportError:
    raise ImportError("recurra.torch: expected torch, which is missing: pip install 'recurra[torch]'") from None

from ._accelerate import Accelerated, accelerate, restore
from .cells import GRUCell, LSTMCell, RNNCell
from .formulas import as_module
from .layers import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Accelerated",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "accelerate",
    "as_module",
    "restore",
]

"""recurra's layers as torch.nn.Modules, on the CPU: torch trains, saves and moves them, recurra computes them.

::

    import recurra.torch

    recurra.torch.accelerate(model)  # every torch.nn.LSTM, GRU, RNN and cell of a model, in place
    lstm = recurra.torch.LSTM(8, 64, num_layers=2)  # or one of them in its place: the same arguments and weights
    Peephole = recurra.torch.as_module(recurra.cells.PeepholeLSTM)  # or a cell that torch hasn't

It needs torch from 2.4 (`pip install 'recurra[torch]'`), float32 or float64. Tensors are read and returned in place.
Sizes: T steps, B sequences, H hidden_size, P proj_size or H, L num_layers, D directions.

- Numbers are those of recurra's layers to the bit, and so torch.nn's to rounding.
- A call has the weights that the tensors hold then, however they came there: `.data`, views of NumPy, optimizers,
  `load_state_dict`, `torch.func.functional_call`, parametrizations. It compares them with those that it has packed, so
  it reads all of them once. Gradients are at the weights of their own forward call, also if these have changed since.
- `retain_graph`, gradients of a part of the tensors, threads, checkpoints, `torch.func.grad` and `vjp` work. There are
  no second derivatives (`RuntimeError`) and no `vmap` (`NotImplementedError`).
- Within autocast, narrower inputs are computed in the dtype of the weights, which the outputs have too.
- `torch.compile` leaves its graph for them, as it does for torch.nn's. Where a model is traced or exported
  (`torch.export`, `torch.jit.trace`, `torch.onnx.export`), torch.nn's operators take their place; modules of
  `as_module`, and calls with `lengths` or `resets`, raise `NotImplementedError` there. `torch.jit.script` needs
  `restore`.
- `recurra.set_num_threads` says how many threads they use, not `torch.set_num_threads`.
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

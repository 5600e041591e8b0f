"""Recurrent networks in plain NumPy: the specification that the compiled kernels are tested against.

`cells` has the equations, each cell's step forward beside its step back; `network` walks any of them over time, layers,
directions and sequences of different length; `narrow` has the products of compressed layers. Nothing here is fast and
no argument is checked: the layers of `recurra` are for that. It computes in the dtype of its parameters, so float64
weights give float64 answers.
"""

from . import narrow
from .cells import (
    CELLS,
    Cell,
    Weights,
    gru_reset_before_step,
    gru_reset_before_step_backward,
    gru_step,
    gru_step_backward,
    lstm_step,
    lstm_step_backward,
    relu,
    rnn_step,
    rnn_step_backward,
    sigmoid,
)
from .network import Tape, backward, forward

__all__ = [
    "CELLS",
    "Cell",
    "Tape",
    "Weights",
    "backward",
    "forward",
    "gru_reset_before_step",
    "gru_reset_before_step_backward",
    "gru_step",
    "gru_step_backward",
    "lstm_step",
    "lstm_step_backward",
    "narrow",
    "relu",
    "rnn_step",
    "rnn_step_backward",
    "sigmoid",
]

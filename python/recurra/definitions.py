"""RNN, LSTM and GRU as formulas: what the layers of those names compute."""

from __future__ import annotations

from typing import Any

from .formula import Formula, project, relu, sigmoid, tanh


def rnn_tanh(a: Any) -> Any:
    """Elman 1990: h_t = tanh(a)."""
    return tanh(a.a)


def rnn_relu(a: Any) -> Any:
    """The same with relu (Le, Jaitly & Hinton 2015)."""
    return relu(a.a)


def lstm(a: Any, s: Any) -> Any:
    """Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000."""
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return sigmoid(a.o) * tanh(c), c


def lstm_projected(a: Any, s: Any) -> Any:
    """The same, whose h_t is a projection (Sak, Senior & Beaufays 2014)."""
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return project(sigmoid(a.o) * tanh(c)), c


def gru(a: Any, s: Any) -> Any:
    """Cho et al. 2014, with the reset after the product, as cuDNN and PyTorch have it."""
    r, z = sigmoid(a.r), sigmoid(a.z)
    n = tanh(a.n.x + r * a.n.h)
    return (1 - z) * n + z * s.h


def gru_reset_before(a: Any, s: Any) -> Any:
    """Cho et al. 2014, as in the paper."""
    r, z = sigmoid(a.r), sigmoid(a.z)
    n = tanh(a.n(r * s.h))
    return (1 - z) * n + z * s.h


FORMULAS: dict[str, Formula] = {
    "rnn_tanh": Formula(rnn_tanh, gates="a"),
    "rnn_relu": Formula(rnn_relu, gates="a"),
    "lstm": Formula(lstm, gates="i f g o", states="h c"),
    "lstm_projected": Formula(lstm_projected, gates="i f g o", states="h c"),
    "gru": Formula(gru, gates="r z n"),
    "gru_reset_before": Formula(gru_reset_before, gates="r z n"),
}

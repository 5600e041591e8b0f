"""Losses, each of which returns (value, gradient with respect to the prediction), softmax, and what reads CTC's labels.

None overflows, whatever the size of the logits.
"""

from .classes import binary_cross_entropy, cross_entropy, softmax
from .ctc import ctc
from .ctc_labels import ctc_decode
from .regression import gaussian_nll, huber, mse, quantile

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "ctc",
    "ctc_decode",
    "gaussian_nll",
    "huber",
    "mse",
    "quantile",
    "softmax",
]

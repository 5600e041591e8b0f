"""Optimizers: they change a model's parameters in place, from its `grads`."""

from .adam import Adam, AdamW
from .clip import clip_grad_norm
from .groups import ParamGroup, decay_groups
from .leaves import leaves_of
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "ParamGroup", "clip_grad_norm", "decay_groups", "leaves_of"]

"""Attention: what queries take from a memory, and what a whole sequence comes to."""

from .pooling import AttentionPooling
from .queries import Attention

__all__ = ["Attention", "AttentionPooling"]

"""Models for inference whose matrices are narrow: int8, bfloat16 or float16 instead of float32.

`recurra.compress` makes them, `recurra.compare` says what it changed. See docs/narrow.md.
"""

from .base import Narrow
from .layers import NarrowEmbedding, NarrowLinear, NarrowRecurrent
from .model import NarrowSequential

__all__ = ["Narrow", "NarrowEmbedding", "NarrowLinear", "NarrowRecurrent", "NarrowSequential"]

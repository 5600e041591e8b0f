"""The rules of operators, by what they do; importing them fills the table in `recurra.onnx.nodes`."""

from . import constants, convolution, elementwise, indexing, products, recurrent, reductions, scan, shapes

__all__ = [
    *("constants", "convolution", "elementwise", "indexing", "products"),
    *("recurrent", "reductions", "scan", "shapes"),
]

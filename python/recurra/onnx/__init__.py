"""Networks in ONNX: `from_onnx` runs a file's graph through recurra's layers, `to_onnx` writes layers as a graph."""

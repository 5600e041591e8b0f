"""Formulas against the way that each library has for a cell of one's own: the same answers, then the time of a call.

`python benchmarks/compare.py --only cells` runs it, by the workers and races of `recurra.bench`. The parts: `problem`
(the cells and a row), `layers` (recurra's formulas), the three of `numpy_…`, `peer_jax` and `peer_torch`.
"""

"""The compiled layers against the NumPy reference in float64, on random configurations.

RECURRA_TEST_SEED=n draws other ones; without it they are the same in every run.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

import calls
import recurra
from configs import CELLS, draw_config, make_data, make_layer, max_error, near_kink

SEED = int(os.environ.get("RECURRA_TEST_SEED", "0"))
CONFIGURATIONS = 16  # of each cell in each dtype: 160 in all
# Of outputs and states, and of gradients, relative to max(1, the largest of the array).
TOLERANCE = {np.float32: (4e-6, 1e-5), np.float64: (1e-12, 1e-12)}


@pytest.fixture(scope="module")
def tally(request):
    """Counts, shown in a line of the report when the module is through."""
    counts = Counter()
    yield counts
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    if reporter:
        reporter.write_line(
            f"\ntest_answers: seed {SEED}, {counts['configurations']} configurations, {counts['numbers']} numbers "
            f"compared, {counts['redrawn']} relu configurations redrawn for a pre-activation near 0"
        )


def draw_case(rng, number, tally, **fixed):
    """A configuration, its data and what the reference makes of it; what chance might leave out is dealt in turn."""
    fixed |= {"num_layers": 1 + number % 3, "bias": number % 4 > 0} | ({"T": 0} if number == 0 else {})
    while True:
        config = draw_config(rng, **fixed)
        data = make_data(config, rng)
        expected, tape = calls.of_reference(config, data)
        if not near_kink(tape):
            return config, data, expected
        tally["redrawn"] += 1


@pytest.mark.parametrize("count", [CONFIGURATIONS, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("cell", CELLS)
def test_answers(cell, dtype, count, tally):
    rng = np.random.default_rng([SEED, CELLS.index(cell), np.dtype(dtype).itemsize])
    seen, wrong, numbers = [], [], 0
    for number in range(count):
        config, data, expected = draw_case(rng, number, tally, cell=cell, dtype=dtype)
        results, ran = calls.both(make_layer(config, data.params), config, data)
        assert {r["isa"] for r in ran} == {recurra.build_info()["isa"]}
        assert results.keys() == expected.keys()
        assert len(results) >= 5 + len(data.params)
        for name, reference in expected.items():
            assert results[name].dtype == dtype
            error, tolerance = max_error(results[name], reference), TOLERANCE[dtype][not calls.is_forward(name)]
            if not error <= tolerance:  # so that NaN is wrong
                wrong.append(f"{name} is off by {error:.2g}, not {tolerance:.2g}, in {config}")
            numbers += reference.size
        seen.append(config)
    tally.update(configurations=len(seen), numbers=numbers)
    assert not wrong, f"seed {SEED}, {len(wrong)} arrays:\n" + "\n".join(wrong[:20])
    assert numbers > 10_000 * count
    for feature in ("bidirectional", "bias", "batch_first", "lengths", "state"):
        assert {getattr(config, feature) for config in seen} == {True, False}, feature
    assert {config.num_layers for config in seen} == {1, 2, 3}
    assert any(config.T == 0 or config.B == 0 for config in seen)


def test_the_seed_decides():
    """Other seeds draw other configurations, the same seed the same: else setting it would prove nothing."""
    first, again, other = (draw_config(np.random.default_rng([seed, 0, 4])) for seed in (SEED, SEED, SEED + 1))
    assert first == again != other

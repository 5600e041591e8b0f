"""With RECURRA_REQUIRE_NEIGHBOURS=1 in the environment, a test that skips itself fails.

A test of an optional package skips where that package is missing, which would leave it out of CI without a word.
Only the hardware may still be missing: a skip whose reason names AVX-512 stays a skip, and shows in the summary.
"""

from __future__ import annotations

import os

import pytest

# The products of the references are small: a second thread of NumPy's would only spin beside ours, which doubled the
# time of test_answers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

STRICT = os.environ.get("RECURRA_REQUIRE_NEIGHBOURS") == "1"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skip into a failure, except for the lack of AVX-512; expected failures aren't skips."""
    if not STRICT or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "AVX-512" not in reason:
        report.outcome = "failed"
        report.longrepr = f"RECURRA_REQUIRE_NEIGHBOURS=1, but {report.nodeid} was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    refuse_skip(report)
    return report

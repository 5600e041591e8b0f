"""How many CPUs a process may use decides on the threads: affinity, a control group's quota, OMP_NUM_THREADS."""

from __future__ import annotations

import math
import os
import sys

import pytest

import recurra
from recurra import _core
from test_process import run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")


V1 = "11:memory:/pod\n4:cpu,cpuacct:/pod/one\n1:name=systemd:/\n"
CASES = {
    "no groups": ("", {}, math.inf),
    "not limited": ("0::/a\n", {"a/cpu.max": "max 100000\n", "cpu.max": "max 100000\n"}, math.inf),
    "one and a half": ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 1.5),
    "in a container": ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
    "whose path is the host's": ("0::/kubepods/x\n", {"cpu.max": "50000 100000\n"}, 0.5),
    "the least of those above": (
        "0::/a/b\n",
        {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "300000 100000\n", "cpu.max": "max 100000\n"},
        3,
    ),
    "version 1": (
        V1,
        {"cpu/pod/one/cpu.cfs_quota_us": "250000\n", "cpu/pod/one/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "version 1, not limited": (
        V1,
        {"cpu/pod/one/cpu.cfs_quota_us": "-1\n", "cpu/pod/one/cpu.cfs_period_us": "100000\n"},
        math.inf,
    ),
    "version 1 in a container": (V1, {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 2),
    "nonsense": ("0::/a\n:\nx\n::\n", {"a/cpu.max": "many\n", "cpu.max": "\n"}, math.inf),
}


@pytest.mark.parametrize("name", CASES)
def test_quota_of_a_control_group(name, tmp_path):
    groups, files, expected = CASES[name]
    (tmp_path / "cgroup").write_text(groups)
    for path, text in files.items():
        file = tmp_path / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert _core.cpu_quota(str(tmp_path / "cgroup"), str(tmp_path / "root")) == expected


def test_no_files_are_no_limit(tmp_path):
    assert _core.cpu_quota(str(tmp_path / "nothing"), str(tmp_path)) == math.inf


DEFAULT = """
import os
os.environ.pop("OMP_NUM_THREADS", None)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cpus}])
import recurra
print(recurra.get_num_threads())
"""


@pytest.mark.skipif(recurra.build_info()["threading"] == "none", reason="needs threads")
def test_default_threads_are_the_cpus_of_the_affinity_and_the_quota():
    granted = math.ceil(min(_core.cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup"), 1024))
    for cpus in (1, len(os.sched_getaffinity(0))):
        assert int(run(DEFAULT.replace("{cpus}", str(cpus)))) == min(cpus, granted)


# Eight threads on at most two CPUs. A step of this layer is 1 million multiply-adds, enough to share out its units.
MANY = """
import os
import numpy as np
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import recurra
from recurra import _core

cpus = len(os.sched_getaffinity(0))
recurra.set_num_threads(8)
layer = recurra.LSTM(16, 512, seed=0)
x = np.zeros((40, 1, 16), np.float32)
layer(x)
plan = _core.last_plan()
assert plan["threads"] <= cpus, plan
recurra.set_num_threads(1)
expected, _ = layer(x)
layer._plan = {"threads": 8, "split": 3}  # forced, they sleep while they wait, and come to the same end
y, _ = layer(x)
assert np.array_equal(y, expected)
print(_core.last_plan()["threads"])
"""


def test_units_are_shared_out_among_no_more_threads_than_there_are_cpus():
    assert int(run(MANY)) == (8 if recurra.build_info()["threading"] != "none" else 1)

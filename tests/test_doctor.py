"""python -m recurra doctor: the bits are those stored, and every check can fail. Nothing here asserts a time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recurra
from recurra.doctor import bits, child, cli, facts, loaded, networks, openmp, speed, threads, versions
from recurra.doctor.finding import Finding, lines

DOCS = Path(__file__).parents[1] / "docs" / "doctor.md"
BUILD = recurra.build_info()
MACHINE = {"cpus": 8, "affinity": 8, "quota": None}


def levels(found):
    return [finding.level for finding in found]


def doctor(*options, **environment):
    """A run of its own, without what an import of another test's may have set: scikit-learn's KMP_DUPLICATE_LIB_OK."""
    command = [sys.executable, "-m", "recurra", "doctor", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KMP_")}
    environment = {**kept, "NO_COLOR": "", **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


# ---- Bits


def test_the_stored_hashes_are_current():
    """By tests/doctor_hashes.py, where bits were meant to change."""
    stored = json.loads(bits.STORED.read_text())
    assert stored["fused"].keys() == stored["baseline x86_64"].keys() == networks.NETWORKS.keys()
    report = networks.report()
    assert report["threads"] == []
    assert report["hashes"] == stored.get(bits.family(BUILD["isa"]), report["hashes"])


def test_every_instruction_set_is_asked_and_a_wrong_hash_is_a_fault(monkeypatch, tmp_path):
    tampered = json.loads(bits.STORED.read_text())
    tampered["fused"]["GRU"] = "0" * 16
    (tmp_path / "hashes.json").write_text(json.dumps(tampered))
    monkeypatch.setattr(bits, "STORED", tmp_path / "hashes.json")
    found = bits.check()
    assert [finding.text.split(":")[0] for finding in found] == BUILD["isas_available"]
    for isa, finding in zip(BUILD["isas_available"], found, strict=True):
        assert finding.level == ("ok" if isa == "baseline" else "fault"), finding
        assert isa == "baseline" or "1 of 16 networks have other bits than promised: GRU" in finding.text


def test_other_faults_of_bits():
    report = {"isa": "avx2", "hashes": {"LSTM": "12"}, "threads": []}
    stored = {"LSTM": "12"}
    assert bits.judge("avx2", report, stored).level == "ok"
    assert bits.judge("avx2", report, None).level == "ok"
    for wrong in ({"isa": "avx512"}, {"threads": ["LSTM"]}, {"error": "Illegal instruction"}):
        assert bits.judge("avx2", report | wrong, stored).level == "fault"


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_computes_something(name):
    """Hashes of zeros, or of NaN, whose sign may differ, would be worth nothing."""
    arrays = networks.flat(networks.NETWORKS[name]())
    assert arrays
    assert all(abs(array).max() > 0 for array in arrays[:1])
    assert not any((array != array).any() for array in arrays)  # noqa: PLR0124


# ---- Speed


RATES = {"sgemm": 100.0, "lstm": 90.0, "subnormals": 1.0, "busy": 1.0}


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        ({"lstm": 30.0}, "fault", "RECURRA_ISA=avx2"),
        ({"lstm": 30.0, "busy": 0.4}, "warning", "neighbour"),
        ({"error": "MemoryError"}, "fault", "see"),
        ({"subnormals": 8.0}, "warning", "flushing"),
    ],
    ids=str,
)
def test_what_is_slow(change, level, word):
    assert levels(speed.judge(RATES, speed.FLOOR)) == ["ok"]
    worst = speed.judge(RATES | change, speed.FLOOR)[-1]
    assert worst.level == level
    assert word in worst.cure
    assert speed.judge(RATES | {"lstm": 30.0}, speed.FLOOR, "warning")[0].level == "warning"


def test_a_process_that_may_not_be_bound_to_a_cpu_runs_anywhere(monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refused, raising=False)
    assert child.launch(["-c", "print('{}')"], {0}, {}).result() == {}


@pytest.mark.skipif(len(BUILD["isas_available"]) < 2, reason="needs AVX2 or AVX-512")
def test_a_forced_instruction_set_is_a_warning_and_its_rate_measured():
    run = doctor("--only", "speed", RECURRA_ISA="baseline")
    text = " ".join(run.stdout.split())
    assert f"where this machine has {BUILD['isas_available'][-1]}: RECURRA_ISA is 'baseline'" in text, run.stderr
    assert "unset RECURRA_ISA" in text
    assert re.search(r"an LSTM runs at \d+ GFLOP/s on one thread, \d+% of NumPy's product of matrices \(\d+\)", text)


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("print('{}'); print(5)", {}),
        ("print('before', end=''); print('\\n{}'); print('after', end='')", {}),
        ("print(5)", {"error": "nothing was printed (exit code 0)"}),
        ("print([1]); raise ValueError('so')", {"error": "ValueError: so (exit code 1)"}),
    ],
)
def test_of_what_a_process_prints_its_report_counts(program, found):
    assert child.launch(["-c", program], None, {}).result() == found


# ---- Threads


@pytest.mark.parametrize(
    ("machine", "environment", "wanted", "level", "words"),
    [
        ({}, {}, 8, "ok", "up to 8 threads on 8 CPUs"),
        ({"affinity": 2}, {}, 8, "warning", "8 there are, 2 by its affinity"),
        ({"quota": 1.5}, {}, 8, "warning", "the time of 1.5 by its control group's quota"),
        ({"quota": 1.5}, {}, 2, "ok", "2 CPUs"),
        ({}, {"OMP_NUM_THREADS": "16"}, 16, "warning", "as OMP_NUM_THREADS=16 says"),
        ({}, {"OMP_NUM_THREADS": "many"}, 8, "warning", "isn't a number"),
        ({}, {"OMP_NUM_THREADS": "0"}, 8, "warning", "isn't a number"),
        ({}, {"OMP_NUM_THREADS": "2"}, 2, "ok", "up to 2 threads"),
        ({}, {"OMP_NUM_THREADS": " +02 ,4"}, 2, "ok", "up to 2 threads"),
        ({"affinity": None}, {}, 9, "warning", "on 8 CPUs"),
    ],
)
def test_threads_against_cpus(machine, environment, wanted, level, words):
    finding = threads.number(MACHINE | machine, {"threads": wanted, "threading": "OpenMP"}, environment)
    assert finding.level == level
    assert words in finding.text
    assert finding.cure or level == "ok"


def test_limits_and_crowds(monkeypatch):
    build = {"threads": 4, "threading": "OpenMP"}
    assert threads.limits({"OMP_PROC_BIND": "false"}, build) == []
    for wrong in ({"OMP_THREAD_LIMIT": "2"}, {"GOMP_CPU_AFFINITY": "0-3"}, {"OMP_PROC_BIND": "close"}):
        assert levels(threads.limits(wrong, build)) == ["warning"]
    assert threads.number(MACHINE, build | {"threading": "none"}, {}).level == "warning"
    monkeypatch.setattr(os, "getloadavg", lambda: (40.0, 1.0, 1.0), raising=False)
    assert "40 processes" in threads.crowd(MACHINE)[0].text
    monkeypatch.setattr(os, "getloadavg", lambda: (7.0, 1.0, 1.0), raising=False)
    assert threads.crowd(MACHINE) == []

    def refused():
        raise OSError

    monkeypatch.setattr(os, "getloadavg", refused, raising=False)
    assert threads.crowd(MACHINE) == []


# ---- OpenMP libraries


def found_in(**brought):
    return {"known": True, "brought": brought, "failed": {}}


@pytest.mark.skipif(BUILD["threading"] != "OpenMP" or sys.platform != "linux", reason="needs OpenMP on Linux")
def test_ours_is_found_and_a_missing_neighbour_told():
    run = doctor("--only", "openmp", "--beside", "no_such_module", "--json")
    found = json.loads(run.stdout)["findings"]
    assert [finding["level"] for finding in found] == ["ok", "warning", "ok"]
    assert found[0]["text"].startswith("a child that is forked after threads were used computes")
    assert "no_such_module can't be imported: ModuleNotFoundError" in found[1]["text"]
    assert re.search(r"recurra brings \S+ \(/.*omp.*\)", found[2]["text"])


def test_libraries_are_told_by_their_names(monkeypatch, tmp_path):
    """Those of wheels have a hash in them, and paths may have spaces."""
    names = ["/a b/libgomp-98df.so.1.0.0", "/x/libgomp.so.1", "/y/libiomp5.so", "/z/libomp.so.5", "/z/libomp140.so"]
    others = ["/x/libgompertz.so", "/x/libcomp.so", "[heap]", "/x/libgomp.so.1"]
    (tmp_path / "maps").write_text("".join(f"7f-80 r-xp 0 08:01 12    {path}\n" for path in [*names, *others]))
    monkeypatch.setattr(loaded, "MAPS", tmp_path / "maps")
    assert loaded.runtimes() == names[:4]
    monkeypatch.setattr(loaded, "MAPS", tmp_path / "none")
    assert loaded.runtimes() == []


def test_several_openmp_libraries():
    """Those of others, beside recurra's: harmless, or not."""
    ours = ["/usr/lib/libgomp.so.1.0.0"]
    copy = openmp.judge(found_in(torch=["/a/libgomp-98df.so.1"], recurra=ours), True, {})
    assert levels(copy) == ["ok"]
    assert copy[0].text == "torch brings GNU's (/a/libgomp-98df.so.1); recurra brings GNU's (/usr/lib/libgomp.so.1.0.0)"
    assert "does no harm" in copy[0].cure
    same = openmp.judge(found_in(torch=["/a/libgomp.so.1"], recurra=[]), True, {})
    assert "recurra uses that of torch" in same[0].cure
    assert levels(openmp.judge(found_in(mkl=["/a/libiomp5.so"], recurra=ours), True, {"KMP_BLOCKTIME": "0"})) == ["ok"]
    both = openmp.judge(found_in(mkl=["/a/libiomp5.so"], jax=["/b/libomp.so.5"], recurra=ours), True, {})
    assert "fault" in levels(both)
    for setting in ("KMP_DUPLICATE_LIB_OK=TRUE", "OMP_WAIT_POLICY=active", "GOMP_SPINCOUNT=infinite"):
        environment = dict([setting.split("=")])
        found = openmp.judge(found_in(recurra=ours), True, environment)
        assert levels(found) == ["ok", "warning"]
        assert setting in found[1].text
    assert levels(openmp.judge(found_in(recurra=ours), True, {"GOMP_SPINCOUNT": "1000"})) == ["ok"]
    assert "can't be told" in openmp.judge({"known": False, "failed": {}}, True, {})[0].text
    assert levels(openmp.judge(found_in(recurra=ours) | {"forked": False}, True, {})) == ["fault", "ok"]
    assert openmp.judge({"error": "OMP: Error #15"}, True, {})[0].level == "fault"


# ---- Versions


def test_versions_that_dont_fit():
    assert levels(versions.check())[:3] == ["ok"] * 3
    assert versions.numpy("1.25.2", ["numpy>=1.26"]).level == "fault"
    assert versions.numpy("2.0.0rc1", ["numpy>=1.26", "torch>=2; extra == 'torch'"]).level == "ok"
    core = Path(recurra._core.__file__)
    assert versions.halves("0.1.0", "0.1.0", core).level == "ok"
    assert versions.halves("0.1.0", "0.2.0", core).level == "fault"
    assert versions.halves("0.1.0", "0.1.0", core.with_name("_core.cpython-36m-vax.so")).level == "fault"
    assert versions.flags("-O3 -march=native", "").level == "fault"
    for slow in ("-O0 -g", "-O3 -DNDEBUG -fopenmp -O1 -ffp-contract=off", "/O2 /Ob2 /clang:-O1"):
        assert versions.flags(slow, "cp310-cp310-linux_x86_64").level == "warning"
    for fast in ("-g -O2 -ftree-vectorize (baseline: -Os)", "/O1 /Ob2 /clang:-O3"):
        assert versions.flags(fast, "").level == "ok"
    assert "a wheel" in versions.flags("-O3", "cp310-cp310-manylinux_2_28_x86_64").text
    assert versions.editable_source('{"url": "file:///a%20b", "dir_info": {"editable": true}}') == Path("/a b")
    assert versions.editable_source(None) is None


def test_an_editable_build_that_is_stale(tmp_path):
    (tmp_path / "csrc").mkdir()
    source, core = tmp_path / "csrc" / "tile.h", tmp_path / "_core.so"
    core.touch()
    source.touch()
    os.utime(source, (1, 1))
    assert levels(versions.stale(tmp_path, core)) == ["ok"]
    os.utime(core, (0, 0))
    found = versions.stale(tmp_path, core)
    assert levels(found) == ["warning"]
    assert str(Path("csrc") / "tile.h") in found[0].text


def test_a_second_installation(tmp_path):
    used = Path(recurra.__file__)
    assert versions.several([str(tmp_path), str(used.parents[1])], used) == []
    (tmp_path / "recurra").mkdir()
    (tmp_path / "recurra" / "__init__.py").touch()
    found = versions.several([str(used.parents[1]), str(tmp_path)], used)
    assert levels(found) == ["warning"]
    assert str(tmp_path) in found[0].text


# ---- The command


def test_the_report_and_its_exit_code(capsys, monkeypatch):
    """Lines of the terminal's width, without colours where nobody sees them."""
    found = [Finding("bits", "ok", "fine"), Finding("speed", "warning", "slow " * 30, "wait " * 30)]
    monkeypatch.setattr(cli, "CHECKS", dict.fromkeys(cli.CHECKS, lambda *_: found))
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([]) == 0
    out, err = capsys.readouterr()
    assert not err
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[0].startswith("machine ")
    assert out.splitlines()[-1] == "5 warnings"
    found.append(Finding("versions", "fault", "broken", "mend it"))
    assert cli.main(["--only", "bits"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 fault and 1 warning"
    assert cli.main(["--only", "bits", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [finding["level"] for finding in report["findings"]] == ["ok", "warning", "fault"]
    assert report["machine"].keys() == {"cpu", "model", "cpus", "affinity", "quota", "system"}
    found.clear()
    assert cli.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All is well."


def test_a_finding_in_colour_and_paths_unbroken():
    path = "/" + "x" * 100
    made = lines(Finding("bits", "fault", path, "mend it"), 60, colour=True)
    assert made[0].startswith("\x1b[31mfault")
    assert path in made[0]
    assert made[1].split() == ["->", "mend", "it"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full():
    command = [sys.executable, "-m", "recurra", "doctor", "--only", "versions"]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_what_is_closed_gets_nothing(closed):
    command = f'exec "{sys.executable}" -m recurra doctor --only versions {closed}'
    run = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    assert run.stdout.startswith("machine ") == (closed == "2>&-")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "bit"], "argument --only: expected some of versions, bits, threads, openmp, speed, got 'bit'"),
        (["--beside", "torch;"], "argument --beside: expected names of modules such as torch,sklearn, got 'torch;'"),
        (["--renew"], "unrecognized arguments: --renew"),
    ],
)
def test_bad_options_are_refused(capsys, options, message):
    with pytest.raises(SystemExit, match="2"):
        cli.main(options)
    assert message in capsys.readouterr().err


def test_facts_name_the_machine_and_the_versions():
    about = facts.gather()
    text = " ".join("\n".join(facts.lines(about, threads=3)).split())
    for part in (about["machine"]["cpu"], BUILD["isa"], "3 in this run", f"recurra {recurra.__version__}", "NumPy "):
        assert part in text
    assert facts.granted({"cpus": 8, "affinity": 4, "quota": 2.5}) == 3
    assert facts.granted({"cpus": 8, "affinity": None, "quota": None}) == 8
    limited = facts.cpus({"cpus": 8, "affinity": 4, "quota": 2.5})
    assert limited == "8, 4 for this process (affinity), the time of 2.5 (quota of the control group)"


def test_every_check_and_option_is_documented(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    text = DOCS.read_text()
    for option in set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}:
        assert f"`{option}" in text
    for name in cli.CHECKS:
        assert f"\n## `{name}`" in text

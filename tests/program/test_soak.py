"""Nothing grows in a process that works for long; and the soak would notice if something did."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "experiments" / "soak" / "run.py"
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak_run", SOAK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak_run"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["soak_run"]


def readings(soak, memory, files, *, seconds=None):
    """A hundred readings over 1000 jobs."""
    taken = soak.Readings("made up", "jobs", 1000)
    for at in range(1, 101):
        taken.done.append(10 * at)
        taken.memory.append(memory(at))
        taken.files.append(files(at))
        taken.seconds.append(float(at) if seconds is None else seconds(at))
    return taken


def test_a_leak_is_measured_and_told(soak):
    leak = readings(soak, lambda at: 50_000 + 30 * at, lambda at: 5)  # 3 KiB a job
    assert leak.slope == pytest.approx(3000)
    assert leak.faults(1024) == ["made up: memory grows by 3000 KiB for 1000 jobs, more than 1024"]
    assert leak.faults(4000) == []
    assert "3000.0 KiB per 1000" in leak.line()


def test_what_warms_up_is_no_leak(soak):
    warm = readings(soak, lambda at: 50_000 + 900 * min(at, 15), lambda at: min(at, 9))
    assert warm.slope == pytest.approx(0, abs=1e-6)
    assert warm.faults(0.1) == []


def test_files_that_stay_open_are_told(soak):
    leak = readings(soak, lambda at: 50_000, lambda at: 5 + at // 50)
    assert leak.files_gained == 2
    assert leak.faults(1024) == ["made up: 2 more files are open at the end"]


def test_a_process_that_gets_slower_shows_it(soak):
    steady = readings(soak, lambda at: 0, lambda at: 0)
    assert steady.slowing == pytest.approx(1)
    slower = readings(soak, lambda at: 0, lambda at: 0, seconds=lambda at: float(at * at))
    assert slower.slowing == pytest.approx((100**2 - 90**2) / (20**2 - 10**2))


#: In a process of its own: a large one may give memory back meanwhile.
ITSELF = """
import os, runpy, sys
soak = runpy.run_path(sys.argv[1])
resident, open_files = soak["resident"], soak["open_files"]
before, files = resident(), open_files()
with open(sys.argv[1], "rb"):
    block = bytearray(os.urandom(1)) * (64 * 2**20)
    assert open_files() == files + 1
    assert 48 * 2**10 < resident() - before < 80 * 2**10
assert open_files() == files
"""


def test_memory_and_files_of_this_process_are_read():
    done = subprocess.run([sys.executable, "-c", ITSELF, SOAK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(folder, *sizes):
    return subprocess.run(
        [sys.executable, SOAK, *map(str, sizes)], cwd=folder, capture_output=True, text=True, timeout=5400
    )


def told(done):
    """The lines of the table by what they are about, and the verdict."""
    *lines, verdict = done.stdout.splitlines()
    return {line[:18].strip(): line for line in lines}, verdict


@pytest.mark.thorough
def test_a_short_soak(tmp_path):
    """So short that the memory tells nothing, but files that a job left open would be there."""
    # The first fifth ends after the first sweep of 20 jobs, whose figures open fonts for good.
    done = run(tmp_path, "--jobs", 120, "--with-mlflow", 20, "--steps", 20_000)
    assert done.returncode in (0, 1) and done.stderr == ""
    for line in done.stdout.splitlines():
        assert "more files are open" not in line
    lines = [line for line in done.stdout.splitlines() if "last tenth" in line]
    assert [line.split("  ")[0] for line in lines] == ["jobs, no MLflow", "jobs, with MLflow", "a stream"]
    assert [" ".join(line[18:].split()[:2]) for line in lines] == ["120 jobs", "20 jobs", "20000 steps"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ten_thousand_jobs_and_a_million_steps(tmp_path):
    done = run(tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    lines, verdict = told(done)
    assert verdict == "nothing grows"
    assert "10000 jobs" in lines["jobs, no MLflow"] and "1000000 steps" in lines["a stream"]

"""A signal from a sweep's last job's end on: the account is finished or cut short, and agrees with MLflow."""

import signal
import sys

import pytest
from sweep_helpers import children, counts, job_records, last_sweep, parents, table

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SWEEP = ("-m", "seed=0,1,2", "hidden_size=3", "steps=6", "tracking.figures=false")
#: A signal before or after the nth call of a function.
SIGNAL = """
import os
from rnnexp.comparison import files, sweep_figures
from rnnexp.records import JobRecord
from rnnexp.run import Job
from rnnexp.sweeps import account, launching, lifecycle
from rnnexp.tracking.recorder import Recorder
from rnnexp.tracking.sweep_run import SweepRun

whole, calls = {place}.{name}, []


def wrapped(*given, **named):
    calls.append(1)
    if len(calls) == {nth} and {when!r} == "before":
        os.kill(os.getpid(), {number})
    try:
        return whole(*given, **named)
    finally:
        if len(calls) == {nth} and {when!r} == "after":
            os.kill(os.getpid(), {number})


{place}.{name} = wrapped
"""
#: Where; whether all that can be made is made.
MOMENTS = [
    ("launching", "returned", 3, "before", True),
    ("files", "_write_page", 1, "before", True),
    ("Job", "close", 3, "after", True),
    ("Recorder", "_close", 3, "after", True),
    ("launching.Jobs", "run", 3, "after", True),
    ("lifecycle.RunningSweep", "finish", 1, "before", False),
    ("sweep_figures", "explained_variance", 1, "before", False),
    ("SweepRun", "end", 1, "before", True),
    ("SweepRun", "end", 1, "after", True),
    ("account", "print_table", 1, "before", True),
    ("account", "links", 1, "after", True),
    ("lifecycle.RunningSweep", "finish", 1, "after", True),
]


@pytest.mark.quick(3)
@pytest.mark.parametrize(("place", "name", "nth", "when", "whole"), MOMENTS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_the_account_is_made_and_the_parent_ended(folder, warm, recorded, place, name, nth, when, whole, number, code):
    before = SIGNAL.format(place=place, name=name, nth=nth, when=when, number=int(number))
    done = warm.run(folder, *SWEEP, before=before)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    (parent,) = parents(recorded(folder))
    jobs = children(recorded(folder), parent)
    assert [run.info.status for run in jobs] == ["FINISHED"] * 3
    assert parent.info.status == "FINISHED" and "error" not in parent.data.tags
    assert counts(parent) == {"finished": 3}
    assert [record["status"] for record in job_records(last_sweep(folder))] == ["FINISHED"] * 3
    assert [row[2] for row in table(done.stdout)[1:]] == ["FINISHED"] * 3
    assert "not finished" not in done.stdout and "comparison          http" in done.stdout
    assert not whole or (last_sweep(folder) / "sweep.html").is_file()


@pytest.mark.quick(1)
@pytest.mark.parametrize(("place", "name"), [("Job", "close"), ("Recorder", "_close")])
def test_so_it_is_of_a_stack(folder, warm, recorded, place, name):
    before = SIGNAL.format(place=place, name=name, nth=3, when="after", number=int(signal.SIGTERM))
    done = warm.run(folder, *SWEEP, "hydra/launcher=stacked", before=before)
    assert done.returncode == 143, (done.stdout, done.stderr)
    (parent,) = parents(recorded(folder))
    assert {run.info.status for run in recorded(folder)} == {"FINISHED"}
    assert counts(parent) == {"finished": 3}
    assert [row[2] for row in table(done.stdout)[1:]] == ["FINISHED"] * 3


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("place", "name", "when"),
    [("Recorder", "_close", "before"), ("Recorder", "_write_figures", "after"), ("Job", "close", "after")],
)
def test_a_single_run_that_has_made_its_updates_is_finished(folder, warm, recorded, place, name, when):
    before = SIGNAL.format(place=place, name=name, nth=1, when=when, number=int(signal.SIGTERM))
    done = warm.run(folder, *SWEEP[2:], before=before)
    assert done.returncode == 143, (done.stdout, done.stderr)
    (run,) = recorded(folder)
    assert run.info.status == "FINISHED" and "final/eval/loss" in run.data.metrics
    assert "6 updates" in done.stdout and "FINISHED" in done.stdout

"""A sweep that is stopped from outside leaves no run that seems to be running, and no process."""

import os
import signal
import sys
import time

import pytest
from sweep_helpers import (
    PARALLEL,
    TERMINAL,
    children,
    counts,
    job_records,
    last_sweep,
    parents,
    running,
    there,
    wait_for_running,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

LONG = ("seed=0,1,2", "steps=200000", "eval_every=20", "tracking.figures=false")
#: An optimizer whose user presses Ctrl-C at a moment when the store can't be written.
UNLUCKY = """
import os
import signal

from mlflow import MlflowClient
from rnnexp.training import SGD

end = MlflowClient.set_terminated


def locked(self, *arguments, **named):
    MlflowClient.set_terminated = end  # the next time it goes well
    raise RuntimeError("database is locked")


class Unlucky(SGD):
    def update(self, vector, gradient):
        MlflowClient.set_terminated = locked
        os.kill(os.getpid(), signal.SIGINT)
        super().update(vector, gradient)
"""
#: Seconds; workers have ten of them to close their records.
GENEROUS = 60


def ended(process):
    """What the command printed, and that it ended in time and took its workers with it."""
    printed, told = process.communicate(timeout=GENEROUS)
    assert "Traceback" not in told, told
    return printed, told


def gone(records):
    """Whether the processes of the jobs end within some seconds."""
    until = time.monotonic() + 10
    while any(there(record["pid"]) for record in records) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(there(record["pid"]) for record in records)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("name", "code", "launcher"),
    [
        pytest.param("SIGINT", 130, (), id="SIGINT-serial"),
        pytest.param("SIGTERM", 143, PARALLEL, id="SIGTERM-joblib"),
        pytest.param("SIGINT", 130, PARALLEL, id="SIGINT-joblib", marks=pytest.mark.thorough),
        pytest.param("SIGTERM", 143, (), id="SIGTERM-serial", marks=pytest.mark.thorough),
    ],
)
def test_a_stopped_sweep_closes_every_record(folder, recorded, launcher, name, code):
    with running(folder, *LONG, *launcher) as process:
        trained = wait_for_running(folder, process, at_least=2 if launcher else 1)
        if name == "SIGINT":  # as a terminal does it
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        printed, _ = ended(process)
        assert process.returncode == code
        assert gone(trained)
    runs = recorded(folder)
    assert {run.info.status for run in runs} <= TERMINAL
    (parent,) = parents(runs)
    assert parent.info.status == "KILLED"
    assert parent.data.tags["error"].startswith("stopped by")
    jobs = children(runs, parent)
    assert {record["run"] for record in trained} <= {run.info.run_id for run in jobs}
    assert {run.info.status for run in jobs} == {"KILLED"}
    begun = len(trained)
    assert counts(parent) == {"killed": begun, "not_run": 3 - begun}
    assert "RUNNING" not in {record["status"] for record in job_records(last_sweep(folder))}
    assert f"{begun} KILLED, {3 - begun} NOT RUN" in printed.splitlines()
    assert f"to go on: python -m rnnexp -m resume={last_sweep(folder)}" in printed
    for run, record in zip(jobs, trained, strict=True):  # each had the time to close its records
        assert run.data.metrics["final/eval/loss"] > 0
        output = last_sweep(folder) / str(record["number"])
        assert (output / "metrics.csv").is_file()
        if "train/loss" in run.data.metrics:
            assert list(output.glob("checkpoints/step-*.npz"))


#: Kills its process: the job with the learning rate 0.2 each time, the others once in all.
DEADLY = """
import os
import pathlib
import signal
from rnnexp.training import SGD


class Deadly(SGD):
    def update(self, vector, gradient):
        first = not pathlib.Path("killed").exists()
        pathlib.Path("killed").touch()
        if first or self.learning_rate == 0.2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().update(vector, gradient)
"""


@pytest.mark.quick(1)
@pytest.mark.parametrize("launcher", ["joblib", "stacked"])
@pytest.mark.parametrize("always", [False, True], ids=["once", "each time"])
def test_a_killed_worker_costs_no_job_but_one_that_is_killed_each_time(folder, command, recorded, launcher, always):
    (folder / "deadly.py").write_text(DEADLY)
    rates = "optimizer.learning_rate=0.1,0.2,0.3,0.4,0.5" if always else "optimizer.learning_rate=0.1,0.3,0.4,0.5"
    pool = (f"hydra/launcher={launcher}", "hydra.launcher.n_jobs=2")
    own = ("optimizer=sgd", "optimizer._target_=deadly.Deadly", "steps=5", "tracking.figures=false")
    done = command(folder, "-m", *pool, *own, rates)
    assert done.returncode == always, done.stderr
    assert "Traceback" not in done.stderr and "broke off" not in done.stderr
    assert "rnnexp: a worker process was killed, and its pool ended" in done.stderr
    (parent,) = parents(recorded(folder))
    assert parent.info.status == ("FAILED" if always else "FINISHED")
    assert counts(parent) == ({"finished": 4, "killed": 1} if always else {"finished": 4})
    records = {record["name"]: record for record in job_records(last_sweep(folder))}
    assert {name for name, record in records.items() if record["status"] != "FINISHED"} == (
        {"optimizer.learning_rate=0.2"} if always else set()
    )
    ended = {run.info.run_id: run.info.status for run in children(recorded(folder), parent)}
    assert set(ended.values()) <= {"FINISHED", "KILLED"}
    assert all(ended[record["run"]] == record["status"] for record in records.values())


@pytest.mark.parametrize("launcher", [(), pytest.param(PARALLEL, marks=pytest.mark.thorough)], ids=["serial", "joblib"])
def test_impatient_ctrl_c_costs_no_record(folder, recorded, launcher):
    with running(folder, *LONG, *launcher) as process:
        trained = wait_for_running(folder, process, at_least=2 if launcher else 1)
        until = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < until:
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.15)
        process.communicate(timeout=GENEROUS)
        assert process.returncode in (130, -signal.SIGINT)
        assert gone(trained)
    assert {run.info.run_name: run.info.status for run in recorded(folder) if run.info.status not in TERMINAL} == {}


def test_ctrl_c_stops_the_sweep_even_if_the_record_of_the_job_can_not_be_closed(folder, recorded):
    (folder / "unlucky.py").write_text(UNLUCKY)
    arguments = ("optimizer=sgd", "optimizer._target_=unlucky.Unlucky", "seed=0,1", "steps=5", "tracking.figures=false")
    with running(folder, *arguments) as process:
        process.communicate(timeout=GENEROUS)
        assert process.returncode == 130
    assert [record["status"] for record in job_records(last_sweep(folder))] == ["KILLED"]
    assert {run.info.status for run in recorded(folder)} == {"KILLED"}


@pytest.mark.thorough
def test_a_job_of_a_cluster_that_fails_is_told_at_once_and_ctrl_c_ends_the_others(folder, recorded):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5")
    exploding = ("optimizer=sgd", "optimizer.learning_rate=0.01,1e30", "cell.activation=relu", "clipping=none")
    with running(folder, *launcher, *exploding, *LONG[1:]) as process:
        told = next(line for line in process.stderr if line.startswith("rnnexp: "))
        assert told.startswith("rnnexp: job 1 (optimizer.learning_rate=1e+30) DIVERGED: diverged at step ")
        trained = wait_for_running(folder, process)
        process.send_signal(signal.SIGINT)  # submitit's own processes would print tracebacks
        printed, _ = ended(process)
        assert process.returncode == 130
        assert gone(trained)
    assert "1 DIVERGED, 1 KILLED" in printed.splitlines()
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert counts(parent) == {"diverged": 1, "killed": 1}
    assert {run.info.status for run in children(runs, parent)} == {"FAILED", "KILLED"}


@pytest.mark.thorough
def test_a_worker_that_is_asked_to_end_costs_its_own_job_only(folder, recorded):
    """The sweep goes on, in the same worker."""
    jobs = ("seed=0,1,2,3", "steps=3000", "eval_every=20", "hidden_size=60", "tracking.figures=false")
    with running(folder, *jobs, *PARALLEL) as process:
        trained = wait_for_running(folder, process, at_least=2)
        os.kill(trained[0]["pid"], signal.SIGTERM)
        printed, _ = ended(process)
        assert process.returncode == 1
    assert "3 FINISHED, 1 KILLED" in printed.splitlines()
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert counts(parent) == {"finished": 3, "killed": 1}
    killed = [run for run in children(runs, parent) if run.info.status == "KILLED"]
    assert [run.data.tags["error"] for run in killed] == ["stopped by a signal"]

"""Jobs of a sweep that was killed, and runs without MLflow, resumed bit for bit."""

import signal

import numpy as np
import pytest
from resume_runs import CODES, SMALL, STEPS, TRIES, Kills, Record, check_whole, newest, runs_in

ARGUMENTS = (*SMALL, "task=echo", "seed=3,4", "optimizer.learning_rate=0.01")


@pytest.fixture(scope="module")
def reference(warm):
    """The sweep that nobody touched."""
    folder = warm.new_folder()
    whole = warm.run(folder, "-m", *ARGUMENTS)
    assert whole.returncode == 0, whole.stderr
    return folder


def job_folder(folder, job):
    return next(iter(folder.glob(f"multirun/*/*/{job}")), None)


def jobs(folder):
    """The records of a sweep's jobs by their numbers, and that of the sweep."""
    records = [Record(folder, run) for run in runs_in(folder)]
    return {record.tags.get("rnnexp.job", "sweep"): record for record in records}


def killed_sweep(warm, rng, name, launcher, job):
    """A sweep killed when a job had a checkpoint drawn at random."""
    for _ in range(TRIES):
        folder = warm.new_folder()
        child = warm.start(folder, "-m", *launcher, *ARGUMENTS, patience=float(rng.choice([0.0, 5.0])))
        wanted = int(rng.integers(1, STEPS - 5))
        alive = child.when(lambda: (at := job_folder(folder, job)) is not None and newest(at) >= wanted)  # noqa: B023
        child.kill(getattr(signal, f"SIG{name}"))
        child.wait()
        if alive and child.returncode == CODES[name] and jobs(folder)[str(job)].status != "FINISHED":
            assert "Traceback" not in child.stderr
            return folder
        assert child.returncode in (0, CODES[name]), child.stderr
    raise AssertionError("the sweep always ended before it was killed")


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("name", "launcher"),
    [
        ("INT", "serial"),
        ("KILL", "stacked"),
        *(
            pytest.param(*row, marks=pytest.mark.thorough)
            for row in (("TERM", "serial"), ("KILL", "serial"), ("INT", "stacked"), ("TERM", "stacked"))
        ),
    ],
)
def test_killed_jobs_of_a_sweep_are_resumed_one_by_one(warm, reference, name, launcher):
    rng = np.random.default_rng(list(f"{name} {launcher}".encode()))
    stacked = launcher == "stacked"
    folder = killed_sweep(warm, rng, name, (f"hydra/launcher={launcher}",), job=1)
    began = jobs(folder)
    assert began["sweep"].status == ("RUNNING" if name == "KILL" else "KILLED")
    expected = {"0": "KILLED" if stacked else "FINISHED", "1": "KILLED"}
    if name != "KILL":
        assert {job: began[job].status for job in expected} == expected
    for job in (0, 1) if stacked else (1,):
        target = began[str(job)].id if rng.random() < 0.5 else job_folder(folder, job)
        resumed = warm.run(folder, f"resume={target}")
        assert resumed.returncode == 0, resumed.stderr
    ended, whole = jobs(folder), jobs(reference)
    assert ended.keys() == whole.keys()
    for job in ("0", "1"):
        assert ended[job].id == began[job].id
        assert ended[job].tags["mlflow.parentRunId"] == ended["sweep"].id
        assert ended[job].tags["mlflow.runName"] == whole[job].tags["mlflow.runName"]
        check_whole(job_folder(folder, job), job_folder(reference, job), ended[job], whole[job])
    assert ended["sweep"].status == "KILLED"


@pytest.mark.thorough
@pytest.mark.parametrize("plan", [["KILL", "INT"], ["TERM", "KILL", "KILL"]], ids=" ".join)
def test_without_mlflow(warm, plan):
    arguments = (*SMALL, "cell=gru", "tracking=none", "hydra.run.dir=here")
    reference = warm.new_folder()
    assert warm.run(reference, *arguments).returncode == 0
    kills = Kills(warm, np.random.default_rng(len(plan)), STEPS)
    folder = kills.through(plan, arguments, find=lambda folder: folder / "here")
    check_whole(folder / "here", reference / "here")
    assert runs_in(folder) == []


def test_a_job_of_a_sweep_without_mlflow(warm):
    sweep = ("-m", "hydra/launcher=stacked", *ARGUMENTS, "tracking=none")
    reference, folder = warm.new_folder(), warm.new_folder()
    assert warm.run(reference, *sweep).returncode == 0
    child = warm.start(folder, *sweep)
    assert child.when(lambda: (at := job_folder(folder, 1)) is not None and newest(at) >= STEPS // 2)
    child.kill(signal.SIGINT)
    assert child.wait().returncode == 130
    for job in (0, 1):
        assert warm.run(folder, f"resume={job_folder(folder, job)}").returncode == 0
        check_whole(job_folder(folder, job), job_folder(reference, job))

"""Jobs of a sweep that was killed, and runs without MLflow, resumed bit for bit."""

import signal

import numpy as np
import pytest
from resume_runs import CODES, SMALL, STEPS, TRIES, Kills, Record, check_whole, newest, runs_in
from sweep_helpers import refused

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


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "launcher"), [("INT", "serial"), ("TERM", "serial"), ("KILL", "serial"), ("INT", "stacked")]
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
    check_all(folder, reference, began)
    assert jobs(folder)["sweep"].status == "KILLED"


def check_all(folder, reference, began):
    """The runs of a sweep that was killed are whole, are those that began, and there is no other."""
    ended, whole = jobs(folder), jobs(reference)
    assert ended.keys() == whole.keys() and len(runs_in(folder)) == len(whole)
    for job in ("0", "1"):
        assert ended[job].id == began.get(job, ended[job]).id
        assert ended[job].tags["mlflow.parentRunId"] == ended["sweep"].id
        assert ended[job].tags["mlflow.runName"] == whole[job].tags["mlflow.runName"]
        check_whole(job_folder(folder, job), job_folder(reference, job), ended[job], whole[job])


#: Lets a stack notice at its end whether it was one, of which jobs from which update.
TELLING = """
import rnnexp.run
train = rnnexp.run.train_together
def together(runs, **how):
    print("together", [run.trainer.step for run in runs], flush=True)
    return train(runs, **how)
rnnexp.run.train_together = together
"""


@pytest.mark.quick(1)
@pytest.mark.parametrize(("name", "launcher"), [("KILL", "stacked"), ("TERM", "stacked"), ("INT", "serial")])
def test_a_killed_sweep_goes_on_by_its_folder_alone(warm, reference, name, launcher):
    rng = np.random.default_rng(list(f"{name} {launcher}".encode()))
    folder = killed_sweep(warm, rng, name, (f"hydra/launcher={launcher}",), job=1)
    began, sweep = jobs(folder), job_folder(folder, 1).parent
    steps = [newest(sweep / job) for job in "01"]
    done = warm.run(folder, "-m", f"resume={sweep}", before=TELLING)
    assert done.returncode == 0, done.stderr
    together = {line for line in done.stdout.splitlines() if line.startswith("together")}
    same = launcher == "stacked" and steps[0] == steps[1]
    assert together == ({f"together {steps}"} if same else set())
    check_all(folder, reference, began)
    ended = jobs(folder)["sweep"]
    assert (ended.id, ended.status) == (began["sweep"].id, "FINISHED")
    assert {name: value for name, (_, value) in ended.latest.items() if value and "best" not in name} == {
        "jobs/finished": 2.0
    }
    again = warm.run(folder, "-m", f"resume={sweep.relative_to(folder)}", *ARGUMENTS, "quiet=true")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    check_all(folder, reference, began)


def test_jobs_killed_before_their_first_checkpoint_go_on_in_their_runs(warm, reference):
    for _ in range(TRIES):
        folder = warm.new_folder()
        arguments = [one for one in ARGUMENTS if not one.startswith("checkpoint.every")]
        child = warm.start(folder, "-m", "hydra/launcher=stacked", *arguments, patience=0.0)
        alive = child.when(lambda: (at := job_folder(folder, 1)) and b"metrics" in log_of(at))  # noqa: B023
        child.kill(signal.SIGKILL)
        child.wait()
        if alive and child.returncode == -9 and newest(job_folder(folder, 0)) < 0:
            break
    else:
        raise AssertionError("the sweep always ended before it was killed")
    began, sweep = jobs(folder), job_folder(folder, 1).parent
    assert {"0", "1"} <= began.keys()
    done = warm.run(folder, "-m", f"resume={sweep}")
    assert done.returncode == 0, done.stderr
    assert "job 1 (seed=4): started again, from update 0" in done.stdout
    ended = jobs(folder)
    assert {job: record.id for job, record in ended.items()} == {job: record.id for job, record in began.items()}
    assert len(runs_in(folder)) == 3
    for job in "01":
        ended[job].check()
        assert ended[job].curves() == jobs(reference)[job].curves()


def log_of(run_folder):
    path = run_folder / "run.jsonl"
    return path.read_bytes() if path.exists() else b""


def test_what_can_not_go_on_is_refused(warm, reference):
    sweep = job_folder(reference, 1).parent
    (reference / "empty").mkdir(exist_ok=True)
    for arguments, *named in (
        (("-m", "resume=empty"), "resume must be the folder of a sweep, with -m, got empty"),
        (("-m", f"resume={sweep}", "seed=3,4,5"), "seed must be as in the sweep that is continued: seed=3,4"),
        (("-m", f"resume={sweep}", "cell=gru"), "cell must be left out, as in the sweep, got gru"),
        (("-m", f"resume={sweep}", "hydra.sweep.subdir=x"), "hydra.sweep.subdir must be left out, as in the sweep"),
        (
            ("-m", f"resume={sweep}", "tracking.uri=sqlite:///other.db"),
            "there is no tracking database",
            "tracking.uri=",
        ),
        ((f"resume={sweep}",), "the folder of a sweep is given with -m", f"python -m rnnexp -m resume={sweep}"),
    ):
        refused(warm.run(reference, *arguments), *named)


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

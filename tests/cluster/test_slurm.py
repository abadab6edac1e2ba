"""The README's command for a cluster, on a Slurm of one node without accounting."""

import os
import signal
import subprocess

import pytest
from conftest import starting
from servers import finished, may_unshare, said, until
from sweep_helpers import children, client, counts, job_records, numbers, parents

from rnnexp.records import load_job
from rnnexp.training.checkpoint_folder import CHECKPOINTS_FOLDER

pytestmark = pytest.mark.cluster
SLURM = ("-m", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=cpu", "tracking.figures=false")
#: Jobs that take long, and hardly any of the processor's time.
SLOW = """
import time
from rnnexp.training import SGD
class Slow(SGD):
    def update(self, vector, gradient):
        time.sleep(0.05)
        super().update(vector, gradient)
"""
LONG = ("optimizer=sgd", "optimizer._target_=slow.Slow", "steps=150", "eval_every=50", "checkpoint.every=5")
ENDLESS = (*LONG[:2], "steps=100000", "eval_every=1000", "checkpoint.every=5")


def recorded(folder):
    reader = client(folder / "mlflow.db")
    return reader.search_runs([reader.get_experiment_by_name("rnnexp").experiment_id])


def checkpoint_of(folder):
    return lambda: list((folder / CHECKPOINTS_FOLDER).glob("step-*.npz"))


def job_of(sweep):
    """The number that Slurm gave a sweep's jobs."""
    (name,) = {path.name.partition("_")[0] for path in (sweep / ".submitit").iterdir() if path.name[:1].isdigit()}
    return name


@pytest.fixture(scope="module")
def limited(slurm, place, database):
    """A sweep whose job comes to its time limit of a minute, while the other tests run: its folder and its process."""
    folder = place / "limited"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    limit = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=1", "hydra.sweep.dir=sweep")
    with starting(database) as begin:
        process = begin(folder, *SLURM, *limit, "seed=0", *ENDLESS, **slurm)
        # Slurm looks at limits twice a minute, and may send the signal that much earlier.
        until(checkpoint_of(folder / "sweep" / "0"), 240, "a checkpoint of the job with a time limit")
        yield folder, process


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("limited")
def test_jobs_that_end_in_every_way(slurm, place, start, run):
    """In one sweep: one is left alone, one cancelled, one requeued, one killed."""
    environment = {**os.environ, **slurm}
    folder = place / "ends"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    alone = start(folder, "seed=2", *LONG, "hydra.run.dir=alone", "tracking=none")
    sweep = folder / "sweep"
    going = start(folder, *SLURM, "seed=0,1,2,3", *LONG, "hydra.sweep.dir=sweep", **slurm)
    left = {1, 2, 3}
    while left:  # each as soon as it has a checkpoint, in whatever order they begin
        for number in until(lambda: [one for one in left if checkpoint_of(sweep / str(one))()], 240, "a checkpoint"):
            left.remove(number)
            job = f"{job_of(sweep)}_{number}"
            if number == 3:
                os.kill(load_job(sweep, number).pid, signal.SIGKILL)
            else:
                subprocess.run(
                    [*(["scontrol", "requeue"] if number == 2 else ["scancel"]), job], env=environment, check=True
                )
    done = finished(going)
    records = job_records(sweep)
    assert [record["status"] for record in records] == ["FINISHED", "KILLED", "FINISHED", "KILLED"], done.stderr
    assert "stopped by a signal" in records[1]["reason"]
    job = job_of(sweep)
    assert records[3]["reason"].startswith(f"its job {job}_3 ended as failed; its output is in ")
    assert checkpoint_of(sweep / "1")()
    runs = recorded(folder)
    (parent,) = parents(runs)
    assert done.returncode == 1 and parent.info.status == "FAILED"
    assert counts(parent) == {"finished": 2, "killed": 2}
    statuses = [record.info.status for record in children(runs, parent)]
    assert statuses == ["FINISHED", "KILLED", "FINISHED", "KILLED"]
    for noise in ("sacct", "accounting", "submitit WARNING", "Traceback"):
        assert noise not in done.stderr + done.stdout
    again = "job 2 (seed=2): started again, from update "
    assert again in (sweep / ".submitit" / f"{job}_2" / f"{job}_2_0_log.out").read_text()

    # Bit for bit as alone; and the same command runs what is missing.
    assert finished(alone).returncode == 0
    assert numbers(sweep / "2") == numbers(folder / "alone")
    rest = run(folder, *SLURM, "seed=0,1,2,3", *LONG, "skip_finished=true", "hydra.sweep.dir=rest", **slurm)
    assert rest.returncode == 0, rest.stderr
    statuses = [record["status"] for record in job_records(folder / "rest")]
    assert statuses == ["SKIPPED", "FINISHED", "SKIPPED", "FINISHED"]


@pytest.mark.skipif(not may_unshare(), reason="needs a mount namespace of its own")
def test_a_folder_that_the_node_has_not_is_named(slurm, unshared, run):
    done = run(unshared, *SLURM, "seed=0", "steps=5", "hydra.sweep.dir=sweep", **slurm)
    (record,) = job_records(unshared / "sweep")
    assert record["status"] == "KILLED"
    assert f"wrote nothing: do the machines share the folder {unshared / 'sweep'}?" in record["reason"]
    assert done.returncode == 1 and "Traceback" not in done.stderr


@pytest.mark.timeout(900)
def test_ctrl_c_cancels_what_runs_and_what_waits(slurm, place, start):
    folder = place / "stopped"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    one_at_a_time = ("hydra.launcher.cpus_per_task=5", "hydra.sweep.dir=sweep")  # of the node's 8
    going = start(folder, *SLURM, *one_at_a_time, "seed=0,1", *ENDLESS, **slurm)
    sweep = folder / "sweep"
    until(lambda: any(checkpoint_of(sweep / str(number))() for number in (0, 1)), 240, "a checkpoint")
    job = job_of(sweep)
    going.send_signal(signal.SIGINT)
    done = finished(going)
    assert done.returncode == 130
    assert sorted(record["status"] for record in job_records(sweep)) == ["KILLED"]
    (parent,) = parents(recorded(folder))
    assert counts(parent) == {"killed": 1, "not_run": 1}
    environment = {**os.environ, **slurm}
    assert said("squeue", "-h", f"--jobs={job}", env=environment) == ""


@pytest.mark.parametrize(
    ("settings", "problem", "hint"),
    [
        (
            ["hydra.launcher.partition=gpus"],
            "hydra.launcher.partition must be one of cpu, got gpus",
            "sinfo lists the partitions",
        ),
        (
            ["bptt_length=range(2,13)"],
            "hydra.sweeper.max_batch_size must be at most 20 for 22 jobs, as is Slurm's MaxArraySize, got null",
            "hydra.sweeper.max_batch_size=20",
        ),
        (
            ["hydra.launcher.timeout_min=1"],
            "hydra.launcher.signal_delay_s must be less than the 60 seconds of hydra.launcher.timeout_min=1, got 120",
            "for example hydra.launcher.signal_delay_s=20",
        ),
        (
            ["hydra.launcher.constraint=quantum"],
            "sbatch has not taken the jobs: sbatch: error: Batch job submission failed: Invalid feature specification",
            "",
        ),
    ],
)
def test_mistakes_are_refused_in_two_lines(slurm, place, run, settings, problem, hint):
    folder = place / "refused"
    done = run(folder, "-m", "hydra/launcher=submitit_slurm", *settings, "seed=0,1", "steps=5", **slurm)
    assert done.returncode == 1
    assert problem in done.stderr and hint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(900)
def test_before_its_time_limit_a_job_writes_a_checkpoint_and_can_be_resumed(limited, run):
    folder, process = limited
    done = finished(process)
    (record,) = job_records(folder / "sweep")
    assert (record["status"], record["reason"]) == ("KILLED", "stopped by SIGUSR2, as before a time limit"), done.stderr
    (at, *_) = sorted(checkpoint_of(folder / "sweep" / "0")(), reverse=True)
    resumed = run(folder, "resume=sweep/0", f"steps={int(at.stem.removeprefix('step-')) + 10}")
    assert resumed.returncode == 0, resumed.stderr

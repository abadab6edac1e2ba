"""What a sweep left behind, read back; and a sweep that is still running."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
TERMINAL = {"FINISHED", "FAILED", "KILLED"}


def client(database):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{database}")


def sweep_folders(folder):
    """The folders of the sweeps that ran here, oldest first."""
    return sorted(folder.glob("multirun/*/*"))


def last_sweep(folder):
    """The folder of the sweep that ran last."""
    return sweep_folders(folder)[-1]


def job_records(sweep):
    """What the sweep's folder says of every job that began, in order."""
    return [json.loads(path.read_text().splitlines()[-1]) for path in sorted(sweep.glob("jobs/*.jsonl"))]


def parents(runs):
    """The runs that stand for sweeps, oldest first."""
    return [run for run in runs if run.data.tags["rnnexp.kind"] == "sweep"]


def children(runs, parent):
    """A sweep's runs, in the order of their jobs."""
    mine = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return sorted(mine, key=lambda run: int(run.data.tags["rnnexp.job"]))


def counts(parent):
    """How many jobs had which end, those that none had left out."""
    numbers = {name.removeprefix("jobs/"): value for name, value in parent.data.metrics.items()}
    numbers.pop("best_loss", None)
    return {name: value for name, value in numbers.items() if value}


def numbers(run_folder):
    """Everything that a run measured: (metric, step, value) as written."""
    with (run_folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [(row["metric"], row["step"], row["value"]) for row in csv.DictReader(file)]


def table(printed):
    """The table of the jobs, one list of words a row, its head first; the rest of a long reason is left out."""
    lines = printed.splitlines()
    start = max(number for number, line in enumerate(lines) if line.startswith("job "))
    rows = [lines[start].split()]
    for line in lines[start + 1 :]:
        if not line.startswith(" "):
            break
        words = line.split()
        if words[0] == str(len(rows) - 1):
            rows.append(words)
    return rows


def refused(done, *words):
    """Two lines on stderr, exit code 1, nothing on stdout."""
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("rnnexp: "), done.stderr
    for word in words:
        assert word in done.stderr


@contextmanager
def running(folder, *arguments):
    """A sweep in a group of processes of its own, which is gone afterwards in any case."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "rnnexp", "-m", *arguments],
        cwd=folder,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_running(folder, process, at_least=1, timeout=120):
    """The records of jobs that train, with their runs in MLflow, as soon as there are so many."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        found = [
            record
            for sweep in sweep_folders(folder)
            for record in job_records(sweep)
            if record["status"] == "RUNNING" and record["run"]
        ]
        if len(found) >= at_least:
            time.sleep(0.5)  # into the training
            return found
        time.sleep(0.1)
    raise AssertionError("no job began to train")


def there(pid):
    """Whether a process is there and not only waiting to be forgotten."""
    try:
        os.kill(pid, 0)
        if sys.platform != "linux":
            return True
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False

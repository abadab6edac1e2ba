"""What recording in MLflow costs: ``python experiments/tracking_cost/run.py``.

In an empty folder with a database that was used before, it times runs of 2000 updates with 100 units, and all calls
to MLflow in them, and prints their share of a run's time; then sweeps of few and of many tiny jobs, and the time
that a job takes beside its training: in milliseconds of this machine, and that of one job more in calls of `log_batch`.

Let the disk rest for a minute before: where many files were just deleted, as at the end of this, ext4 without a journal
takes up to fifty times as long to make a new one, and a job makes a dozen.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from rnnexp import __main__ as command
from rnnexp.training import Run

spent = {"mlflow": 0.0, "training": 0.0}
inside = False


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time added up where it is not called by another one of them."""

    def call(*args: Any, **kwargs: Any) -> Any:
        global inside
        if inside:
            return function(*args, **kwargs)
        inside, began = True, time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            inside = False
            spent["mlflow"] += time.perf_counter() - began

    return call


def watch() -> None:
    """Time what a run does while it talks with MLflow, and the training."""
    from rnnexp.tracking.mlflow_run import MLflowRun

    for name in ("__init__", "flush", "end"):
        setattr(MLflowRun, name, timed(getattr(MLflowRun, name)))
    reports = Run.reports

    def watched(self: Run) -> Iterator[Any]:
        steps = reports(self)
        while True:
            began = time.perf_counter()
            try:
                report = next(steps)
            except StopIteration:
                return
            finally:
                spent["training"] += time.perf_counter() - began
            yield report

    Run.reports = watched  # type: ignore[method-assign]


def run(*arguments: str) -> float:
    """Seconds of one command in this process."""
    sys.argv[1:] = list(arguments)
    spent.update(mlflow=0.0, training=0.0)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command.main()
    return time.perf_counter() - began


def sweep(jobs: int) -> dict[str, float]:
    """Seconds of a sweep of tiny jobs beside their training, and of all its calls to MLflow."""
    whole = run("-m", f"seed=range(0,{jobs})", "steps=2", "eval_every=2", "tracking.figures=false")
    return {"beside": whole - spent["training"], "mlflow": spent["mlflow"]}


def batch_of_1000() -> float:
    """Seconds of a call of `log_batch` with 1000 values, the median of nine."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client, seconds = MlflowClient("sqlite:///mlflow.db"), []
    for _ in range(9):
        run = client.create_run("0").info.run_id
        metrics = [Metric(f"metric{number % 10}", float(number), 0, number) for number in range(1000)]
        began = time.perf_counter()
        client.log_batch(run, metrics)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def main() -> None:
    """Print the share and the time a job takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="updates of the run")
    parser.add_argument("--runs", type=int, default=5, help="how often it is run")
    parser.add_argument("--jobs", type=int, default=100, help="jobs of the sweep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run("steps=2")  # makes the database, and imports everything
        watch()
        shares = []
        for _ in range(options.runs):
            whole = run("hidden_size=100", f"steps={options.steps}")
            shares.append(spent["mlflow"] / whole)
        print(
            f"MLflow calls: {statistics.median(shares):.1%} of a run of {options.steps} updates with 100 units "
            f"(median of {options.runs}, {min(shares):.1%} to {max(shares):.1%}; the last took {whole:.1f} s)",
            flush=True,
        )
        few, many = (sweep(count) for count in (options.jobs // 4, options.jobs))
        each = (many["beside"] - few["beside"]) / (options.jobs - options.jobs // 4)
        print(
            f"{options.jobs} jobs of 2 updates: {1000 * many['beside'] / options.jobs:.0f} ms a job beside training, "
            f"of which MLflow {1000 * many['mlflow'] / options.jobs:.0f} ms; "
            f"a job more costs {1000 * each:.0f} ms, {each / batch_of_1000():.2f} calls of log_batch with 1000 values"
        )
        os.chdir("/")


if __name__ == "__main__":
    main()

"""What a job of a stacked sweep costs, beside MLflow alone: ``python experiments/growth/stacked_jobs.py 200 1000``.

For each number of jobs, in an empty folder with a database that was used before: CPU time of the whole sweep, of the
same with `tracking=none`, of its training alone (updates, evaluations, studies of the gradient), and of MLflow's client
where it is given every run's entries again, in three calls each; in seconds a job. It prints a line of JSON for each
number of jobs.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import rnnexp.run
from rnnexp import __main__ as command
from rnnexp.json_lines import read_lines

spent = {"training": 0.0}


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function, the CPU time of whose generators is added up."""

    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, None]:
        steps, given = function(*args, **kwargs), None
        while True:
            began = time.process_time()
            try:
                report = steps.send(given)
            except StopIteration:
                return
            finally:
                spent["training"] += time.process_time() - began
            given = yield report

    return generate


def run(*arguments: str) -> float:
    """CPU seconds of one command in this process."""
    sys.argv[1:] = list(arguments)
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command.main()
    return time.process_time() - began


def store_alone(logs: list[list[dict[str, Any]]]) -> float:
    """CPU seconds that MLflow takes for runs with the entries of some run logs: create, log in one batch, end."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient("sqlite:///mlflow.db")
    experiment = client.create_experiment(f"alone {time.time()}")
    began = time.process_time()
    for entries in logs:
        begin, all_of = entries[0]["begin"], {"params": {}, "tags": {}}  # type: dict[str, Any], dict[str, Any]
        for entry in entries:
            for kind, found in all_of.items():
                found |= entry.get(kind, {})
        made = client.create_run(experiment, begin["start_time"], begin["tags"], begin["run_name"]).info.run_id
        client.log_batch(
            made,
            [Metric(*point) for entry in entries for point in entry.get("metrics", ())],
            [Param(*item) for item in all_of["params"].items()],
            [RunTag(*item) for item in all_of["tags"].items()],
        )
        client.set_terminated(made)
    return time.process_time() - began


def cost(jobs: int, *arguments: str) -> dict[str, float]:
    """Of a sweep over seeds in the current folder: CPU seconds a job, and the most points of a run.

    `whole` is the sweep, `training` a part of it, `without` the sweep without MLflow, and `store` what MLflow takes for
    the same runs.
    """
    sweep = Path("multirun", f"{jobs}-{time.time()}")
    stacked = ("-m", "hydra/launcher=stacked", f"seed=range(0,{jobs})", *arguments)
    without = run(*stacked, "tracking=none")
    spent["training"] = 0.0
    whole = run(*stacked, f"hydra.sweep.dir={sweep}")
    training = spent["training"]
    logs = [read_lines(path) for path in sweep.glob("*/run.jsonl")]
    assert len(logs) == jobs
    points = max(sum(len(entry.get("metrics", ())) for entry in log) for log in logs)
    seconds = {"whole": whole, "without": without, "training": training, "store": store_alone(logs)}
    return {**{name: value / jobs for name, value in seconds.items()}, "points": points}


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int, nargs="*", default=[200, 1000], help="of each sweep")
    parser.add_argument("--steps", type=int, default=50, help="updates of a job")
    options = parser.parse_args()
    rnnexp.run.train_together = timed(rnnexp.run.train_together)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run("-m", "hydra/launcher=stacked", "seed=0,1", "steps=2")  # makes the database, and imports everything
        for jobs in options.jobs:
            found = cost(jobs, f"steps={options.steps}", f"max_jobs={jobs}")
            print(json.dumps({"jobs": jobs, **found}), flush=True)
        os.chdir("/")


if __name__ == "__main__":
    main()

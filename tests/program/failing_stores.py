"""Runs in whose middle something happens, and what the database holds of them."""

import csv
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager, suppress

from rnnexp.json_lines import read_lines
from rnnexp.tracking.run_log import RUN_LOG, is_complete

#: An optimizer that does something in the middle, and records that are written and sent as often as can be.
FAULTY = """
import os
import pathlib
import signal

from rnnexp.tracking import mlflow_run, run_log
from rnnexp.training import SGD

run_log.PATIENCE = run_log.SOON = run_log.REST = mlflow_run.SHORTEST_PAUSE = 0.0
updates = 0


class Faulty(SGD):
    def update(self, vector, gradient):
        global updates
        updates += 1
        if updates == {at}:
            {action}
        super().update(vector, gradient)
"""
USED = ("optimizer=sgd", "optimizer._target_=faulty.Faulty", "tracking.figures=false", "eval_every=5")
#: The same without anything that happens.
PLAIN = ("optimizer=sgd", "tracking.figures=false", "eval_every=5")
BREAK = "os.rename('mlflow.db', 'aside.db'); os.mkdir('mlflow.db')"


def faulty(folder, at, action):
    """Let `action` happen at an update of the runs in this folder that use the optimizer."""
    (folder / "faulty.py").write_text(FAULTY.format(at=at, action=action))


def mend(folder):
    """Undo `BREAK`."""
    (folder / "mlflow.db").rmdir()
    (folder / "aside.db").rename(folder / "mlflow.db")


def tracking(folder, *arguments, **environment):
    """Run `python -m rnnexp.tracking` in a folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_"))}
    return subprocess.run(
        [sys.executable, "-m", "rnnexp.tracking", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def stored(database, run):
    """How often every (metric, step, value) of a run is in a database."""
    with closing(sqlite3.connect(database)) as opened:
        return Counter(opened.execute("select key, step, value from metrics where run_uuid = ?", (run,)).fetchall())


def measured(run_folder):
    """Every (metric, step, value) of a run's metrics.csv, once each."""
    with (run_folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return Counter((row["metric"], int(row["step"]), float(row["value"])) for row in csv.DictReader(file))


def as_it_came(points):
    """Those that are no summary of the beginning or the end."""
    summaries = ("final/", "gradient_by", "network/", "test/")
    return Counter({point: n for point, n in points.items() if not point[0].startswith(summaries)})


def fewer(points, whole):
    """Whether points are some of all, with the first and the last one of each curve: so it is in a sweep."""
    return points <= whole and ends(points) == ends(whole)


def ends(points):
    steps = [(name, step) for name, step, _ in points]
    return {name: (min(s for n, s in steps if n == name), max(s for n, s in steps if n == name)) for name, _ in steps}


def logged(run_folder):
    """How often every (metric, step, value) is in a run's log."""
    entries = read_lines(run_folder / RUN_LOG)
    return Counter((name, step, value) for entry in entries for name, value, _, step in entry.get("metrics", ()))


def unfinished(folder):
    """The run logs in a folder of which MLflow lacks something."""
    return [path for path in folder.rglob(RUN_LOG) if not is_complete(path)]


def run_folder(folder):
    """Of the only run here."""
    (found,) = folder.glob("outputs/*/*")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(folder, port):
    """An MLflow server, in a group of processes of its own whose number is in the file server.pid."""
    arguments = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/files"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *arguments, "--port", str(port), "--workers", "1"],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        (folder / "server.pid").write_text(str(process.pid))
        until = time.monotonic() + 90
        while True:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            assert process.poll() is None and time.monotonic() < until, "the server did not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

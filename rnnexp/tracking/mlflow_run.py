"""One run in MLflow: created at the start, told of metrics in batches, and always ended with a true status."""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import rnnexp
from rnnexp.tracking.history import Point
from rnnexp.tracking.store import Store

#: MLflow takes at most 1000 metrics in one call, and a call of many costs hardly more than a call of one.
BATCH = 1000
#: Seconds after which what has come is sent, so that the UI can be watched.
PATIENCE = 5.0


def run_tags(command: str) -> dict[str, str]:
    """Who started what, where, and from which code."""
    return {
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        "rnnexp.version": rnnexp.__version__,
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        **code_version(),
    }


@cache
def code_version() -> dict[str, str]:
    """Tags that say which commit of a checkout is running; none when the package is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        told = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    commit, dirty, _ = told.partition("-dirty")
    return {"mlflow.source.git.commit": commit, "git.dirty": "true" if dirty else "false"}


def user() -> str:
    """The name of the person, as MLflow shows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class MLflowRun:
    """A run of an experiment.

    Parameters
    ----------
    store : Store
    name : str
        Shown in the UI.
    params : mapping
        Flat, plain values.
    command : str
        What was typed.
    tags : mapping
        Further tags.
    """

    def __init__(
        self, store: Store, name: str, params: Mapping[str, object], command: str, tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Param

        self.store = store
        tags = {**run_tags(command), **tags}
        run = store.client.create_run(store.experiment_id, tags=tags, run_name=name[:250])
        self.id: str = run.info.run_id
        entries = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for start in range(0, len(entries), 100):
            store.client.log_batch(self.id, params=entries[start : start + 100])
        self._waiting: list[Any] = []
        self._sent = time.monotonic()

    def keep(self, points: Iterable[Point]) -> None:
        """Take in metric values, to be sent with the next batch."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(point.name, point.value, now, point.step) for point in points]

    def log(self, points: Iterable[Point]) -> None:
        """Take in metric values; they are sent in batches."""
        self.keep(points)
        if len(self._waiting) >= BATCH or time.monotonic() - self._sent > PATIENCE:
            self.flush()

    def flush(self, tags: Mapping[str, str] | None = None) -> None:
        """Send what waits, and some tags with it: a call costs more than what it carries."""
        from mlflow.entities import RunTag

        entries = [RunTag(key, value[:5000]) for key, value in (tags or {}).items()]
        while self._waiting or entries:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            self.store.client.log_batch(self.id, metrics=batch, tags=entries)
            entries = []
        self._sent = time.monotonic()

    def artifact(self, path: Path) -> None:
        """Keep a file with the run."""
        self.store.client.log_artifact(self.id, str(path))

    def end(self, status: str, tags: Mapping[str, str]) -> None:
        """Send what waits, and end the run as FINISHED, FAILED or KILLED."""
        try:
            self.flush(tags)
        finally:
            self.store.client.set_terminated(self.id, status)

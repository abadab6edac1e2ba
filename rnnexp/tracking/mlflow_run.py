"""One run in MLflow: created at the start, told of metrics in batches, and always ended with a true status.

A store that fails while training goes on does not disturb it: what it did not take waits in the run's outbox.
"""

import getpass
import math
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError
from rnnexp.history import Point, is_last_curve
from rnnexp.redaction import redact, redact_text
from rnnexp.tracking.dead_runs import process_tags
from rnnexp.tracking.outbox import BATCH, Outbox
from rnnexp.tracking.store import Store, check_now, store_error
from rnnexp.version import __version__

#: Seconds after which what has come is sent, so that the UI can be watched; the parameters are sent sooner.
PATIENCE, SOON = 5.0, 1.0
#: Seconds between two tries to reach a store that failed: growing up to this.
LONGEST_PAUSE = 300.0
#: Seconds for which a store that worked is trusted without trying it first.
TRUST = 0.5
#: Errors of MLflow that mean this run and not the whole store.
THIS_RUN_ONLY = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")


def run_tags(command: str) -> dict[str, str]:
    """Who started what, where, and from which code."""
    return {
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        "rnnexp.version": __version__,
        **process_tags(),
        **code_version(),
    }


@cache
def code_version() -> dict[str, str]:
    """Tags that say which commit of a checkout is running; none when the package is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        store_error = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    commit, dirty, _ = store_error.partition("-dirty")
    return {"mlflow.source.git.commit": commit, "git.dirty": "true" if dirty else "false"}


def user() -> str:
    """The name of the person, as MLflow shows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class Pauses:
    """When to try again what failed: after pauses that grow, shared by the runs of this process."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._lengths: dict[str, float] = {}
        self._worked: dict[str, float] = {}
        self.told: set[str] = set()

    def over(self, *names: str) -> bool:
        """Whether none of these has to rest."""
        return all(time.monotonic() >= self._ends.get(name, 0.0) for name in names)

    def failed(self, name: str, took: float) -> None:
        """Let it rest: longer than the last time, and much longer than a try takes."""
        self._worked.pop(name, None)
        length = min(LONGEST_PAUSE, max(PATIENCE, 2 * self._lengths.get(name, 0.0), 4 * took))
        self._lengths[name] = length
        self._ends[name] = time.monotonic() + length

    def works(self, name: str) -> None:
        """It need not rest any more."""
        self._ends.pop(name, None)
        self._lengths.pop(name, None)
        self._worked[name] = time.monotonic()

    def just_worked(self, name: str) -> bool:
        """Whether it worked a moment ago."""
        return time.monotonic() - self._worked.get(name, -math.inf) < TRUST

    def known(self, name: str) -> bool:
        """Whether it failed the last time."""
        return name in self._ends


pauses = Pauses()


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
    folder : Path
        The run folder, where the outbox is put if the store fails.
    later : bool
        If the store fails, the run may be created later, as may a job's of a sweep that is well on its way.
    resume : str, optional
        The id of an earlier run to go on with, instead of a new one.

    Attributes
    ----------
    id : str or None
        None as long as the run could not be created.

    Raises
    ------
    UserError
        If the run can't be created now, and not later either.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        params: Mapping[str, object],
        command: str,
        tags: Mapping[str, str],
        *,
        folder: Path,
        later: bool = False,
        resume: str | None = None,
    ) -> None:
        self.store, self.folder = store, folder
        self._resume = resume
        self._stored: dict[str, int] = {}
        self._curves: set[tuple[str, int, float]] = set()
        self._known: set[str] = set()
        self.id: str | None = None
        self._later, self._tried = later, False
        self._new: list[Any] = []
        self._artifacts: Any = None
        tags = {**run_tags(command), **tags}
        create = {"start_time": milliseconds(), "tags": tags, "run_name": name[:250]}
        head = {"run": None, "uri": redact(store.uri), "experiment_id": store.experiment_id, **process_tags()}
        self._outbox = Outbox(folder, {**head, "create": create})
        self._began = self._sent = time.monotonic()
        if not later:
            try:
                self._create()
            except Exception as error:
                raise store_error(error, store.uri) from None
        elif pauses.over(store.uri):
            self._try(self._create)
        # They go with the first metrics: a call costs more than what it carries. Those that are there can't change.
        new = {key: str(value)[:6000] for key, value in params.items() if key not in self._known}
        self._params_wait = bool(new)
        if new:
            self._outbox.put(params=new)

    def _check(self) -> None:
        uri = self.store.uri
        check_now(uri, failed_before=pauses.known(uri), just_worked=pauses.just_worked(uri))

    def _create(self) -> None:
        self._check()
        again, self._tried = self._tried, True
        if self._resume is not None:
            run = reopened(self.store.client, self._resume, self._outbox.head["create"]["tags"])
            self._stored, self._curves = stored_points(self.store.client, run)
            self._known = set(run.data.params)
            # What waits there is in the checkpoint, or will come again; its end is none any more.
            self._outbox.forget()
        else:
            run = create_run(self.store.client, self._outbox.head, again=again)
        self._outbox.head["run"] = self.id = run.info.run_id
        self._artifacts = artifact_repository(run, self.store.uri)

    def keep(self, points: Iterable[Point]) -> None:
        """Take in metric values, to be sent with the next batch."""
        now, stored, curves = milliseconds(), self._stored, self._curves
        new = [
            point
            for point in points
            if point.step > stored.get(point.name, -1) and (point.name, point.step, point.value) not in curves
        ]
        self._new += [(point.name, float(point.value), now, int(point.step)) for point in new]

    def log(self, points: Iterable[Point]) -> None:
        """Take in metric values; they are sent in batches. To be called without any, too, so that this is in time."""
        if points:
            self.keep(points)
        if self._new or self._params_wait:
            now = time.monotonic()
            soon = self._params_wait and now - self._began > SOON
            if soon or len(self._new) >= BATCH or now - self._sent > PATIENCE:
                self.flush()

    def flush(self, tags: Mapping[str, str] | None = None) -> None:
        """Send what waits, and some tags with it; what can't be sent now goes on waiting, in the outbox."""
        self._pack(tags)
        self._send()

    def _pack(self, tags: Mapping[str, str] | None = None) -> None:
        for start in range(0, len(self._new), BATCH):
            self._outbox.put(metrics=self._new[start : start + BATCH])
        self._new = []
        if tags:
            self._outbox.put(tags={key: value[:5000] for key, value in tags.items()})

    def _send(self, last: bool = False) -> None:
        self._sent = time.monotonic()
        self._params_wait = False
        if self._outbox.entries and (last or pauses.over(self.store.uri, self._name)) and self._try(self._deliver):
            self._outbox.clear()
        elif self._outbox.entries:
            self._outbox.save()

    @property
    def _name(self) -> str:
        """What `pauses` knows this run by."""
        return self.id or str(id(self))

    def _deliver(self) -> None:
        if self.id is None:
            self._create()
        self._check()
        assert self.id is not None
        self._outbox.deliver(self.store.client, self.id, self._artifacts)

    def _try(self, call: Any) -> bool:
        """Whether the call went well; if not, that is told the first time."""
        began = time.monotonic()
        try:
            call()
        except Exception as error:
            mine = hasattr(error, "error_code") and not of_store(error)
            name = self._name if mine else self.store.uri
            pauses.failed(name, time.monotonic() - began)
            self._outbox.save()
            if name not in pauses.told:
                pauses.told.add(name)
                self._tell(error, "this run's record" if mine else "the record")
            return False
        pauses.works(self.store.uri)
        pauses.works(self._name)
        return True

    def _tell(self, error: Exception, what: str) -> None:
        try:
            check_now(self.store.uri, failed_before=True)
        except UserError as plain:  # if that is the reason, it is told shorter than by MLflow
            error = plain
        reason = reason_of(error, self.store.uri)
        print(
            f"rnnexp: the tracking store {redact(self.store.uri)} does not take {what}: {reason}; training goes on\n"
            f"it is tried again at times and at the end; what waits then is delivered by: {self.remedy()}",
            file=sys.stderr,
            flush=True,
        )

    def remedy(self) -> str:
        """The command that delivers what this run, or another job of its sweep, could not."""
        folder = self.folder.resolve()
        if self._later:
            folder = folder.parent
        here = Path.cwd()
        usual = folder.is_relative_to(here) and folder.relative_to(here).parts[:1] in (("outputs",), ("multirun",))
        return "python -m rnnexp.tracking sync" + ("" if usual else f" {shlex.quote(str(folder))}")

    @property
    def undelivered(self) -> bool:
        """Whether something waits that was not delivered."""
        return bool(self._outbox.entries or self._new)

    def artifact(self, path: Path) -> None:
        """Keep a file with the run; it is sent at its end."""
        inside = path.is_relative_to(self.folder)
        self._outbox.put(artifact=str(path.relative_to(self.folder) if inside else path.resolve()))

    def discard(self) -> None:
        """Delete it: another one takes its place."""
        self._new = []
        self._outbox.forget()
        if self.id is not None:
            self._try(lambda: self.store.client.delete_run(self.id))

    def end(self, status: str, tags: Mapping[str, str]) -> str:
        """Send what waits, and end the run as FINISHED, FAILED or KILLED.

        Returns
        -------
        str
            Why what the store did not take can't be written to the run folder either; empty if nothing is lost.
        """
        self._pack(tags)
        self._outbox.put(end=[status, milliseconds()])
        self._send(last=not self._later or not pauses.known(self.store.uri))
        return self._outbox.save() if self._outbox.entries else ""


def of_store(error: Exception) -> bool:
    """Whether an error of MLflow's means the whole store, and not one run in it."""
    return getattr(error, "error_code", THIS_RUN_ONLY[0]) not in THIS_RUN_ONLY


def milliseconds() -> int:
    """The time, as MLflow counts it."""
    return int(time.time() * 1000)


def reason_of(error: Exception, uri: str) -> str:
    """An error in one short line, without a password."""
    text = error.problem if isinstance(error, UserError) else redact_text(str(error), uri)
    line = (text.splitlines() or [""])[0].strip() or type(error).__name__
    return line if len(line) <= 300 else f"{line[:297]}..."


def create_run(client: Any, head: Mapping[str, Any], *, again: bool) -> Any:
    """The run that an outbox's head describes: made, unless an earlier try was answered too late and did it.

    Parameters
    ----------
    client : mlflow.MlflowClient
    head : mapping
    again : bool
        There may have been an earlier try.
    """
    create = head["create"]
    if again:
        same = f"attributes.start_time = {int(create['start_time'])} and tags.pid = '{int(head['pid'])}'"
        for run in client.search_runs([head["experiment_id"]], filter_string=same):
            if all(run.data.tags.get(key) == value for key, value in create["tags"].items()):
                return run
    return client.create_run(head["experiment_id"], **create)


def reopened(client: Any, run_id: str, tags: Mapping[str, str]) -> Any:
    """An earlier run, RUNNING again."""
    from mlflow.entities import RunTag

    run = client.get_run(run_id)
    for name in ("error", "diverged"):
        if name in run.data.tags:
            client.delete_tag(run_id, name)
    mine = ("host", "pid", "process_start", "rnnexp.folder", "rnnexp.config_hash")
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items() if name in mine])
    client.update_run(run_id, status="RUNNING")
    return run


def stored_points(client: Any, run: Any) -> tuple[dict[str, int], set[tuple[str, int, float]]]:
    """The last step of each metric that a run has already, and the points of its last curves by lag.

    Those may become others; each other value comes again as it was.
    """
    steps: dict[str, int] = {}
    curves: set[tuple[str, int, float]] = set()
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        if is_last_curve(name):
            newest = {point.step: point.value for point in sorted(history, key=lambda point: point.timestamp)}
            curves |= {(name, step, value) for step, value in newest.items()}
        else:
            steps[name] = max(point.step for point in history)
    return steps, curves


def artifact_repository(run: Any, uri: str) -> Any:
    """Where the run's files go, as the client would find it with a call for each."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)

"""One run in MLflow: created, uploaded from its run log in batches, and always ended with a true status.

A store that fails does not disturb training: what it did not accept is in the run log, and is tried again.
"""

import contextlib
import getpass
import math
import shlex
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError, one_line
from rnnexp.process import say
from rnnexp.records import LACKING
from rnnexp.redaction import reason_of, redact
from rnnexp.tracking import run_log
from rnnexp.tracking.addresses import database_file, is_sqlite
from rnnexp.tracking.dead_runs import end_dead_runs, process_tags
from rnnexp.tracking.environment import environment_tags
from rnnexp.tracking.keys import LONGEST_PARAM, LONGEST_TAG, mlflow_key, mlflow_text
from rnnexp.tracking.run_log import RunLog, milliseconds
from rnnexp.tracking.same_file import Replaced, check_same, fate
from rnnexp.tracking.store import Store, check_now, store_error
from rnnexp.tracking.upload import ArtifactError, open_run, upload_entries

#: Seconds between two tries to reach a store that failed: growing from one to the other.
SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
#: Seconds for which a store that worked is trusted without trying it first.
TRUST = 0.5
#: Errors of MLflow that mean this run and not the whole store.
THIS_RUN_ONLY = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")


def run_tags(command: str) -> dict[str, str]:
    """Who started what, where, and in which environment."""
    return {
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
        **process_tags(),
        **environment_tags(),
    }


def user() -> str:
    """The name of the person, as MLflow shows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class Pause:
    """When to try again what failed: after pauses that grow."""

    def __init__(self) -> None:
        self._end = self._length = 0.0
        self._worked = -math.inf
        self.reported = False

    @property
    def over(self) -> bool:
        """Whether it may be tried."""
        return time.monotonic() >= self._end

    @property
    def failing(self) -> bool:
        """Whether it failed the last time."""
        return self._end > 0.0

    @property
    def just_worked(self) -> bool:
        """Whether it worked a moment ago."""
        return time.monotonic() - self._worked < TRUST

    def failed(self, took: float) -> None:
        """Begin a pause: longer than the last one, and much longer than a try takes."""
        self._length = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * self._length, 4 * took))
        self._end, self._worked = time.monotonic() + self._length, -math.inf

    def works(self) -> None:
        """No pause is needed any more."""
        self._end, self._length, self._worked = 0.0, 0.0, time.monotonic()


#: Of each store, shared by the runs of this process.
pauses: defaultdict[str, Pause] = defaultdict(Pause)


class MLflowRun(RunLog):
    """A run log that is uploaded to MLflow while it is written.

    Parameters
    ----------
    store : Store
        One that is not open yet is opened, and the run created, some seconds after the start or at the end.
    name : str
        Shown in the UI.
    params : mapping
        Flat, plain values; those that are among the tags, with `LACKING` before their names, are left out.
    command : str
        What was typed.
    tags : mapping
        Further tags.
    folder : Path
        The run folder.
    later : bool
        If the store fails, the run may be created later, as may a job's of a sweep that is well on its way.
    resumed : bool
        Continue the log in the folder, and the MLflow run if there is one.

    Raises
    ------
    UserError
        If the run can't be created now, and not later either; nothing was written then.
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
        resumed: bool = False,
    ) -> None:
        super().__init__(folder, resumed=resumed)
        self.store = store
        self._later, self._tried = later, resumed
        self._artifact_repository: Any = None
        self._pause = Pause()
        self._database = database_file(store.uri) if is_sqlite(store.uri) else None
        number = store.experiment_id if store.is_open else None
        where = {"uri": redact(store.uri), "experiment": store.experiment, "experiment_id": number}
        told = {
            mlflow_key(name): mlflow_text(value, LONGEST_TAG) for name, value in {**run_tags(command), **tags}.items()
        }
        create = {"start_time": milliseconds(), "run_name": mlflow_text(one_line(name), 250), "tags": told}
        self.put(begin={**where, **create})
        if later:  # a process that is killed while MLflow creates the run leaves a log that will find it
            self.write()
        began = time.monotonic()
        if not later and store.is_open:
            try:
                self._send()
            except Exception as error:
                raise store_error(error, store.uri) from None
        elif store.is_open and pauses[store.uri].over:
            self._try()
        self._took = time.monotonic() - began
        # They go with the first metrics: a call costs more than what it carries. Those that are there can't change.
        tags = self.creator["tags"]
        kept = {name: value for name, value in params.items() if mlflow_key(LACKING + name) not in tags}
        named = {mlflow_key(name): mlflow_text(value, LONGEST_PARAM) for name, value in kept.items()}
        if new := {name: value for name, value in named.items() if name not in self.params}:
            self.put(params=new)
        if not store.is_open:
            self.write()  # a process that is killed before it is open leaves the run log

    def train_with(self, runs: int) -> None:
        """Training begins, of so many runs at a time: while one of them sends, all wait."""
        super().train_with(runs)
        if not self.store.is_open:  # training first, for some seconds
            self._rested = time.monotonic() + run_log.PATIENCE

    def flush(self) -> None:
        """Write and send what waits; the time that MLflow's import takes is no measure of what sending does."""
        opened = self.store.is_open
        super().flush()
        if not opened:
            self._took = 0.0
            self._rest()

    def _send(self) -> None:
        pause = pauses[self.store.uri]
        check_now(self.store.uri, failed_before=pause.failing, just_worked=pause.just_worked)
        if self._database is not None:
            check_same(self._database)
        if self._artifact_repository is None:
            again, self._tried = self._tried, True
            end_dead_runs(self.store)
            new = self.id is None
            self._artifact_repository = open_run(self, self.store, again=again)[1]
            if new:  # a process that is killed from here on leaves a log that knows its run
                self._acknowledge(complete=False)
                self.write()
        upload_entries(self, self.store.client, self._artifact_repository)
        if self._database is not None:  # in between, too
            check_same(self._database)

    def upload(self, *, last: bool = False) -> None:
        """Send what MLflow has not accepted, unless it failed a short time ago; `last` if it is not tried again."""
        store = pauses[self.store.uri]
        over = store.over and self._pause.over
        if self.pending and (over or (last and not (self._later and store.failing))):
            self._try()

    def _try(self) -> None:
        """Send; a failure is reported the first time."""
        began = time.monotonic()
        try:
            self._send()
        except Exception as error:
            if isinstance(error, Replaced):
                self.rewind()
            mine = isinstance(error, ArtifactError) or (hasattr(error, "error_code") and not of_store(error))
            pause = self._pause if mine else pauses[self.store.uri]
            pause.failed(time.monotonic() - began)
            if not pause.reported:
                pause.reported = True
                self._report(error, "this run's data" if mine else "data")
        else:
            pauses[self.store.uri].works()
            self._pause.works()

    def _report(self, error: Exception, what: str) -> None:
        try:
            check_now(self.store.uri, failed_before=True)
        except UserError as plain:  # if that is the reason, it is shorter than MLflow's
            error = plain
        say(
            f"rnnexp: MLflow is not accepting {what} ({reason_of(error, self.store.uri)}); "
            "training continues and the rest is uploaded later",
            f"what is still missing at the end is uploaded by: {self.sync_command()}",
            error=True,
        )

    def sync_command(self) -> str:
        """The command that uploads what this run, or another job of its sweep, could not."""
        folder = self.folder.resolve()
        if self._later:
            folder = folder.parent
        here = Path.cwd()
        usual = folder.is_relative_to(here) and folder.relative_to(here).parts[:1] in (("outputs",), ("multirun",))
        return "python -m rnnexp.tracking sync" + ("" if usual else f" {shlex.quote(str(folder))}")

    @property
    def undelivered(self) -> bool:
        """Whether MLflow lacks something."""
        return bool(self.pending or self._points)

    def lost(self) -> UserError | None:
        """What to do where the database that should have the record is not there any more; None if it is."""
        if self._database is None or not self.undelivered or not (problem := fate(self._database)):
            return None
        again = "" if self._database.is_file() else "put it back, or record another run, which makes a new one; then "
        hint = f"the record is whole in {self.folder}; {again}{self.sync_command()} uploads it"
        return UserError(f"{problem}: it does not have this record", hint)

    def discard(self) -> None:
        """Delete it, in MLflow too."""
        super().discard()
        if self.id is not None:
            with contextlib.suppress(Exception):
                self.store.client.delete_run(self.id)


def of_store(error: Exception) -> bool:
    """Whether an error of MLflow's means the whole store, and not one run in it."""
    return getattr(error, "error_code", THIS_RUN_ONLY[0]) not in THIS_RUN_ONLY

"""Uploads what MLflow lacks of recorded runs: their store failed while they were running, or they were killed."""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError
from rnnexp.process import say
from rnnexp.redaction import reason_of, redact
from rnnexp.tracking.claims import StillRunning, claimed, is_ours
from rnnexp.tracking.dead_runs import DIED_SILENTLY, is_gone
from rnnexp.tracking.mlflow_run import of_store
from rnnexp.tracking.run_log import RUN_LOG, RunLog, is_complete
from rnnexp.tracking.store import Store, existing_store, open_store
from rnnexp.tracking.upload import open_run, upload_entries

#: Where runs and sweeps leave their folders.
USUAL = ("outputs", "multirun")
#: What earlier versions left for a run that was not uploaded.
OUTBOX_FILE = "outbox.jsonl"


def sync_folders(folders: Sequence[str], uri: str | None) -> int:
    """Upload the rest of every run log in some folders and below, and print what became of each.

    Parameters
    ----------
    folders : sequence of str
        The usual ones under the current folder if empty.
    uri : str or None
        The store, if it is not the one that was noted in a log (where no password is).

    Returns
    -------
    int
        The exit code: 0 if MLflow lacks nothing but of runs that are still running.

    Raises
    ------
    UserError
        If a folder is not there.
    """
    for name in folders:
        if not Path(name).exists():
            raise UserError(f"there is no folder {name}")
    code, found = 0, False
    stores: dict[str, Store | Exception] = {}
    for path in incomplete([Path(name) for name in folders or USUAL]):
        done = sync_one(path, stores, uri)
        found, code = found or done is not None, max(code, done or 0)
    if not found:
        say(f"nothing to upload in {', '.join(folders or USUAL)}")
    return code


def incomplete(folders: Sequence[Path]) -> Iterator[Path]:
    """The run logs in some folders and below whose rest is to be uploaded, and what earlier versions left."""
    seen = set()
    for folder in folders:
        # A sweep comes before its jobs.
        for path in (
            sorted(folder.rglob("*.jsonl"), key=lambda path: (len(path.parts), path)) if folder.is_dir() else [folder]
        ):
            waits = path.name == OUTBOX_FILE or (path.name == RUN_LOG and not is_complete(path))
            if waits and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def take_back(folder: Path) -> None:
    """Let what was uploaded of the run logs in a folder and below be uploaded again: that database is lost."""
    for path in folder.rglob(RUN_LOG):
        with contextlib.suppress(UserError):
            log = RunLog(path.parent, resumed=True)
            log.rewind()
            log.write()


def upload_ended(folder: Path, store: Store) -> None:
    """Upload the rest of ended runs in a folder and below, as far as that can be done now; nothing is printed."""
    for path in incomplete([folder]):
        try:
            with claimed(path.parent):
                log = RunLog(path.parent, resumed=True)
                if log.ended and log.begin["uri"] == redact(store.uri) and not is_complete(path):
                    upload_rest(log, store)
        except Exception:  # a sync by hand will report it
            continue


def sync_one(path: Path, stores: dict[str, Store | Exception], uri: str | None) -> int | None:
    """Upload the rest of one run log, and print what became of it; 1 if that failed, None for one without MLflow.

    One that another process has, on whatever machine, is left to it: it records the run, or uploads it, too.
    """
    running = is_ours(path.parent)
    try:
        with claimed(path.parent):
            return _sync_claimed(path, stores, uri, running)
    except StillRunning as other:
        say(f"{path.parent}: left to another process: {other.problem}")
        return 0
    except UserError as error:  # the folder can't be written
        say(f"rnnexp: {path.parent}: not uploaded: {error.problem}", error=True)
        return 1


def _sync_claimed(path: Path, stores: dict[str, Store | Exception], uri: str | None, running: bool) -> int | None:
    folder, where = path.parent, ""
    try:
        if path.name == OUTBOX_FILE:
            hint = f"upload it with that version, or delete {path}"
            raise UserError(f"{OUTBOX_FILE} was written by an earlier version of rnnexp", hint)
        log = RunLog(folder, resumed=True)
        if log.begin["uri"] is None:
            return None
        # Nobody has the folder, but a copy of one may be of a run that still goes on.
        running = running or (log.begin["tags"].get("host") == socket.gethostname() and not is_gone(log.begin["tags"]))
        if running and not log.ended:
            say(f"{folder}: still running; it uploads its data itself")
            return 0
        if is_complete(path):  # another process has just uploaded it
            return 0
        where = uri or address(log.begin["uri"])
        say(f"{folder}: {upload_rest(log, _opened(where, stores))}")
    except Exception as error:
        if where and of_store(error):
            stores[where] = error  # the other logs need not wait for it as well
        hints = [error.hint] if isinstance(error, UserError) and error.hint else []
        say(f"rnnexp: {folder}: not uploaded: {reason_of(error, where)}", *hints, error=True)
        return 1
    return 0


def _opened(where: str, stores: dict[str, Store | Exception]) -> Store:
    if where not in stores:
        try:
            stores[where] = existing_store(where)
        except UserError as error:
            stores[where] = error
    store = stores[where]
    if isinstance(store, Exception):
        raise store
    return store


def address(noted: str) -> str:
    """The store that a log names, with the password that MLFLOW_TRACKING_URI has for it.

    Raises
    ------
    UserError
        If a password is needed.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if redact(given) == noted:
        return given
    if "***" in noted:
        filled = noted.replace("://***@", "://user:***@").replace("***", "password")
        raise UserError(f"a password is needed for {noted}", f"give it: --uri {filled}")
    return noted


def _open_there(log: RunLog, store: Store) -> tuple[Any, Any, Store]:
    """The run of a log, its files, and the store: in a database that does not know it, begun again with all of it."""
    name = log.creator.get("experiment")
    if log.id is not None and name is not None:
        try:
            store.client.get_run(log.id)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise
            log.rewind()
            log.id = None
    if log.id is None and name is not None:
        store = open_store(store.uri, name)
        tags = log.creator["tags"]
        if "mlflow.parentRunId" in tags:
            # The sweep's own run may have been begun again as well.
            wanted = f"tags.`rnnexp.kind` = 'sweep' and tags.`rnnexp.sweep` = '{tags['rnnexp.sweep']}'"
            for parent in store.client.search_runs([store.experiment_id], wanted, max_results=1):
                tags = {**tags, "mlflow.parentRunId": parent.info.run_id}
        log.creator = {**log.creator, "experiment_id": store.experiment_id, "tags": tags}
    return (*open_run(log, store, again=True), store)


def upload_rest(log: RunLog, store: Store) -> str:
    """Upload the rest of a log whose process has ended, and end its run; what was done, in a line.

    Raises
    ------
    UserError
        If the run was deleted.
    ArtifactError
        If files could not be stored, or the log names some outside of its folder.
    MlflowException
        If the store fails.
    """
    path = log.folder / RUN_LOG
    written = int(path.stat().st_mtime * 1000)
    run, artifact_repository, store = _open_there(log, store)
    if run.info.lifecycle_stage == "deleted":
        hint = f"restore it: MLFLOW_TRACKING_URI={redact(store.uri)} mlflow runs restore --run-id {log.id}"
        raise UserError(f"run {log.id} was deleted", f"{hint}; or delete {path}")
    error = run.data.tags.get("error")
    counts = {
        "point": sum(len(entry.get("metrics", ())) for entry in log.pending),
        "param": sum(len(entry.get("params", ())) for entry in log.pending),
        "file": sum(len(entry.get("artifacts", ())) for entry in log.pending),
    }
    if not log.ended:  # its process was killed; it ended no later than its last entry
        status = "KILLED" if run.info.status == "RUNNING" else run.info.status
        if status != "FINISHED":
            log.put(tags={"error": error or DIED_SILENTLY})
        log.put(end=[status, run.info.end_time or written])
    elif error == DIED_SILENTLY and log.ended[0] != "KILLED":  # another process had taken it for dead
        store.client.delete_tag(log.id, "error")
    try:
        upload_entries(log, store.client, artifact_repository)
    finally:
        log.write()
    what = ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count) or "its end"
    return f"uploaded {what} to run {log.id}, {log.ended and log.ended[0]}"

"""Delivers what waits in outboxes: the records of runs whose tracking store failed while they were going on."""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError
from rnnexp.redaction import redact
from rnnexp.tracking.dead_runs import WITHOUT_A_WORD, is_gone
from rnnexp.tracking.mlflow_run import artifact_repository, create_run, of_store, reason_of
from rnnexp.tracking.outbox import OUTBOX_FILE, Outbox, contents, inside
from rnnexp.tracking.store import Store, existing_store

#: Where runs and sweeps leave their folders.
USUAL = ("outputs", "multirun")


def sync_folders(folders: Sequence[str], uri: str | None) -> int:
    """Deliver every outbox in some folders and below, and print what became of each.

    Parameters
    ----------
    folders : sequence of str
        The usual ones under the current folder if empty.
    uri : str or None
        The store, if it is not the one that was noted in an outbox (where no password is).

    Returns
    -------
    int
        The exit code: 0 if nothing waits any more but for runs that are still going on.

    Raises
    ------
    UserError
        If a folder is not there.
    """
    for name in folders:
        if not Path(name).exists():
            raise UserError(f"there is no folder {name}")
    found = list(outboxes([Path(name) for name in folders or USUAL]))
    if not found:
        print(f"nothing waits in {', '.join(folders or USUAL)}")
    stores: dict[str, Store | Exception] = {}
    return max((_told(path, stores, uri) for path in found), default=0)


def outboxes(folders: Sequence[Path]) -> Iterator[Path]:
    """All outboxes in some folders and below."""
    seen = set()
    for folder in folders:
        for path in [folder] if folder.name == OUTBOX_FILE else sorted(folder.rglob(OUTBOX_FILE)):
            if path.is_file() and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def deliver_all(folders: Sequence[Path], store: Store) -> None:
    """Deliver what ended runs left behind in some folders, as far as that can be done now; nothing is told."""
    for path in outboxes(folders):
        try:
            outbox = Outbox.load(path)
            if outbox.end is not None and outbox.head["uri"] == redact(store.uri):
                deliver(outbox, store)
                path.unlink()
        except Exception:  # it is still there for a sync by hand
            continue


def _told(path: Path, stores: dict[str, Store | Exception], uri: str | None) -> int:
    where = ""
    try:
        outbox = Outbox.load(path)
        if outbox.end is None and not is_gone(outbox.head):
            return _left(path, outbox)
        where = uri or address(outbox)
        print(f"{path.parent}: {deliver(outbox, _opened(where, stores))}", flush=True)
        path.unlink()
    except Exception as error:
        if where and of_store(error):
            stores[where] = error  # the other outboxes need not wait for it as well
        print(f"rnnexp: {path.parent}: not delivered: {reason_of(error, where)}", file=sys.stderr)
        if isinstance(error, UserError) and error.hint:
            print(error.hint, file=sys.stderr)
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


def _left(path: Path, outbox: Outbox) -> int:
    """An outbox that somebody else still fills."""
    if outbox.head.get("host") == socket.gethostname():
        print(f"{path.parent}: the run is still going on, and delivers it itself", flush=True)
        return 0
    host = outbox.head.get("host")
    print(
        f"rnnexp: {path.parent}: not delivered: the run may still be going on at {host}; sync it there", file=sys.stderr
    )
    return 1


def address(outbox: Outbox) -> str:
    """The store of an outbox, with the password that MLFLOW_TRACKING_URI has for it.

    Raises
    ------
    UserError
        If a password is needed.
    """
    noted = str(outbox.head["uri"])
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if redact(given) == noted:
        return given
    if "***" in noted:
        raise UserError(f"a password is needed for {noted}", f"give it: --uri {noted.replace('***', 'user:password')}")
    return noted


def deliver(outbox: Outbox, store: Store) -> str:
    """Deliver all of an outbox, and end its run; what was done, in a line.

    Raises
    ------
    UserError
        If the run was deleted.
    ValueError
        If the outbox names files outside of its folder.
    MlflowException
        If the store fails.
    """
    if outside := [
        e["artifact"] for e in outbox.entries if "artifact" in e and not inside(outbox.folder, e["artifact"])
    ]:
        raise ValueError(f"it names a file outside of its folder: {outside[0]}")
    run = _run(outbox, store)
    run_id, status = run.info.run_id, run.info.status
    if run.info.lifecycle_stage == "deleted":
        raise UserError(
            f"run {run_id} was deleted",
            f"restore it: MLFLOW_TRACKING_URI={redact(store.uri)} mlflow runs restore --run-id {run_id}; "
            f"or delete {outbox.folder / OUTBOX_FILE}",
        )
    held = contents(outbox)
    doubted = run.data.tags.get("error") == WITHOUT_A_WORD and not any(
        "error" in e.get("tags", ()) for e in outbox.entries
    )
    if outbox.end is None and status == "RUNNING":
        # Its process was killed before it could say how it ended: not later than it last wrote.
        last = int((outbox.folder / OUTBOX_FILE).stat().st_mtime * 1000)
        outbox.put(tags={"error": WITHOUT_A_WORD})
        outbox.put(end=["KILLED", last])
    status = outbox.end[0] if outbox.end else status
    outbox.deliver(store.client, run_id, artifact_repository(run, store.uri))
    if status != "KILLED" and doubted:
        store.client.delete_tag(run_id, "error")  # somebody drew the wrong conclusion from its silence
    what = (
        ", ".join(f"{count} {name if count > 1 else name.removesuffix('s')}" for name, count in held.items() if count)
        or "its end"
    )
    return f"delivered {what} to run {run_id}, {status}"


def _run(outbox: Outbox, store: Store) -> Any:
    if outbox.head.get("run"):
        return store.client.get_run(outbox.head["run"])
    return create_run(store.client, outbox.head, again=True)

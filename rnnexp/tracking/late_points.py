"""Metrics that a run gets after its end, in its run log and in MLflow."""

from collections.abc import Sequence
from pathlib import Path

from rnnexp.checks import UserError
from rnnexp.history import Point
from rnnexp.json_lines import read_lines
from rnnexp.redaction import reason_of
from rnnexp.tracking.addresses import tracking_uri
from rnnexp.tracking.claims import claimed
from rnnexp.tracking.keys import mlflow_key
from rnnexp.tracking.run_log import BATCH, RUN_LOG, RunLog, milliseconds
from rnnexp.tracking.store import existing_store
from rnnexp.tracking.sync import address, upload_rest


def check_recordable(folder: Path | None) -> None:
    """Refuse what is not the folder of a run that has ended; a `UserError`."""
    if folder is None:
        raise UserError("a checkpoint without its run folder has no record to write into", "give the run folder")
    if not (folder / RUN_LOG).is_file():
        problem = f"the run in {folder} has no run log ({RUN_LOG}): an earlier version recorded it, or it was deleted"
        raise UserError(problem, "leave --record out")
    if not RunLog(folder, resumed=True).ended:
        hint = "wait for its end; if its process was killed: python -m rnnexp.tracking sync"
        raise UserError(f"the run in {folder} has not ended", hint)


def record_late(folder: Path, points: Sequence[Point], uri: str | None = None) -> str:
    """Record finite points in a run that has ended; what is there already is left out. What was done, in a line.

    Raises
    ------
    UserError
        If the log can't be read or written, or has another value for one of them.
    """
    check_recordable(folder)
    with claimed(folder):
        return _record_claimed(folder, points, uri)


def _record_claimed(folder: Path, points: Sequence[Point], uri: str | None) -> str:
    log = RunLog(folder, resumed=True)
    there = {(name, step): value for line in read_lines(log.path) for name, value, _, step in line.get("metrics", ())}
    new = []
    for name, value, step in ((mlflow_key(point.name), point.value, point.step) for point in points):
        before = there.get((name, step))
        if before is not None and before != value:
            problem = f"the run has {name} at {step} already: {before:.6g}, not {value:.6g}"
            raise UserError(problem, "leave --record out: what is recorded once stays, and --json has the new numbers")
        if before is None and value - value == 0:  # finite
            new.append([name, value, milliseconds(), step])
    for start in range(0, len(new), BATCH):
        log.put(metrics=new[start : start + BATCH])
    if problem := log.write():
        raise UserError(f"the run log {log.path} can't be written: {problem}", "free some space, and try again")
    if not log.pending or log.begin["uri"] is None:
        return f"recorded {len(new)} points in {log.path}"
    try:
        return upload_rest(log, existing_store(tracking_uri(uri, Path.cwd()) if uri else address(log.begin["uri"])))
    except Exception as error:
        hint = f"python -m rnnexp.tracking sync {folder} uploads them"
        raise UserError(f"they are in {log.path}, and not in MLflow: {reason_of(error, uri or '')}", hint) from None

"""From a run log to MLflow: as it is written, by the process that writes it, or later by another one.

What MLflow refuses for good is found in its batch, set aside (it stays in the run log) and reported; the rest is sent.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnexp.process import say
from rnnexp.redaction import reason_of
from rnnexp.tracking.datasets import log_dataset
from rnnexp.tracking.keys import LONGEST_TAG
from rnnexp.tracking.restarts import SCHEDULER_TAG
from rnnexp.tracking.run_log import BATCH, Entry, RunLog
from rnnexp.tracking.store import Store

#: MLflow's codes for what it never takes, however often it is sent.
FOR_GOOD = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")
#: The system's, for files that a folder never takes.
NEVER = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ, errno.ELOOP)
#: Refused names that are printed.
MOST_NAMED = 5
#: The tag that names what was refused.
REFUSED = "refused"
Item = tuple[str, Any]


class ArtifactError(Exception):
    """Files of a run that could not be stored now; everything else was sent."""


def open_run(log: RunLog, store: Store, *, again: bool) -> tuple[Any, Any]:
    """The MLflow run of a log, created if need be, and the repository of its files.

    With `again`, there may have been an earlier try to create it, which was answered too late.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if log.id is not None:
        run = store.client.get_run(log.id)
    else:
        number = log.creator["experiment_id"] or store.experiment_id  # which was not known before the store was open
        run = create_run(store.client, {**log.creator, "experiment_id": number}, again=again)
    log.id = run.info.run_id
    # As the client would find it with a call for each file.
    return run, get_artifact_repository(run.info.artifact_uri, tracking_uri=store.uri)


def create_run(client: Any, begin: Mapping[str, Any], *, again: bool) -> Any:
    """The run that a log's `begin` describes: created, unless an earlier try did it."""
    create = {name: begin[name] for name in ("start_time", "tags", "run_name")}
    if again:
        same = f"attributes.start_time = {int(create['start_time'])} and tags.pid = '{int(create['tags']['pid'])}'"
        for run in client.search_runs([begin["experiment_id"]], filter_string=same):
            if all(run.data.tags.get(key) == value for key, value in create["tags"].items()):
                return run
    return client.create_run(begin["experiment_id"], **create)


def reopen(client: Any, run_id: str, tags: Mapping[str, str]) -> None:
    """Let a run be RUNNING again, in another process."""
    from mlflow.entities import RunTag

    there = client.get_run(run_id).data.tags
    for name in ("error", "diverged", "stopped"):
        if name in there:
            client.delete_tag(run_id, name)
    mine = (
        "host",
        "pid",
        "process_start",
        "rnnexp.folder",
        "rnnexp.config_hash",
        "rnnexp.settings_hash",
        SCHEDULER_TAG,
    )
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items() if name in mine])
    client.update_run(run_id, status="RUNNING")


def upload_entries(log: RunLog, client: Any, artifact_repository: Any) -> None:
    """Send the pending entries of a log in order; what was accepted is noted in it, whatever is raised.

    Files that can't be stored now keep back nothing of what comes after them, such as the run's end.

    Raises
    ------
    ArtifactError
        If files could not be stored, or are not in the folder: anybody may have written the log.
    MlflowException
        If MLflow fails.
    """
    accepted, failed = 0, ""
    try:
        for entries in calls(log.pending):
            first = entries[0]
            refused: dict[str, str] = {}
            if "begin" in first:
                if first["begin"]["uri"] is not None and log.accepted + accepted:  # not the first process
                    reopen(client, str(log.id), first["begin"]["tags"])
            elif "artifacts" in first:
                failed = failed or _send_files(log.folder, first["artifacts"], artifact_repository, refused)
            elif "inputs" in first:
                _send_datasets(client, str(log.id), first["inputs"], refused)
            elif "end" in first:
                client.set_terminated(log.id, *first["end"])
            else:
                _send(client, str(log.id), list(items(entries)), refused)
            if new := {what: why for what, why in refused.items() if what not in log.refused}:
                _report(log, client, new)
            accepted += 0 if failed else len(entries)
    finally:
        if accepted:
            log.accept(accepted)
    if failed:
        raise ArtifactError(failed)


def items(entries: Iterable[Entry]) -> Iterator[Item]:
    """Each point, parameter and tag of some entries, with its kind; of those that are given twice the last."""
    for kind in ("metrics", "params", "tags"):
        if kind == "metrics":
            yield from ((kind, point) for entry in entries for point in entry.get(kind, ()))
        else:
            merged = {name: value for entry in entries for name, value in entry.get(kind, {}).items()}
            yield from ((kind, pair) for pair in merged.items())


def _send(client: Any, run_id: str, given: Sequence[Item], refused: dict[str, str], checked: bool = False) -> None:
    """Send items in one call; if some of them are refused for good, those alone are left out and named in `refused`."""
    from mlflow.entities import Metric, Param, RunTag

    try:
        client.log_batch(
            run_id,
            metrics=[Metric(*value) for kind, value in given if kind == "metrics"],
            params=[Param(*value) for kind, value in given if kind == "params"],
            tags=[RunTag(*value) for kind, value in given if kind == "tags"],
        )
    except Exception as error:
        # Of a deleted run everything is refused, until it is restored.
        if not for_good(error) or not (checked or client.get_run(run_id).info.lifecycle_stage == "active"):
            raise
        if len(given) == 1:
            kind, value = given[0]
            refused[f"{kind.removesuffix('s')} {value[0]}"] = reason_of(error)
            return
        for half in (given[: len(given) // 2], given[len(given) // 2 :]):
            _send(client, run_id, half, refused, checked=True)


def _send_datasets(client: Any, run_id: str, given: Sequence[Entry], refused: dict[str, str]) -> None:
    for each in given:
        try:
            log_dataset(client, run_id, each)
        except Exception as error:
            if not for_good(error) or client.get_run(run_id).info.lifecycle_stage != "active":
                raise
            refused[f"dataset {each['name']}"] = reason_of(error)


def _send_files(folder: Path, names: Sequence[str], repository: Any, refused: dict[str, str]) -> str:
    """Store each file; why one could not be stored now, if any, in a line."""
    failed = ""
    for path in (folder / name for name in names):
        if not path.resolve().is_relative_to(folder.resolve()):
            failed = failed or f"the log names a file outside of its folder: {path}"
        elif path.is_file():  # what somebody deleted in the meantime can't be waited for
            try:
                below = path.relative_to(folder).parent.as_posix()
                repository.log_artifact(str(path), *([] if below == "." else [below]))
            except Exception as error:
                if for_good(error):
                    refused[f"file {path.name}"] = reason_of(error)
                else:
                    failed = failed or f"{path.name} can't be stored: {reason_of(error)}"
    return failed


def for_good(error: Exception) -> bool:
    """Whether what was refused would be refused again."""
    return getattr(error, "error_code", None) in FOR_GOOD or (isinstance(error, OSError) and error.errno in NEVER)


def _report(log: RunLog, client: Any, new: Mapping[str, str]) -> None:
    """Name in the run and in a line what is new among the refused."""
    names, why = [*log.refused, *new], next(iter(new.values()))
    client.set_tag(log.id, REFUSED, "\n".join([*names, why])[:LONGEST_TAG])
    log.refused = names
    shown = ", ".join(list(new)[:MOST_NAMED]) + (f" and {len(new) - MOST_NAMED} more" if len(new) > MOST_NAMED else "")
    say(f"rnnexp: MLflow refuses for good, and {log.path} keeps: {shown} ({why})", error=True)


def calls(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries in order, those together that one call can carry."""
    batch: list[Entry] = []
    count = 0
    for entry in entries:
        single, points = not entry.keys() & {"metrics", "params", "tags"}, len(entry.get("metrics", ()))
        if batch and (single or count + points > BATCH):
            yield batch
            batch, count = [], 0
        if single:
            yield [entry]
        else:
            batch.append(entry)
            count += points
    if batch:
        yield batch

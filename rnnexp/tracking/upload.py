"""From a run log to MLflow: as it is written, by the process that writes it, or later by another one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rnnexp.tracking.run_log import BATCH, Entry, RunLog
from rnnexp.tracking.store import Store


def open_run(log: RunLog, store: Store, *, again: bool) -> tuple[Any, Any]:
    """The MLflow run of a log, created if need be, and the repository of its files.

    With `again`, there may have been an earlier try to create it, which was answered too late.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run = store.client.get_run(log.id) if log.id is not None else create_run(store.client, log.creator, again=again)
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
    for name in ("error", "diverged"):
        if name in there:
            client.delete_tag(run_id, name)
    mine = ("host", "pid", "process_start", "rnnexp.folder", "rnnexp.config_hash")
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items() if name in mine])
    client.update_run(run_id, status="RUNNING")


def upload_entries(log: RunLog, client: Any, artifact_repository: Any) -> None:
    """Send the pending entries of a log in order; what was accepted is noted in it, whatever is raised.

    Raises
    ------
    ValueError
        If a file is not in the folder: anybody may have written the log.
    MlflowException
        If MLflow fails.
    """
    from mlflow.entities import Metric, Param, RunTag

    accepted = 0
    try:
        for entries in calls(log.pending):
            first = entries[0]
            if "begin" in first:
                if first["begin"]["uri"] is not None and log.accepted + accepted:  # not the first process
                    reopen(client, str(log.id), first["begin"]["tags"])
            elif "artifacts" in first:
                for path in (log.folder / name for name in first["artifacts"]):
                    if not path.resolve().is_relative_to(log.folder.resolve()):
                        raise ValueError(f"the log names a file outside of its folder: {path}")
                    if path.is_file():  # what somebody deleted in the meantime can't be waited for
                        artifact_repository.log_artifact(str(path))
            elif "end" in first:
                client.set_terminated(log.id, *first["end"])
            else:
                params, tags = (
                    {key: value for entry in entries for key, value in entry.get(kind, {}).items()}
                    for kind in ("params", "tags")
                )
                client.log_batch(
                    log.id,
                    metrics=[Metric(*point) for entry in entries for point in entry.get("metrics", ())],
                    params=[Param(key, value) for key, value in params.items()],
                    tags=[RunTag(key, value) for key, value in tags.items()],
                )
            accepted += len(entries)
    finally:
        if accepted:
            log.accept(accepted)


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

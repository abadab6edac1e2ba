"""Opening a run's record: in the store that its settings name, unless an earlier run has finished the same."""

import colorsys
import contextlib
import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from rnnexp import process
from rnnexp.checks import UserError
from rnnexp.experiment import Experiment
from rnnexp.own_code import differences
from rnnexp.records import ASKED, LACKING, RESULTS, JobRecord
from rnnexp.run_info import RunInfo
from rnnexp.tracking.addresses import is_sqlite, tracking_uri
from rnnexp.tracking.claims import clear_record
from rnnexp.tracking.dead_runs import process_tags
from rnnexp.tracking.environment import git_tags
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.recorder import Recorder, reason
from rnnexp.tracking.restarts import SCHEDULER_TAG, scheduler_job
from rnnexp.tracking.run_log import RunLog
from rnnexp.tracking.searching import all_params, last_finished, points_of
from rnnexp.tracking.store import Store, checked_store, open_store, store_error
from rnnexp.training import Run


def open_recorder(info: RunInfo, experiment: Experiment, training: Run) -> Recorder:
    """A recorder into the store that the settings name; if that can't be used, a `UserError`, and nothing is left.

    A record that this one replaces is cleared once the store is open, or was checked to be opened later.
    """
    if info.settings["tracking"]["backend"] == "mlflow":
        log: RunLog = open_mlflow_run(info)
    else:
        if info.replaces:
            clear_record(info.folder)
        log = RunLog(info.folder, resumed=info.resumed is not None)
        log.put(begin={"uri": None, "tags": {**process_tags(), **info.own_tags, **identity(info)}})
    process.begin_collection()
    return Recorder(experiment, training, info, log)


@contextlib.contextmanager
def failure_recorded(info: RunInfo) -> Iterator[None]:
    """Leave a FAILED run of a sweep's job that can't even be built; a store that fails is told by the others."""
    try:
        yield
    except Exception as error:
        recorded = info.job is not None and info.settings["tracking"]["backend"] == "mlflow"
        if recorded and not process.is_interruption(process.root_cause(error)):
            with contextlib.suppress(Exception):
                open_mlflow_run(info).end("FAILED", {"error": reason(error, info)})
        raise


def open_mlflow_run(info: RunInfo) -> MLflowRun:
    """The run in MLflow, begun or taken up again; a `UserError` if the store can't be used."""
    store, params = store_of(info), info.params()
    command = " ".join(["python -m rnnexp", *info.overrides])
    tags = git_tags(info.started_in)
    tags |= {**info.own_tags, "rnnexp.kind": "run", **identity(info), "rnnexp.folder": str(info.folder.resolve())}
    if info.sweep is not None and info.job is not None:
        tags |= {"rnnexp.sweep": info.sweep.id, "rnnexp.job": str(info.job.number)}
        tags["mlflow.runColor"] = colour(info.job.number)
        if info.sweep.parent:
            tags["mlflow.parentRunId"] = info.sweep.parent
        tags |= {f"{LACKING}{key}": str(params[key]) for key in info.sweep.lacking if key in params}
    if info.asked:
        tags[ASKED] = info.asked
    if info.replaces:
        clear_record(info.folder)
    # The store of a sweep worked when the sweep began: a job does not fail because it works no longer.
    later, resumed = info.sweep is not None, info.resumed is not None
    run = MLflowRun(store, info.title, params, command, tags, folder=info.folder, later=later, resumed=resumed)
    if info.sweep is not None and info.job is not None:
        info.job.run = run.id
        info.job.save(info.sweep.folder)  # if this process is killed, somebody else has to end the run
    return run


def identity(info: RunInfo) -> dict[str, str]:
    """Tags that tell whether another run is the same: by settings, data and code, and as a job of a batch system."""
    tags = {
        "rnnexp.config_hash": info.config_hash,
        "rnnexp.settings_hash": info.settings_hash,
        "rnnexp.data": info.data,
        "rnnexp.code": info.code.tag if info.code.parts else "",
        SCHEDULER_TAG: scheduler_job(),
    }
    return {name: value for name, value in tags.items() if value}


def colour(number: int) -> str:
    """A colour for a job in the UI's charts, unlike its neighbours' (MLflow's own may be the same for two runs)."""
    shares = colorsys.hls_to_rgb(0.58 + number * 0.618034, (0.42, 0.52, 0.3)[number % 3], 0.75)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)


def store_of(info: RunInfo) -> Store:
    """The store that the settings name: of a new run by itself it may be opened later."""
    where = (tracking_uri(info.uri, info.started_in), str(info.settings["tracking"]["experiment"]))
    if info.sweep is not None:
        return _kept_store(*where)
    return checked_store(*where) if info.resumed is None else open_store(*where)


@cache
def _kept_store(uri: str, experiment: str) -> Store:
    """A store that all jobs of a sweep in this process share; a server that fails is opened later: it worked before."""
    try:
        return open_store(uri, experiment)
    except UserError:
        if is_sqlite(uri):
            raise
        return Store(None, uri, "", experiment)


def finished_before(info: RunInfo) -> float | None:
    """The final evaluation loss of a FINISHED run of the same configuration in this experiment; None without one.

    What it was is noted in the sweep's record of the job, and told; so is why a run with the same settings is not it.
    """
    store, label = store_of(info), info.name if info.job is None else info.job.label
    if info.code.unreadable:
        unread = ", ".join(info.code.unreadable)
        process.say(f"{label}: is run: there is no source of {unread} to compare with that of earlier runs")
        return None
    try:
        run = last_finished(store, "rnnexp.config_hash", info.config_hash)
        if run is None and (info.data or info.code.parts):
            other = last_finished(store, "rnnexp.settings_hash", info.settings_hash)
            if other is not None:
                process.say(f"{label}: is run again: {_what_changed(info, other)} since {other.info.run_id}")
    except Exception as error:
        if info.sweep is None:
            raise store_error(error, store.uri) from None
        return None  # a store that fails in the middle of a sweep stops no job
    if run is None:
        return None
    process.say(f"{label}: skipped, this configuration is already FINISHED as {run.info.run_id}")
    if info.job is not None:
        info.job.status, info.job.run = "SKIPPED", run.info.run_id
        info.job.values, info.job.config = info.job_values(), info.config_hash
        _take_results(info.job, run, store)
    return float(run.data.metrics.get("final/eval/loss", math.nan))


def finish_record(job: JobRecord, store: Store) -> None:
    """Let a job's record say FINISHED if MLflow does: its process was ended between the two."""
    run = store.client.get_run(str(job.run))
    if run.info.status == "FINISHED":
        job.status, job.reason = "FINISHED", ""
        job.config = run.data.tags.get("rnnexp.config_hash", "")
        job.values = {key: _plain(value) for key, value in all_params(run).items()}
        job.values[ASKED] = run.data.tags.get(ASKED, "")
        _take_results(job, run, store)


def _plain(text: str) -> Any:
    """A parameter as it was before MLflow made it a text."""
    with contextlib.suppress(ValueError):
        return json.loads({"True": "true", "False": "false"}.get(text, text))
    return text


def _take_results(job: JobRecord, run: Any, store: Store) -> None:
    job.metrics = {name: value for name, value in run.data.metrics.items() if name.startswith(RESULTS)}
    job.curve = points_of(store, run.info.run_id, "gradient_by_lag/last")


def _what_changed(info: RunInfo, run: Any) -> str:
    """In what a recorded run of the same settings differs."""
    changed = differences(run.data.tags.get("rnnexp.code", ""), info.code.tag)
    if run.data.tags.get("rnnexp.data", "") != info.data:
        changed.append("the data")
    return f"{', '.join(changed)} changed"

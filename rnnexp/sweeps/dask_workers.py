"""Stacks on the workers of a dask scheduler, which may be on other machines: checked before, told what is theirs.

A worker gets plain data: each job's place in its sweep and its resolved configuration; it opens MLflow itself. What a
worker that died was running, the scheduler gives to another one, which continues from the checkpoints.
"""

import asyncio
import logging
import os
import platform
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, KilledWorker, Security
from distributed.comm import connect

from rnnexp import process
from rnnexp.checks import InvalidValue, UserError
from rnnexp.records import SWEEP_FILE, UNUSABLE_LOSS, continued_by, load_job
from rnnexp.run_info import RunInfo
from rnnexp.sweeps.jobs import RunningJob
from rnnexp.sweeps.stacked_jobs import run_stacked
from rnnexp.tracking.addresses import tracking_uri
from rnnexp.tracking.restarts import RESTARTED
from rnnexp.version import __version__

#: Seconds that a scheduler has to answer.
PATIENCE = 10
EXAMPLE = "for example tcp://127.0.0.1:8786, which the command dask scheduler prints"
ELSEWHERE = "hydra.launcher.backend=loky runs the stacks on this machine"
#: A worker may have several threads, but a run has signals, a working folder and an environment of its own.
_one_at_a_time = threading.Lock()


@contextmanager
def connected(address: Any) -> Iterator[Client]:
    """Within, a client of the scheduler at an address; `UserError` if nobody answers there."""
    if not isinstance(address, str) or not address.strip():
        raise InvalidValue("hydra.launcher.address", address, "the address of a dask scheduler", EXAMPLE)
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is told in two lines
    try:
        asyncio.run(_shake_hands(address))
        client = Client(address, timeout=PATIENCE, set_as_default=True)
    except Exception as error:  # what another server answers fails in its own ways, as for want of memory
        problem = f"no dask scheduler answers at hydra.launcher.address={address}"
        told = str(error).splitlines() if isinstance(error, OSError | ValueError | TypeError) else []
        why = told[0] if told else "something else does, or nothing in time"
        raise UserError(f"{problem}: {why}", f"start one: dask scheduler; {ELSEWHERE}") from None
    try:
        yield client
    finally:
        client.close(timeout=PATIENCE)


async def _shake_hands(address: str) -> None:
    """Connect once, within a time: a client of dask's waits for ever for a server that says nothing."""
    security = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=PATIENCE, **security), PATIENCE + 1)
    await comm.close()


def check(address: Any) -> None:
    """Refuse a scheduler without workers, or with workers that would not compute the same; nothing was made then."""
    with connected(address) as client:
        check_workers(client)


def check_workers(client: Client, sweep: Path | None = None) -> int:
    """How many stacks the workers train at a time, once they were found to be fit.

    Raises
    ------
    UserError
        If there is none, or one of them has other versions, multiplies on several threads, or lacks the folder of the
        `sweep`.
    """
    address = client.scheduler.address
    workers = client.run(facts, None if sweep is None else str(sweep), on_error="return")
    if not workers:
        raise UserError(
            f"the dask scheduler {address} has no worker", f"start some: dask worker {address} --nthreads 1"
        )
    own = facts(None if sweep is None else str(sweep))
    for worker, found in workers.items():
        if isinstance(found, BaseException):
            problem = f"the dask worker {worker} cannot run rnnexp: {type(found).__name__}: {found}"
            raise UserError(problem, "install there what is installed here, and start it again")
        for name, here in own.items():
            if found[name] != here:
                raise UserError(f"the dask worker {worker} has {name} {found[name]}, here it is {here}", REMEDIES[name])
    return len(workers)


REMEDIES = {
    "rnnexp": "install the same version there, and start it again",
    "Python": "start it with the Python that runs this command",
    "NumPy": "install the same version there: others may round differently",
    "threads": "start it with OPENBLAS_NUM_THREADS=1 in its environment, as dask worker does with its nanny",
    "the sweep's folder": "give a hydra.sweep.dir on a file system that all machines share",
}


def facts(sweep: str | None) -> dict[str, str]:
    """What must be the same in the command and in its workers."""
    return {
        "rnnexp": __version__,
        "Python": platform.python_version().rpartition(".")[0],
        "NumPy": np.__version__,
        "threads": os.environ.get("OPENBLAS_NUM_THREADS", "as many as cores"),
        "the sweep's folder": "" if sweep is None or Path(sweep, SWEEP_FILE).is_file() else f"no {sweep}",
    }


def run_there(jobs: list[tuple[RunningJob, RunInfo]], max_copies: int | None) -> list[float]:
    """Run jobs in this worker; they continue what a worker that died has begun."""
    with _one_at_a_time:
        if (there := str(jobs[0][1].started_in)) not in sys.path:
            sys.path.insert(0, there)  # for classes of the user's own
        again = any(load_job(running.folder, running.number) for running, _ in jobs)
        os.environ[RESTARTED] = "1" if again else ""
        try:
            return run_stacked(jobs, max_copies)
        finally:
            os.environ[RESTARTED] = ""


def run_on_workers(
    client: Client, work: list[list[tuple[RunningJob, RunInfo]]], max_copies: int | None
) -> list[list[float]]:
    """Run groups of jobs on the scheduler's workers; the losses of each group.

    Not by joblib's back end for dask, which runs everything in this process if the scheduler has one worker.

    Raises
    ------
    UserError
        If the scheduler is lost.
    """
    sent = [[(running, replace(info, uri=where_recorded(info))) for running, info in unit] for unit in work]
    futures = client.map(run_there, sent, max_copies=max_copies, pure=False)
    losses: list[list[float]] = []
    try:
        for future, unit in zip(futures, work, strict=True):
            try:
                losses.append(future.result())
            except KilledWorker:
                losses.append([UNUSABLE_LOSS] * len(unit))
                for running, _ in unit:
                    record_killed(running)
    except CancelledError:
        process.raise_pending()
        hint = f"to go on: {continued_by(work[0][0][0].folder)}"
        raise UserError(f"the dask scheduler {client.scheduler.address} was lost", hint) from None
    except BaseException:
        client.cancel(futures, force=True)
        raise
    return losses


def record_killed(running: RunningJob) -> None:
    """Record that a job's worker died as often as the scheduler lets it."""
    record = load_job(running.folder, running.number)
    if record is not None and record.status == "RUNNING":
        record.status, record.reason = "KILLED", "every dask worker that ran it died"
        record.save(running.folder)


def where_recorded(info: RunInfo) -> str | None:
    """The address of the tracking store, as it is on every machine: without this one's environment."""
    return tracking_uri(info.uri, info.started_in) if info.settings["tracking"]["backend"] == "mlflow" else info.uri

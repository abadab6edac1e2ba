"""Jobs in worker processes, of which one may be killed: for lack of memory, or by hand.

joblib then gives up every job of its pool. Those that had not begun are launched again together, and those that were
running one by one, so that one that is killed each time takes no other with it.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import wraps
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.utils import get_class
from omegaconf import DictConfig

from rnnexp import process
from rnnexp.records import STOP_FILE, UNUSABLE_LOSS, JobRecord, load_jobs, load_sweep
from rnnexp.tracking.restarts import RESTARTED

#: Hydra's launcher whose workers belong to one pool.
POOLED = "hydra_plugins.hydra_joblib_launcher."
LOSS = "final/eval/loss"
#: Seconds that the workers of a pool that is given up have to be gone.
PATIENCE = 10.0


def launch_again_what_is_lost(config: DictConfig) -> None:
    """Let a multirun's launcher outlive killed workers, if its jobs are in a pool of them."""
    target = str(config.hydra.launcher.get("_target_"))
    if not target.startswith(POOLED):
        return
    launcher: Any = get_class(target)
    if hasattr(launcher.launch, "__wrapped__"):
        return
    whole = launcher.launch

    @wraps(whole)
    def launch(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        folder = Path(self.config.hydra.sweep.dir).resolve()
        returns: dict[int, JobReturn] = {}

        def launch_some(numbers: Sequence[int]) -> None:
            for _, stretch in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):  # without gaps
                some = [number for _, number in stretch]
                overrides = [job_overrides[number - initial_job_idx] for number in some]
                returns.update(zip(some, whole(self, overrides, some[0]), strict=True))

        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        despite_kills(launch_some, numbers, lambda number: [number], folder)
        losses = recorded_losses(folder)
        return [
            returns.get(number) or returned(overrides, losses.get(number, UNUSABLE_LOSS))
            for number, overrides in zip(numbers, job_overrides, strict=True)
        ]

    launcher.launch = launch


def despite_kills(
    launch: Callable[[Sequence[int]], None], units: Sequence[int], jobs: Callable[[int], Sequence[int]], folder: Path
) -> None:
    """Launch units of jobs in a pool, and again what was lost with a killed worker.

    Parameters
    ----------
    launch : callable
        Runs the units with these numbers.
    jobs : callable
        The numbers of a unit's jobs.
    folder : Path
        Of the sweep, where its jobs have their records.

    Raises
    ------
    BrokenProcessPool
        If no job could begin, the sweep was stopped, or starts no further job after a failure.
    """
    waiting, lost = list(units), []
    while waiting:
        try:
            launch(waiting)
            break
        except BrokenProcessPool as error:
            records = left_behind(folder, error)
            undone = [unit for unit in waiting if any(is_lost(records.get(job)) for job in jobs(unit))]
            begun = [unit for unit in undone if any(job in records for job in jobs(unit))]
            if not begun and len(undone) == len(waiting):
                raise
            lost += begun
            waiting = [unit for unit in undone if unit not in begun]
            running = sum(is_lost(records.get(job)) for unit in begun for job in jobs(unit))
            process.say(
                f"rnnexp: a worker process was killed, and its pool ended: {running} jobs that were running are run "
                "again, one by one, after the others",
                error=True,
            )
    if not lost:
        return
    end_workers()
    os.environ[RESTARTED] = "1"
    try:
        for unit in lost:
            try:
                launch([unit])
            except BrokenProcessPool as error:
                for record in left_behind(folder, error).values():
                    if record.number in jobs(unit) and is_lost(record):
                        record.status, record.reason = "KILLED", "its worker process was killed twice"
                        record.save(folder)
                        process.say(*record.line.split("\n"), error=True)
    finally:
        del os.environ[RESTARTED]
        end_workers()


def end_workers() -> None:
    """End the pool's idle workers, which have the environment of when they began and would be used again."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def left_behind(folder: Path, error: BrokenProcessPool) -> dict[int, JobRecord]:
    """The records of a sweep's jobs by number, once the workers of its pool are gone; `error` if it is to end."""
    sweep = load_sweep(folder)
    stopped = process.is_interruption(process.root_cause(error)) or process.interruption_pending()
    if stopped or sweep is None or sweep.fail_fast or (folder / STOP_FILE).exists():
        raise error
    until = time.monotonic() + PATIENCE
    while running_elsewhere(folder) and time.monotonic() < until:
        time.sleep(0.05)
    return {record.number: record for record in load_jobs(folder)}


def running_elsewhere(folder: Path) -> list[int]:
    """The other processes on this machine that run jobs of the sweep in a folder."""
    here = socket.gethostname()
    found = [record.pid for record in load_jobs(folder) if record.status == "RUNNING" and record.host == here]
    return [pid for pid in found if pid != os.getpid() and _exists(pid)]


def _exists(pid: int) -> bool:
    """Whether there is such a process that may be signalled, and is not only waiting to be forgotten."""
    from rnnexp.tracking.dead_runs import process_start

    with suppress(OSError):
        os.kill(pid, 0)
        return sys.platform != "linux" or bool(process_start(pid))
    return False


def is_lost(record: JobRecord | None) -> bool:
    """Whether a job has not ended, or not begun in this start of its sweep."""
    return record is None or record.status in ("RUNNING", "NOT RUN")


def recorded_losses(folder: Path) -> dict[int, float]:
    """The result of each job of a sweep for its sweeper, by its record."""
    return {
        record.number: record.metrics.get(LOSS, UNUSABLE_LOSS) if record.usable else UNUSABLE_LOSS
        for record in load_jobs(folder, brief=())
    }


def returned(overrides: Sequence[str], loss: float) -> JobReturn:
    """A job's result as Hydra's sweepers expect it."""
    return JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=loss)

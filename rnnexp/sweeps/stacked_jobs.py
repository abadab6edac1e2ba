"""Trains jobs of a sweep as one stacked network, as many as are worth it."""

from rnnexp import process
from rnnexp.build import build_experiment
from rnnexp.machine import files_at_a_time
from rnnexp.run import Job, run_jobs
from rnnexp.run_info import RunInfo
from rnnexp.sweeps.jobs import RunningJob
from rnnexp.training.stacked import bytes_per_copy

#: Bytes of weights and states that a stack may work on at a time: more would not stay in the processor's cache.
CACHE = 4 * 2**20
#: More networks in a stack than this gain nothing.
MOST_COPIES = 128


def run_stacked(jobs: list[tuple[RunningJob, RunInfo]], max_copies: int | None) -> list[float]:
    """Run jobs that differ only in what may differ in a stack, at most `max_copies` in each; their losses.

    A stack has no more jobs than files can be held open.
    """
    size = stack_size(jobs[0][1], max_copies) if len(jobs) > 1 else 1
    size = min(size, files_at_a_time())  # the lock of each job's folder is one
    losses: list[float] = []
    for start in range(0, len(jobs), size):
        part = jobs[start : start + size]
        losses += run_jobs([Job(lambda info=info: info, running) for running, info in part])  # type: ignore[misc]
    return losses


def stack_size(info: RunInfo, max_copies: int | None) -> int:
    """How many networks like that of a job are trained together; as many as fit the cache if `max_copies` is None."""
    if max_copies is not None:
        return max_copies
    try:
        with process.working_in(info.started_in):
            experiment = build_experiment(info.settings)
    except Exception:  # the job reports it
        return 1
    return max(1, min(MOST_COPIES, CACHE // bytes_per_copy(experiment.run())))

"""How many jobs of a sweep are trained as one stacked network."""

from rnnexp.build import build_experiment
from rnnexp.run import Job, run_jobs
from rnnexp.run_info import RunInfo
from rnnexp.sweeps.jobs import RunningJob
from rnnexp.training.stacked import bytes_per_copy

#: Bytes of weights and states that a stack may work on at a time: more would not stay in the processor's cache.
CACHE = 4 * 2**20
#: More networks in a stack than this gain nothing.
MOST_COPIES = 128


def run_stacked(jobs: list[tuple[RunningJob, RunInfo]], max_copies: int | None) -> list[float]:
    """Run jobs that differ in nothing but what can differ in a stack; their losses for a sweeper.

    Parameters
    ----------
    jobs : list of (RunningJob, RunInfo)
    max_copies : int or None
        Most of them in one stack; None for as many as fit the cache.
    """
    size = stack_size(jobs[0][1], max_copies) if len(jobs) > 1 else 1
    losses: list[float] = []
    for start in range(0, len(jobs), size):
        losses += run_jobs(
            [Job(lambda info=info: info, running) for running, info in jobs[start : start + size]]  # type: ignore[misc]
        )
    return losses


def stack_size(info: RunInfo, max_copies: int | None) -> int:
    """How many networks like that of a job are best trained together."""
    if max_copies is not None:
        return max_copies
    try:
        experiment = build_experiment(info.settings)
    except Exception:  # the job reports it
        return 1
    return max(1, min(MOST_COPIES, CACHE // bytes_per_copy(experiment.run())))

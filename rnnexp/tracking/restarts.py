"""Whether a batch system has started this job again: a requeue after a preemption, or a retry after a lost node."""

import os
from collections.abc import Mapping
from typing import NamedTuple

#: The job of the batch system that a run belongs to.
SCHEDULER_TAG = "rnnexp.scheduler_job"
#: Set by the person where the batch system says nothing itself.
RESTARTED = "RNNEXP_RESTARTED"
NO = ("", "0", "n", "no", "false")


class Scheduler(NamedTuple):
    """What a batch system tells its jobs: variables that name the job, and ones that differ at a further start.

    A `further` variable has at a further start another value than those given with it.
    """

    name: str
    job: tuple[str, ...]
    further: Mapping[str, tuple[str, ...]]


SCHEDULERS = (
    # A job of submitit's runs once unless it is requeued.
    Scheduler("submitit", ("SUBMITIT_LOCAL_JOB_ID", "SUBMITIT_LOCAL_GLOBALID"), {"SUBMITIT_EXECUTOR": NO}),
    Scheduler(
        "slurm",
        ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
        {"SLURM_RESTART_COUNT": NO, "SUBMITIT_EXECUTOR": NO},
    ),
    Scheduler("lsf", ("LSB_JOBID", "LSB_JOBINDEX"), {"LSB_RESTART": NO}),
    # It has no such variable, but a script is not typed twice.
    Scheduler("pbs", ("PBS_JOBID", "PBS_ARRAY_INDEX"), {"PBS_ENVIRONMENT": ("", "PBS_INTERACTIVE")}),
    Scheduler("sge", ("JOB_ID", "SGE_TASK_ID"), {"RESTARTED": NO}),
    Scheduler("aws", ("AWS_BATCH_JOB_ID",), {"AWS_BATCH_JOB_ATTEMPT": ("", "0", "1")}),
    Scheduler("google", ("BATCH_JOB_UID", "BATCH_TASK_INDEX"), {"BATCH_TASK_RETRY_ATTEMPT": NO}),
    Scheduler("torchrun", ("TORCHELASTIC_RUN_ID",), {"TORCHELASTIC_RESTART_COUNT": NO}),
)


def scheduler_job(environment: Mapping[str, str] = os.environ) -> str:
    """The job of a batch system that this process is a part of, such as ``slurm 4711``; empty if there is none."""
    for scheduler in SCHEDULERS:
        if environment.get(scheduler.job[0]):
            return " ".join([scheduler.name, *filter(None, map(environment.get, scheduler.job))])
    return ""


def started_again(recorded: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is a further start of the job that left a record.

    Parameters
    ----------
    recorded : str
        The `scheduler_job` of the record.
    """
    if environment.get(RESTARTED, "").lower() not in NO:
        return True
    if not recorded or recorded != scheduler_job(environment):
        return False
    (scheduler,) = (one for one in SCHEDULERS if one.name == recorded.partition(" ")[0])
    return any(environment.get(name, "").lower() not in map(str.lower, no) for name, no in scheduler.further.items())

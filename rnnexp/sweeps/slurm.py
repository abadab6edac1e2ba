"""Jobs that submitit submits, to Slurm: checked before, watched without accounting, accounted for when they are lost.

submitit asks `sacct`, which a cluster without an accounting database does not have, and takes a job without a result
for the end of the sweep. Here Slurm's controller is asked, and such a job costs the others nothing.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.utils import get_class
from omegaconf import DictConfig
from submitit import Job
from submitit.core.core import InfoWatcher
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.slurm.slurm import SlurmJob

from rnnexp import process
from rnnexp.checks import InvalidValue, UserError, integer, nearest
from rnnexp.records import UNUSABLE_LOSS, JobRecord, Sweep, load_job, load_sweep
from rnnexp.sweeps.workers import is_lost, returned

#: Seconds that a question to Slurm may take, and between two of them at most.
PATIENCE, PAUSE = 30, 15
#: Seconds that cancelled jobs have to close their records: those that Slurm gives them before it kills them.
GRACE = 35.0
PROGRAMS = ("sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol")
HERE = "hydra/launcher=submitit_local or stacked runs the jobs on this machine"
#: States of a job that has not ended, as Slurm writes them; PREEMPTED may mean either.
UNFINISHED = (
    *("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "STAGE_OUT", "SIGNALING"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT", "PREEMPTED", "UNKNOWN"),
)


def check(launcher: Any) -> None:
    """Refuse settings of `submitit_slurm` with which Slurm would not run a job; nothing has been submitted then."""
    minutes = integer("hydra.launcher.timeout_min", launcher.timeout_min, at_least=1)
    delay = integer("hydra.launcher.signal_delay_s", launcher.signal_delay_s, at_least=0)
    if delay >= 60 * minutes:
        allowed = f"less than the {60 * minutes} seconds of hydra.launcher.timeout_min={minutes}"
        hint = f"for example hydra.launcher.signal_delay_s={20 * minutes}"
        raise InvalidValue("hydra.launcher.signal_delay_s", delay, allowed, hint)
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        problem = f"hydra/launcher=submitit_slurm needs Slurm's {missing[0]}, which is not on the PATH"
        raise UserError(problem, f"start it on a login node of the cluster; {HERE}")
    known = list(dict.fromkeys(answer("sinfo", "--all", "--noheader", "--format=%R").splitlines()))
    for name in str(launcher.partition or "").split(","):
        if name and name not in known:
            hint = nearest(name, known) or "sinfo lists the partitions"
            raise InvalidValue("hydra.launcher.partition", name, f"one of {', '.join(known)}", hint)


def check_array(count: int, batch: int | None) -> None:
    """Refuse to submit more jobs at a time than Slurm takes in an array, before anything was submitted."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer("scontrol", "show", "config"), re.MULTILINE)
    if found is not None and min(count, batch or count) > (most := int(found[1])):
        hint = (
            f"hydra.sweeper.max_batch_size={most} submits so many at a time, each batch when the one before has ended"
        )
        allowed = f"at most {most} for {count} jobs, as is Slurm's MaxArraySize"
        raise InvalidValue("hydra.sweeper.max_batch_size", batch, allowed, hint)


def answer(*command: str) -> str:
    """What a program of Slurm's answers; `UserError` if it does not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise UserError(f"Slurm does not answer: nothing came from {command[0]} in {PATIENCE} seconds", HERE) from None
    if done.returncode:
        raise UserError(f"Slurm does not answer: {(done.stderr.splitlines() or [command[0]])[0]}", HERE)
    return done.stdout


def outlive_lost_jobs(config: DictConfig) -> None:
    """Let a multirun's launcher, one of submitit's, account for every job, also for one without a result."""
    launcher: Any = get_class(config.hydra.launcher._target_)
    if hasattr(launcher.launch, "__wrapped__"):
        return
    whole = launcher.launch

    @wraps(whole)
    def launch(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with results_of_lost_jobs(Path(self.config.hydra.sweep.dir).resolve()), watched_by(Watcher(delay_s=PAUSE)):
            try:
                return list(whole(self, job_overrides, initial_job_idx))
            except FailedJobError as error:
                why = (str(error).splitlines() or ["it gave no reason"])[-1]
                raise UserError(f"sbatch has not taken the jobs: {why}") from None

    launcher.launch = launch


@contextmanager
def results_of_lost_jobs(folder: Path) -> Iterator[None]:
    """Within, a job that ended without a result is recorded in the sweep's `folder`, and has an unusable loss."""
    job_class: Any = Job
    whole = job_class.results

    def results(job: Any) -> list[Any]:
        try:
            return list(whole(job))
        except UncompletedJobError:
            overrides, _, number, *_ = job.submission().args
            record_lost(folder, number, overrides, job)
            return [returned(overrides, UNUSABLE_LOSS)]

    job_class.results = results
    try:
        yield
    finally:
        job_class.results = whole


def record_lost(folder: Path, number: int, overrides: Sequence[str], job: Any) -> None:
    """Record what became of a job that left no result, unless it did so itself."""
    record = load_job(folder, number)
    if not is_lost(record):
        return
    if record is None:
        sweep = load_sweep(folder) or Sweep("", folder, [], [])
        record = JobRecord(number, sweep.name(overrides), list(overrides))
    record.status, record.reason = "KILLED", f"its job {job.job_id} ended as {job.state.lower()}"
    if job.paths.stderr.is_file():
        record.reason += f"; its output is in {job.paths.stderr}"
    else:
        record.reason += f" and wrote nothing: do the machines share the folder {folder}?"
    record.save(folder)


class Watcher(InfoWatcher):
    """Knows from `squeue` which jobs of Slurm's are there; one that is not there any more has ended."""

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """The state of a job, asked for now and then."""
        return self.get_info(job_id, mode=mode).get("State") or "UNKNOWN"

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether a job has ended."""
        return self.get_state(job_id, mode=mode) not in UNFINISHED

    def update(self) -> None:
        """Ask for the states of all jobs that have not ended."""
        asked = sorted(self._registered - self._finished)
        states = states_of(asked)
        self._last_status_check = time.time()
        if states is None:  # it does not answer
            return
        for job in asked:
            # Slurm forgets a job some minutes after its end.
            self._info_dict[job] = {"State": states.get(job, "ENDED")}
        self._finished |= {job for job in asked if self.is_done(job, mode="cache")}

    def cancel(self) -> None:
        """Cancel the jobs that have not ended, and wait until they have closed their records."""
        arrays = arrays_of(sorted(self._registered - self._finished))
        if not arrays:
            return
        process.say(f"rnnexp: Slurm's jobs are cancelled: {' '.join(arrays)}", error=True)
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["scancel", *arrays], capture_output=True, timeout=PATIENCE)
        end = time.monotonic() + GRACE
        while set((states_of(arrays) or {}).values()) & set(UNFINISHED) and time.monotonic() < end:
            time.sleep(0.5)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Within, submitit asks this watcher what became of jobs; an interruption that passes cancels them."""
    before, SlurmJob.watcher = SlurmJob.watcher, watcher  # type: ignore[assignment]
    try:
        yield
    except BaseException as error:
        if process.is_interruption(process.root_cause(error)):
            watcher.cancel()
        raise
    finally:
        SlurmJob.watcher = before


def arrays_of(jobs: Sequence[str]) -> list[str]:
    """The arrays that jobs are in; a job that is in none is its own."""
    return list(dict.fromkeys(job.partition("_")[0] for job in jobs))


def states_of(jobs: Sequence[str]) -> dict[str, str] | None:
    """The states of those jobs that Slurm still knows; None if it does not answer."""
    if not jobs:
        return {}
    command = [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        "--format=%i %T",
        f"--jobs={','.join(arrays_of(jobs))}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())

"""Running a job, however it was launched: build, train, record. Several jobs may be trained as one stacked network."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rnnexp import process
from rnnexp.build import build_experiment, tell_of_data
from rnnexp.entering import FolderTaken, enter_folder, started_again_as
from rnnexp.experiment import Experiment
from rnnexp.redaction import describe_error
from rnnexp.resume import check_unchanged_files
from rnnexp.run_info import RunInfo
from rnnexp.tracking.claims import release
from rnnexp.tracking.opening import failure_recorded, finished_before, open_recorder
from rnnexp.tracking.progress import Pulse
from rnnexp.tracking.recorder import Recorder
from rnnexp.training import Report, Run, train_together

Reports = Generator[tuple[int, Report | Exception], bool | None, None]


class Account:
    """Accounts for a job from before it is built until its record is closed; that of a run outside a sweep.

    A context manager; this one lets errors pass.

    Attributes
    ----------
    allowed : bool
        Whether the job may run, once the context was entered.
    loss : float
        The final evaluation loss, set by the job.
    """

    allowed, loss = True, math.nan

    @property
    def result(self) -> float:
        """What the launcher gets for the job."""
        return self.loss

    def __enter__(self) -> "Account":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool | None:
        return None

    def joined(self, info: RunInfo) -> RunInfo:
        """The job's information completed by what the account knows."""
        return info


class Job:
    """A job from before it is built until its record is closed.

    Parameters
    ----------
    info : callable
        Makes the `RunInfo`; an error that it raises is the job's.
    account : Account, optional
        Of the sweep that the job belongs to.
    experiment : Experiment, optional
        If it has been built already.
    """

    def __init__(
        self, info: Callable[[], RunInfo], account: Account | None = None, experiment: Experiment | None = None
    ) -> None:
        self.info, self.account, self.experiment = info, account or Account(), experiment
        self.recorder: Recorder | None = None
        self.folder: Path | None = None
        self.open = False

    def prepare(self) -> None:
        """Build the job, unless it may not run or an earlier run has finished it already."""
        self.account.__enter__()
        self.open = True
        try:
            if not self.account.allowed:
                self.close()
                return
            info, taken = self.account.joined(self.info()), None
            self.folder, asked = info.folder, info.resumed is not None
            process.hush(info.settings["quiet"])
            try:
                info = enter_folder(info)
            except FolderTaken as error:
                if not info.settings["skip_finished"]:
                    raise
                taken = error  # which does not matter to a run that has been made
            recorded = nullcontext() if taken or info.replaces or info.resumed else failure_recorded(info)
            with recorded, process.working_in(info.started_in):
                experiment = self.experiment or build_experiment(info.settings)
            hidden_size = experiment.network.recurrent.layers[0].hidden_size
            self.joined = info = info.of(experiment.task).sized(hidden_size)
            if told := started_again_as(info, asked):
                process.say(told)
            loss = info.complete
            if loss is None and info.settings["skip_finished"]:
                loss = finished_before(info)
            if loss is not None:
                self.account.loss = loss
                self.close()
                return
            if taken is not None:
                raise taken
            self.experiment, self.run = experiment, experiment.run()
            if info.resumed is not None:
                if not asked:
                    check_unchanged_files(info.resumed["run"], info)
                if "trainer" in info.resumed:
                    self.run.restore(info.resumed)
        except BaseException as error:
            self.close(error)

    def begin(self) -> None:
        """Begin the record."""
        assert self.experiment is not None
        try:
            if self.joined.job is None:
                tell_of_data(self.experiment.task)
            self.recorder = open_recorder(self.joined, self.experiment, self.run)
            self.recorder.__enter__()
        except BaseException as error:
            self.close(error)

    def close(self, error: BaseException | None = None) -> None:
        """End the record; an error is raised again unless the account takes it."""
        self.open = False
        try:
            self._close(error)
        finally:
            if self.folder is not None:
                release(self.folder)

    def _close(self, error: BaseException | None) -> None:
        try:
            if self.recorder is not None:
                recorder, self.recorder = self.recorder, None
                recorder.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
                if error is None:
                    recorder.raise_if_diverged()
                    self.account.loss = recorder.final_loss
            if error is not None:
                raise error
        except BaseException as fault:
            if not self.account.__exit__(type(fault), fault, fault.__traceback__):
                raise
        else:
            self.account.__exit__(None, None, None)


def run_jobs(jobs: Sequence[Job]) -> list[float]:
    """Run jobs, stacked as one network if there are several; the result of each for its launcher.

    Raises
    ------
    BaseException
        An interruption, or what an account does not take.
    """
    try:
        for job in jobs:
            job.prepare()
        # From before a record is there until after its end is written: no interruption may leave a run RUNNING.
        with process.postponed():
            for together in _at_the_same_step(jobs):
                for job in together:
                    job.begin()
                    process.raise_pending()
                if going := [job for job in together if job.open]:
                    _train(going)
    except BaseException as raised:
        error = process.root_cause(raised)
        open_jobs = [job for job in jobs if job.open]
        if len(jobs) > 1 and not process.is_interruption(error):
            _run_one_by_one(open_jobs, error)
        elif not open_jobs or not _close_all(open_jobs, error):
            if error is not raised:
                raise error from raised
            raise
    return [job.account.result for job in jobs]


def _at_the_same_step(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that can be trained together: all, unless they go on from different checkpoints."""
    together: dict[int, list[Job]] = {}
    for job in jobs:
        if job.open:
            together.setdefault(job.run.trainer.step, []).append(job)
    return list(together.values())


class _Pace:
    """When checkpoints are due, and when an interruption ends the training: after the next checkpoint."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.saving = self.stopping = False

    def due(self, step: int) -> bool:
        """Whether checkpoints are written after update `step`."""
        self.stop()  # every job has its checkpoint
        self.stopping = process.interruption_pending()
        self.saving = any(job.recorder is not None and job.recorder.saver.due(step) for job in self.jobs)
        return self.saving

    def stop(self) -> None:
        """Raise the interruption if one came before the last checkpoint."""
        if self.stopping:
            process.raise_pending()


def _reports_of_one(run: Run, pace: _Pace) -> Reports:
    for report in run.reports():
        pace.due(report.step)
        yield 0, report
        pace.stop()


def _train(going: Sequence[Job]) -> None:
    pace = _Pace(going)
    reports: Reports
    if len(going) == 1:
        reports = _reports_of_one(going[0].run, pace)
    else:
        reports = train_together([job.run for job in going], up_to_date=pace.due)
    for job in going:
        assert job.recorder is not None
        job.recorder.train_with(len(going))
    begun = going[0].run
    pulse = Pulse(_of_sweep(going), begun.trainer.step, begun.steps)
    ended: bool | None = None
    complete: list[Job] = []
    seconds, left = 0.0, len(going)
    waiting = left
    while True:
        began = time.monotonic()
        try:
            index, report = reports.send(ended)
        except StopIteration:
            break
        seconds += (time.monotonic() - began) / left  # each job's share of what training takes, not recording
        job = going[index]
        ended = _take(job, report, seconds, pace)
        if job.open and _ends(job, report):
            complete.append(job)
        waiting -= 1
        if not waiting and isinstance(report, Report):
            pulse.show(report.step)
        if not waiting:  # all of the update: what is in the folders is whole before closing a record takes its time
            for job in complete:
                job.close()
            complete = []
            waiting = left = sum(job.open for job in going)
    for job in going:
        if job.open:  # resumed after its last update
            job.close()


def _of_sweep(jobs: Sequence[Job]) -> str:
    """What is trained, if it belongs to a sweep."""
    records = [job.joined.job for job in jobs if job.joined.job is not None]
    if len(records) < 2:
        return records[0].label if records else ""
    return f"jobs {records[0].number} to {records[-1].number}, a stack of {len(records)}"


def _take(job: Job, report: Report | Exception, seconds: float, pace: _Pace) -> bool:
    """Record what training reports of a job; whether it ends because that failed."""
    if isinstance(report, Exception):
        job.close(report)
        return False
    assert job.recorder is not None
    try:
        job.recorder.record(report, seconds)
        if (pace.saving or report.stopped) and not report.diverged:
            job.recorder.save(report)
        if _ends(job, report):
            job.recorder.log.write()
    except Exception as error:  # of this job alone
        job.close(error)
        return True
    return False


def _ends(job: Job, report: Report | Exception) -> bool:
    """Whether a report is a job's last one."""
    return isinstance(report, Report) and bool(report.diverged or report.stopped or report.step >= job.run.steps)


def _run_one_by_one(jobs: Sequence[Job], error: BaseException) -> None:
    """Run the unfinished jobs again, each alone: an error of the stack is one job's, and it is unknown which."""
    process.say(f"stacked: {len(jobs)} jobs are run again one by one because one failed: {describe_error(error)}")
    for job in jobs:
        if job.recorder is not None:
            job.recorder.discard()
    for job in jobs:
        run_jobs([Job(job.info, job.account)])


def _close_all(jobs: Sequence[Job], error: BaseException) -> bool:
    """Close the records that are still open; whether all accounts took the error."""
    taken = True
    for job in jobs:
        try:
            job.close(error)
        except BaseException as fault:
            taken = False
            if fault is not error:
                process.say(f"rnnexp: {type(fault).__name__}: {fault}", error=True)
    return taken

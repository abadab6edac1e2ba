"""Jobs of a sweep trained as one network, each with its own record, as if it ran alone."""

import sys
from typing import Any

from rnnexp import process
from rnnexp.sweeps.jobs import RunningJob, describe_error, run_alone

#: Bytes of weights and states that a stack may work on at a time: more would not stay in the processor's cache.
CACHE = 4 * 2**20
#: More networks in a stack than this gain nothing.
MOST_COPIES = 128


def run_together(jobs: list[tuple[RunningJob, Any]], max_copies: int | None) -> list[float]:
    """Run jobs that differ in nothing but what can differ in a stack; their losses for a sweeper.

    Parameters
    ----------
    jobs : list of (RunningJob, RunInfo)
    max_copies : int or None
        Most of them in one stack; None for as many as fit the cache.
    """
    losses: list[float] = []
    size = stack_size(jobs[0][1], max_copies) if len(jobs) > 1 else 1
    for start in range(0, len(jobs), size):
        now = jobs[start : start + size]
        losses += [run_alone(now[0][0], lambda info=now[0][1]: info)] if len(now) == 1 else Group(now).run()  # type: ignore[misc]
    return losses


def stack_size(info: Any, max_copies: int | None) -> int:
    """How many networks like that of a job are best trained together."""
    from rnnexp.build import build_experiment
    from rnnexp.training.stacked import bytes_per_copy

    if max_copies is not None:
        return max_copies
    try:
        experiment = build_experiment(info.settings)
    except Exception:  # the job will tell
        return 1
    return max(1, min(MOST_COPIES, CACHE // bytes_per_copy(experiment.run())))


class Member:
    """One job of a group: its record is opened at the start and closed at its own end.

    Parameters
    ----------
    running : RunningJob
    info : RunInfo
    """

    def __init__(self, running: RunningJob, info: Any) -> None:
        self.running, self.info = running, info
        self.recorder: Any = None
        self.run: Any = None

    def open(self) -> bool:
        """Build it and begin its record; False if it ended with that."""
        from rnnexp.build import build_experiment
        from rnnexp.tracking.recorder import failure_recorded, finished_before, open_recorder

        self.running.__enter__()
        try:
            if not self.running.allowed:
                self.running.__exit__(None, None, None)
                return False
            info = self.running.joined(self.info)
            with failure_recorded(info):
                experiment = build_experiment(info.settings)
            info = info.of(experiment.task)
            if info.settings["skip_finished"] and (loss := finished_before(info)) is not None:
                self.running.loss = loss
                self.running.__exit__(None, None, None)
                return False
            self.recorder = open_recorder(info, experiment)
            self.recorder.__enter__()
            self.run = experiment.run()
            return True
        except BaseException as error:
            self.close(error)
            return False

    def close(self, error: BaseException | None = None) -> None:
        """End the record; an error that is no interruption ends here too."""
        try:
            if self.recorder is not None:
                recorder, self.recorder = self.recorder, None
                kind = None if error is None else type(error)
                recorder.__exit__(kind, error, None if error is None else error.__traceback__)
                if error is None:
                    recorder.raise_if_diverged()
                    self.running.loss = recorder.final_loss
            if error is not None:
                raise error
        except BaseException as fault:
            if not self.running.__exit__(type(fault), fault, fault.__traceback__):
                raise
        else:
            self.running.__exit__(None, None, None)

    def discard(self) -> None:
        """Take back what was recorded: the job begins anew."""
        recorder, self.recorder = self.recorder, None
        recorder.discard()


class Group:
    """Jobs that are trained together.

    Parameters
    ----------
    jobs : list of (RunningJob, RunInfo)
    """

    def __init__(self, jobs: list[tuple[RunningJob, Any]]) -> None:
        self.members = [Member(running, info) for running, info in jobs]

    def run(self) -> list[float]:
        """Train them all; the losses for a sweeper."""
        going: list[Member] = []
        try:
            with process.postponed():
                for member in self.members:
                    if member.open():
                        going.append(member)
                    process.check()
                if going:
                    self._train(going)
        except BaseException as raised:
            error = process.behind(raised)
            if not process.is_interruption(error):
                self._one_by_one(error)
            else:
                self._give_up(error)
                if error is not raised:
                    raise error from raised
                raise
        return [member.running.usable_loss for member in self.members]

    def _train(self, going: list[Member]) -> None:
        from rnnexp.training import train_together

        saving = stopping = False

        def due(step: int) -> bool:
            nonlocal saving, stopping
            if stopping:  # every member has its checkpoint
                process.check()
            stopping = process.waiting()
            saving = any(member.recorder is not None and member.recorder.saver.due(step) for member in going)
            return saving

        reports = train_together([member.run for member in going], up_to_date=due)
        ended: bool | None = None
        while True:
            try:
                index, report = reports.send(ended)
            except StopIteration:
                return
            member, ended = going[index], False
            if isinstance(report, Exception):
                member.close(report)
                continue
            try:
                member.recorder.record(report)
                if saving and not report.diverged:
                    member.recorder.save(member.run.trainer, report)
            except Exception as error:  # of this job alone
                member.close(error)
                ended = True
                continue
            if report.diverged or report.step >= member.run.steps:
                member.close()

    def _one_by_one(self, error: BaseException) -> None:
        """Run those that are still going alone: an error of the stack's is one job's, and nobody knows whose."""
        again = [member for member in self.members if member.recorder is not None]
        print(
            f"stacked: {len(again)} jobs anew and one by one, because one of them failed: {describe_error(error)}",
            flush=True,
        )
        for member in again:
            member.discard()
        for member in again:
            run_alone(member.running, lambda info=member.info: info)  # type: ignore[misc]

    def _give_up(self, error: BaseException) -> None:
        """Close the records that are still open."""
        for member in self.members:
            if member.recorder is None:
                continue
            try:
                member.close(error)
            except BaseException as fault:
                if fault is not error:
                    print(f"rnnexp: {type(fault).__name__}: {fault}", file=sys.stderr)

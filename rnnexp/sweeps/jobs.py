"""The outcome of each job of a sweep: a small file in the sweep's folder, whichever process or machine ran it."""

import math
import os
import signal
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnnexp import process
from rnnexp.checks import InvalidValue, UserError
from rnnexp.records import (
    JOB_FILE,
    JOBS_FOLDER,
    STOP_FILE,
    TRACEBACK_FILE,
    UNUSABLE_LOSS,
    Diverged,
    JobRecord,
    Sweep,
    load_job,
    load_sweep,
)
from rnnexp.redaction import describe_error, redact_setting, redact_text
from rnnexp.run import Account, Job, run_jobs
from rnnexp.run_info import RunInfo, make_run_info
from rnnexp.settings import check_root, typed_overrides, with_hydra


class RunningJob(Account):
    """One job of the sweep in `folder`: its outcome is always recorded, and a failure is reported at once.

    As a context manager it suppresses errors, not interruptions. It is not allowed to run, and recorded as NOT RUN, if
    the sweep was stopped before it.
    """

    def __init__(self, folder: Path, number: int, overrides: list[str]) -> None:
        self.folder, self.number = folder, number
        self.overrides = [redact_setting(text) for text in overrides]

    def __enter__(self) -> "RunningJob":
        self.sweep = load_sweep(self.folder) or Sweep("", self.folder, [], self.overrides)
        process.handle_signals()  # not yet done in a worker process, nor is the next
        process.outlive_readers()
        if (earlier := load_job(self.folder, self.number)) is not None and earlier.usable:
            # A batch system has started the sweep, or its worker, again after this job's end.
            self.allowed, self.record, self.output = False, earlier, self.folder / str(self.number)
            self.loss = earlier.metrics.get("final/eval/loss", math.nan)
            process.say(f"{earlier.label}: started again, and complete already")
            return self
        self.record = JobRecord(self.number, self.sweep.name(self.overrides), self.overrides)
        stop = self.folder / STOP_FILE
        if stop.exists():
            self.allowed = False
            self.record.status, self.record.reason = "NOT RUN", stop.read_text(encoding="utf-8")
        self.record.save(self.folder)
        self.output = self.folder / str(self.number)
        return self

    def joined(self, info: RunInfo) -> RunInfo:
        """The run's information with its sweep and job."""
        self.output = info.folder
        if info.folder != self.folder / str(self.number):
            self._claim(info.folder)
        return replace(info, sweep=self.sweep, job=self.record).recorded_in(self.sweep.experiment)

    def _claim(self, folder: Path) -> None:
        """Refuse a folder that is not this job's alone."""
        try:
            if folder in (self.folder, self.folder / JOBS_FOLDER):
                raise FileExistsError
            mine, path = f"{self.sweep.id} {self.number}\n", folder / JOB_FILE
            if path.exists() and not path.read_text(encoding="utf-8").startswith(f"{self.sweep.id} "):
                path.unlink()  # of another sweep: whether its job left a record is looked at next
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(mine)
            except FileExistsError:
                if path.read_text(encoding="utf-8") != mine:
                    raise
        except FileExistsError:
            hint = "put ${hydra.job.num} into it, or leave it as it is"
            raise InvalidValue("hydra.sweep.subdir", str(folder), "a folder of its own for each job", hint) from None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        job = self.record
        error = error and process.root_cause(error)
        stopped = process.is_interruption(error)
        if error is None:
            if job.status == "RUNNING":
                job.status = "FINISHED"
        elif not stopped:
            self.loss = math.nan
            job.status = "DIVERGED" if isinstance(error, Diverged) else "FAILED"
            job.reason = describe_error(error)
            process.say(*job.line.split("\n"), error=True)
        elif job.status == "RUNNING":  # not one interrupted while the record of its complete training was closed
            job.status, job.reason = "KILLED", f"stopped by {process.describe_interruption(error)}"
        try:
            self._write(None if stopped else error)
        except OSError as fault:  # a full disk ends a job's record, not the sweep
            process.say(f"rnnexp: {job.label}: its record can't be written: {fault.strerror or fault}", error=True)
        if stopped and self._alone_stopped(error):
            process.clear_interruption()
            return True
        return error is not None and not stopped

    def _alone_stopped(self, error: BaseException | None) -> bool:
        """Whether only this worker's job was ended, and the worker goes on.

        Not after Slurm's SIGTERM: the job ends without a result, since Slurm alone knows whether it starts it again.
        """
        if (self.folder / STOP_FILE).exists() or not self.sweep.elsewhere or not isinstance(error, SystemExit):
            return False
        signals = [*process.LIMITS, *([] if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" else [signal.SIGTERM])]
        return error.code in [128 + number for number in signals]

    def _write(self, error: BaseException | None) -> None:
        """Write the record, the file that stops the sweep, and the traceback of an error in the code."""
        job = self.record
        job.save(self.folder)
        if error is None:
            return
        if self.sweep.fail_fast:
            reason = f"fail_fast=true, and {job.label} {job.status}"
            (self.folder / STOP_FILE).write_text(reason, encoding="utf-8")
        if not isinstance(error, UserError):
            self.output.mkdir(parents=True, exist_ok=True)
            text = redact_text("".join(traceback.format_exception(error)))
            (self.output / TRACEBACK_FILE).write_text(text, encoding="utf-8")

    @property
    def result(self) -> float:
        """The loss for a sweeper; `UNUSABLE_LOSS` if there is none."""
        return self.loss if math.isfinite(self.loss) else UNUSABLE_LOSS


def run_job(config: Any, hydra_config: Any) -> float:
    """One job as Hydra's launchers run it: composed by Hydra, in this or another process."""
    overrides = typed_overrides(hydra_config)
    folder, cwd = Path(hydra_config.runtime.output_dir), Path(hydra_config.runtime.cwd)
    # From where the command was started: with hydra.job.chdir=true the job is somewhere else.
    running = RunningJob((cwd / hydra_config.sweep.dir).resolve(), int(hydra_config.job.num), overrides)
    choices = hydra_config.runtime.choices

    def info() -> RunInfo:
        return make_run_info(check_root(with_hydra(config, hydra_config)), choices, overrides, folder, cwd)

    (loss,) = run_jobs([Job(info, running)])
    process.pass_on()
    return loss

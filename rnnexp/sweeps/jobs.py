"""What became of each job of a sweep: a small file each in the sweep's folder, whichever process or machine ran it."""

import json
import math
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rnnexp import interrupts, output
from rnnexp.checks import InvalidValue, UserError
from rnnexp.json_lines import Lines, read_lines

#: What a job without a usable loss returns to a sweeper that minimises: finite, and worse than any loss that is.
UNUSABLE_LOSS = 1e9

#: How a job ended whose result is there; SKIPPED stands for an earlier run that finished.
USABLE = ("FINISHED", "SKIPPED")
SWEEP_FILE, JOBS_FOLDER, STOP_FILE = "sweep.json", "jobs", "stop"
#: In a job's folder, where that has a name of a person's choice: which job has it.
JOB_FILE = "job.txt"
#: In the folder of a job that ended with an error of the code.
TRACEBACK_FILE = "traceback.txt"


class Diverged(UserError):
    """A run whose loss or gradient was no longer finite."""


@dataclass
class Sweep:
    """What all jobs of a sweep know of it.

    Attributes
    ----------
    id : str
    folder : Path
    keys : list of str
        What differs between the jobs.
    overrides : list of str
        As typed.
    fail_fast : bool
        No further job is started after one that failed.
    figures : bool
        Every job draws its own.
    parent : str or None
        The parent run in MLflow; None without it.
    experiment : str or None
        The MLflow experiment of the parent, and so of all its jobs, whatever the recipe of a job says.
    folder_given : bool
        A person named the folder.
    host, pid : str, int or None
        The process that was started.
    """

    id: str
    folder: Path
    keys: list[str]
    overrides: list[str]
    fail_fast: bool = False
    figures: bool = True
    parent: str | None = None
    experiment: str | None = None
    folder_given: bool = False
    host: str = field(default_factory=socket.gethostname)
    pid: int | None = None

    def save(self) -> None:
        """Write it where the jobs find it, whatever process or machine they run in; whole or not at all."""
        path = self.folder / SWEEP_FILE
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps({**asdict(self), "folder": str(self.folder)}, indent=1), encoding="utf-8")
        draft.replace(path)

    @property
    def elsewhere(self) -> bool:
        """Whether this is not the process that was started, but a worker."""
        return self.pid is not None and (self.host, self.pid) != (socket.gethostname(), os.getpid())

    def swept(self, overrides: Sequence[str]) -> list[str]:
        """Those of some overrides that are for a key that differs between the jobs."""
        return [text for text in overrides if typed([text]).keys() & set(self.keys)]

    def name(self, overrides: Sequence[str]) -> str:
        """What tells a job from the others."""
        return ", ".join(text.replace('"', "") for text in self.swept(overrides) or overrides)


def typed(overrides: Iterable[str]) -> dict[str, str]:
    """Values by key, as they were typed."""
    return dict(text.lstrip("+~").partition("=")[::2] for text in overrides)


def load_sweep(folder: Path) -> Sweep | None:
    """The sweep that a job's folder belongs to; None if nothing was recorded there."""
    try:
        values = json.loads((folder / SWEEP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Sweep(**{**values, "folder": folder})


@dataclass
class JobRecord:
    """One job.

    Attributes
    ----------
    number : int
    name : str
    overrides : list of str
    status : str
        RUNNING, FINISHED, FAILED, DIVERGED, KILLED, SKIPPED (it had finished before) or NOT RUN.
    reason : str
        Why it did not finish.
    run : str or None
        MLflow run.
    host, pid : str, int
    values : dict
        The parameters.
    config : str
        Hash of all that determines the numbers.
    metrics : dict
        Last values.
    curve : list of (int, float)
        log10 gradient norm by lag at the last study.
    """

    number: int
    name: str
    overrides: list[str]
    status: str = "RUNNING"
    reason: str = ""
    run: str | None = None
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    values: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Append it to the job's file in the sweep's folder, whose last line counts; an `OSError` if that fails."""
        lines = Lines(folder / JOBS_FOLDER / f"{self.number:06d}.jsonl")
        lines.add(vars(self))
        if not lines.write():
            raise OSError(lines.problem)

    @property
    def label(self) -> str:
        """The job in a line of text."""
        return f"job {self.number} ({self.name})" if self.name else f"job {self.number}"

    @property
    def usable(self) -> bool:
        """Whether its result is there."""
        return self.status in USABLE

    @property
    def line(self) -> str:
        """How it ended."""
        if not self.usable:
            return f"rnnexp: {self.label} {self.status}: {self.reason}"
        return f"{self.label}: {self.status}, evaluation loss {self.metrics.get('final/eval/loss', math.nan):.4g}"


def load_jobs(folder: Path, apart_from: Collection[int] = ()) -> list[JobRecord]:
    """All jobs that began, in order, without those of some numbers."""
    records = []
    for path in sorted((folder / JOBS_FOLDER).glob("[0-9]*.jsonl")):
        if int(path.stem) in apart_from:
            continue
        saved = read_lines(path)
        if not saved:  # killed before the first line was whole
            continue
        values = saved[-1]
        values["curve"] = [(int(lag), float(value)) for lag, value in values["curve"]]
        records.append(JobRecord(**values))
    return records


class RunningJob:
    """One job while it runs, recorded whatever becomes of it, and told at once if it fails.

    As a context manager it lets errors end here, and interruptions pass.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    number : int
    overrides : list of str

    Attributes
    ----------
    allowed : bool
        False if the sweep was stopped before it: it is recorded as NOT RUN.
    loss : float
        The final evaluation loss.
    """

    def __init__(self, folder: Path, number: int, overrides: list[str]) -> None:
        from rnnexp.tracking.store import redact_setting

        self.folder, self.number = folder, number
        self.overrides = [redact_setting(text) for text in overrides]
        self.allowed, self.loss = True, math.nan

    def __enter__(self) -> "RunningJob":
        """Begin the record."""
        self.sweep = load_sweep(self.folder) or Sweep("", self.folder, [], self.overrides)
        self.record = JobRecord(self.number, self.sweep.name(self.overrides), self.overrides)
        stop = self.folder / STOP_FILE
        if stop.exists():
            self.allowed = False
            self.record.status, self.record.reason = "NOT RUN", stop.read_text(encoding="utf-8")
        self.record.save(self.folder)
        interrupts.install()  # in a worker process nobody has done it yet, nor this:
        output.outlive_readers()
        self.output = self.folder / str(self.number)
        return self

    def joined(self, info: Any) -> Any:
        """What the recorder has to know of the run, and that it is a part of this."""
        self.output = info.folder
        if info.folder != self.folder / str(self.number):
            self._claim(info.folder)
        return replace(info, sweep=self.sweep, job=self.record).recorded_in(self.sweep.experiment)

    def _claim(self, folder: Path) -> None:
        """Refuse a folder that is not this job's alone."""
        try:
            if folder in (self.folder, self.folder / JOBS_FOLDER):
                raise FileExistsError
            with (folder / JOB_FILE).open("x", encoding="utf-8") as file:
                file.write(f"{self.number}\n")
        except FileExistsError:
            hint = "put ${hydra.job.num} into it, or leave it as it is"
            raise InvalidValue("hydra.sweep.subdir", str(folder), "a folder of its own for each job", hint) from None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        """End the record; True for an error that ends here."""
        job = self.record
        error = error and interrupts.behind(error)
        stopped = interrupts.is_interruption(error)
        if error is None:
            if job.status == "RUNNING":
                job.status = "FINISHED"
        elif not stopped:
            self.loss = math.nan
            job.status = "DIVERGED" if isinstance(error, Diverged) else "FAILED"
            job.reason = told(error)
            print(job.line, file=sys.stderr, flush=True)
        elif job.status == "RUNNING":  # not one that was told while the record of its whole training was closed
            job.status, job.reason = "KILLED", f"stopped by {interrupts.name_of(error)}"
        try:
            self._write(None if stopped else error)
        except OSError as fault:  # a full disk ends a job's record, not the sweep
            print(f"rnnexp: {job.label}: its record can't be written: {fault.strerror or fault}", file=sys.stderr)
        if stopped and self._alone_stopped(error):
            interrupts.forget()
            return True
        return error is not None and not stopped

    def _alone_stopped(self, error: BaseException | None) -> bool:
        """Whether somebody ended this worker's job with SIGTERM, and not the sweep."""
        by_sigterm = isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM
        return by_sigterm and self.sweep.elsewhere and not (self.folder / STOP_FILE).exists()

    def _write(self, error: BaseException | None) -> None:
        """The record, what stops the sweep, and the story of an error in the code."""
        from rnnexp.tracking.store import redact_text

        job = self.record
        job.save(self.folder)
        if error is None:
            return
        if self.sweep.fail_fast:
            reason = f"fail_fast=true, and {job.label} {job.status}"
            (self.folder / STOP_FILE).write_text(reason, encoding="utf-8")
        if not isinstance(error, UserError):
            self.output.mkdir(parents=True, exist_ok=True)
            story = redact_text("".join(traceback.format_exception(error)))
            (self.output / TRACEBACK_FILE).write_text(story, encoding="utf-8")

    @property
    def usable_loss(self) -> float:
        """The loss for a sweeper; `UNUSABLE_LOSS` if there is none."""
        return self.loss if math.isfinite(self.loss) else UNUSABLE_LOSS


def told(error: BaseException) -> str:
    """An error in words, without a password."""
    from rnnexp.tracking.store import redact_text

    return redact_text(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")


def run_alone(running: RunningJob, info: Callable[[], Any]) -> float:
    """One job, whatever becomes of it.

    Parameters
    ----------
    running : RunningJob
    info : callable
        Makes the `RunInfo`; a job whose configuration is refused fails as any other.

    Returns
    -------
    float
        The final evaluation loss; `UNUSABLE_LOSS` if there is none.
    """
    from rnnexp.__main__ import train_and_record

    with running:
        if running.allowed:
            running.loss = train_and_record(running.joined(info()))
    return running.usable_loss


def run_job(config: Any, hydra_config: Any) -> float:
    """One job as Hydra's launchers run it: composed by Hydra, in this or another process."""
    from rnnexp.config import check_root, run_info

    overrides = list(hydra_config.overrides.task)
    folder, cwd = Path(hydra_config.runtime.output_dir), Path(hydra_config.runtime.cwd)
    # From where the command was started: with hydra.job.chdir=true the job is somewhere else.
    running = RunningJob((cwd / hydra_config.sweep.dir).resolve(), int(hydra_config.job.num), overrides)
    choices = hydra_config.runtime.choices
    return run_alone(running, lambda: run_info(check_root(config), choices, overrides, folder, cwd))

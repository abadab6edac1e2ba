"""The records of a sweep and its jobs as plain data, one small file each in the sweep's folder."""

import json
import math
import os
import shlex
import socket
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError, one_line, printable
from rnnexp.json_lines import LineFile, read_lines
from rnnexp.settings import override

#: Groups of metrics that are what a run came to.
RESULTS = ("final/", "test/", "network/")
#: The tag, and the column of tables of runs, with the lags that a run's task asks for; earlier versions had none.
ASKED = "rnnexp.asked"
#: What the figures of a sweep mark, swept or not.
MARKED = ("algorithm", "bptt_length", "task", ASKED)
#: What says how much data a run reads, swept or not.
READ = ("bptt_stride", "steps", "batch_size")
#: Before the name of a parameter that is recorded as a tag, since other jobs of the sweep lack it: MLflow's comparison
#: would draw these at a value that they never had.
LACKING = "param."
#: Characters of a run's name that MLflow's list of runs shows.
NAME_SHOWN = 20
#: How the jobs of a sweep are named in MLflow: the first of these by which all differ in what is shown of them. A
#: `run_name` comes first if the jobs have different ones.
NAMINGS = ("{given} {values}", "{values} {given}", "{number}: {values} {given}")
#: Returned to a minimising sweeper by a job without a usable loss: finite, and worse than any real loss.
UNUSABLE_LOSS = 1e9
#: Statuses of jobs with a result; SKIPPED refers to an earlier run that finished.
USABLE = ("FINISHED", "SKIPPED")
SWEEP_FILE, JOBS_FOLDER, STOP_FILE = "sweep.json", "jobs", "stop"
#: In a job folder named by the user: identifies the job.
JOB_FILE = "job.txt"
#: In the folder of a job that raised an exception.
TRACEBACK_FILE = "traceback.txt"


class Diverged(UserError):
    """A run whose loss or gradient became non-finite."""


@dataclass
class Sweep:
    """The settings that all jobs of a sweep share.

    Attributes
    ----------
    keys : list of str
        What differs between the jobs.
    overrides : list of str
        As typed.
    fail_fast : bool
        Whether to start no further job after a failure.
    parent : str or None
        The parent run in MLflow; None without MLflow.
    experiment : str or None
        The MLflow experiment of the parent and all jobs, regardless of a job's recipe.
    formats : list of str
        Of the figures that compare the jobs.
    folder_given : bool
        Whether the user named the folder.
    hydra : list of str
        Overrides of Hydra's own settings.
    resumed : bool
        Whether the user continues it: its jobs go on from what is in their folders.
    scheduler_job : str
        The job of a batch system that the command is a part of.
    host, pid : str, int or None
        The process of the command.
    naming : str
        Of `NAMINGS`.
    lacking : list of str
        Parameters that some jobs have and others lack.
    """

    id: str
    folder: Path
    keys: list[str]
    overrides: list[str]
    fail_fast: bool = False
    parent: str | None = None
    experiment: str | None = None
    formats: list[str] = field(default_factory=lambda: ["png"])
    folder_given: bool = False
    hydra: list[str] = field(default_factory=list)
    resumed: bool = False
    host: str = field(default_factory=socket.gethostname)
    pid: int | None = None
    scheduler_job: str = ""
    naming: str = NAMINGS[-1]
    lacking: list[str] = field(default_factory=list)

    def save(self) -> None:
        """Write it atomically where jobs find it, in any process and on any machine."""
        path = self.folder / SWEEP_FILE
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps({**asdict(self), "folder": str(self.folder)}, indent=1), encoding="utf-8")
        draft.replace(path)

    @property
    def elsewhere(self) -> bool:
        """Whether this process is a worker, not the command's own."""
        return self.pid is not None and (self.host, self.pid) != (socket.gethostname(), os.getpid())

    def swept(self, overrides: Sequence[str]) -> list[str]:
        """The overrides of keys that differ between jobs."""
        return [text for text in overrides if typed([text]).keys() & set(self.keys)]

    def name(self, overrides: Sequence[str]) -> str:
        """The settings that distinguish a job from the others."""
        return ", ".join(text.replace('"', "") for text in self.swept(overrides) or overrides)

    def title(self, number: int, overrides: Sequence[str], given: str, naming: str = "") -> str:
        """The name of a job's run in MLflow: the values of `name`, of paths the last part, and the `run_name` given."""
        values = ", ".join(_value(text) for text in self.swept(overrides) or overrides if not _names_run(text))
        named = (naming or self.naming).format(number=number, values=values or "job", given=given)
        return one_line(named.strip())

    def named(self, jobs: Sequence[tuple[Sequence[str], str]]) -> str:
        """The way of naming these jobs, given as overrides and `run_name` each."""
        alike = len({given for _, given in jobs}) < 2
        for naming in NAMINGS[alike:-1]:
            seen = {self.title(number, *job, naming)[:NAME_SHOWN] for number, job in enumerate(jobs)}
            if len(seen) == len(jobs):
                return naming
        return NAMINGS[-1]


def continued_by(folder: Path) -> str:
    """The command that continues the sweep in a folder."""
    return shlex.join(["python", "-m", "rnnexp", "-m", override("resume", str(folder))])


def _names_run(text: str) -> bool:
    return text.lstrip("+~").startswith("run_name=")


def _value(text: str) -> str:
    """What an override says beside its key."""
    value = text.partition("=")[2].replace('"', "").strip("'") or text
    return value.rstrip("/").rpartition("/")[2] if "/" in value and value[0] not in "[{(" else value


def typed(overrides: Iterable[str]) -> dict[str, str]:
    """Values by key, as typed."""
    return dict(text.lstrip("+~").partition("=")[::2] for text in overrides)


def load_sweep(folder: Path) -> Sweep | None:
    """The sweep recorded in a folder; None if there is none."""
    try:
        values = json.loads((folder / SWEEP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = {field.name for field in fields(Sweep)}  # earlier versions noted more
    return Sweep(**{**{name: value for name, value in values.items() if name in known}, "folder": folder})


@dataclass
class JobRecord:
    """The record of one job.

    Attributes
    ----------
    status : str
        RUNNING, FINISHED, FAILED, DIVERGED, KILLED, SKIPPED (it had finished before) or NOT RUN.
    reason : str
        Why it did not finish.
    run : str or None
        MLflow run.
    values : dict
        The parameters, and what the task asks for (`ASKED`).
    config : str
        Hash of everything that determines the numbers.
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
        """Append it to the job's file in the sweep's folder, where the last line counts; `OSError` if that fails."""
        lines = LineFile(folder / JOBS_FOLDER / f"{self.number:06d}.jsonl")
        lines.add(vars(self))
        if problem := lines.write():
            raise OSError(problem)

    def brief(self, keys: Collection[str]) -> "JobRecord":
        """What a comparison of very many jobs needs: its results, these values, and of its curve whether it has one."""
        metrics = {sys.intern(name): value for name, value in self.metrics.items() if name.startswith(RESULTS)}
        values = {sys.intern(key): value for key, value in self.values.items() if key in keys}
        return replace(self, metrics=metrics, values=values, curve=self.curve[:1])

    @property
    def label(self) -> str:
        """The job's number and name."""
        return f"job {self.number} ({printable(self.name)})" if self.name else f"job {self.number}"

    @property
    def usable(self) -> bool:
        """Whether it has a result."""
        return self.status in USABLE

    @property
    def line(self) -> str:
        """Its outcome in one line."""
        if not self.usable:
            return "\n".join(map(printable, f"rnnexp: {self.label} {self.status}: {self.reason}".split("\n")))
        return f"{self.label}: {self.status}, evaluation loss {self.metrics.get('final/eval/loss', math.nan):.4g}"


def load_job(folder: Path, number: int) -> JobRecord | None:
    """The record of one job in a sweep's folder; None if there is none."""
    found = (folder / JOBS_FOLDER).glob(f"{number:06d}.jsonl")
    return next((record for path in found if (record := _load(path)) is not None), None)


def _load(path: Path) -> JobRecord | None:
    saved = read_lines(path)
    if not saved:  # killed while writing the first line
        return None
    values = saved[-1]
    values["curve"] = [(int(lag), float(value)) for lag, value in values["curve"]]
    return JobRecord(**values)


def load_jobs(folder: Path, apart_from: Collection[int] = (), brief: Collection[str] | None = None) -> list[JobRecord]:
    """All jobs that started, in order, except those with the given numbers.

    With keys for which they are to be `brief`, those that ended are, and never all in memory as a whole.
    """
    records = []
    for path in sorted((folder / JOBS_FOLDER).glob("[0-9]*.jsonl")):
        if int(path.stem) in apart_from:
            continue
        if (record := _load(path)) is not None:
            records.append(record if brief is None or record.status == "RUNNING" else record.brief(brief))
    return records

"""What is said of a sweep and its jobs, as plain data: a small file each in the sweep's folder."""

import json
import math
import os
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError
from rnnexp.json_lines import LineFile, read_lines

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
        lines = LineFile(folder / JOBS_FOLDER / f"{self.number:06d}.jsonl")
        lines.add(vars(self))
        if problem := lines.write():
            raise OSError(problem)

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

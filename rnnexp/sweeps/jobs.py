"""What became of each job of a sweep: a small file each in the sweep's folder, whichever process or machine ran it."""

import json
import math
import os
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rnnexp import interrupts
from rnnexp.checks import UserError

#: What a job without a usable loss returns to a sweeper that minimises: finite, and worse than any loss that is.
UNUSABLE_LOSS = 1e9

SWEEP_FILE, JOBS_FOLDER, STOP_FILE = "sweep.json", "jobs", "stop"


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
    """

    id: str
    folder: Path
    keys: list[str]
    overrides: list[str]
    fail_fast: bool = False
    figures: bool = True
    parent: str | None = None

    def save(self) -> None:
        """Write it where the jobs find it, whatever process or machine they run in."""
        write_json(self.folder / SWEEP_FILE, {**asdict(self), "folder": str(self.folder)})

    def swept(self, overrides: Sequence[str]) -> list[str]:
        """Those of some overrides that are for a key that differs between the jobs."""
        return [text for text in overrides if typed([text]).keys() & set(self.keys)]

    def name(self, overrides: Sequence[str]) -> str:
        """What tells a job from the others."""
        return ", ".join(text.replace('"', "") for text in self.swept(overrides) or overrides)


def typed(overrides: Sequence[str]) -> dict[str, str]:
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
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write it into the sweep's folder."""
        write_json(folder / JOBS_FOLDER / f"{self.number:06d}.json", asdict(self))

    @property
    def label(self) -> str:
        """The job in a line of text."""
        return f"job {self.number} ({self.name})"


def load_jobs(folder: Path) -> list[JobRecord]:
    """All jobs that began, in order."""
    records = []
    for path in sorted((folder / JOBS_FOLDER).glob("*.json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        values["curve"] = [(int(lag), float(value)) for lag, value in values["curve"]]
        records.append(JobRecord(**values))
    return records


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(values, indent=1), encoding="utf-8")
    draft.replace(path)


def run_job(config: Any, hydra_config: Any) -> float:
    """One job of a sweep, whatever becomes of it: it is recorded, and told at once if it fails.

    Returns
    -------
    float
        The final evaluation loss; `UNUSABLE_LOSS` if there is none.
    """
    from dataclasses import replace

    from rnnexp.__main__ import train_and_record
    from rnnexp.config import run_info

    folder, number = Path(hydra_config.sweep.dir).resolve(), int(hydra_config.job.num)
    overrides = list(hydra_config.overrides.task)
    sweep = load_sweep(folder) or Sweep("", folder, [], overrides)
    job = JobRecord(number, sweep.name(overrides), overrides)
    if (folder / STOP_FILE).exists():
        job.status, job.reason = "NOT RUN", (folder / STOP_FILE).read_text(encoding="utf-8")
        job.save(folder)
        return UNUSABLE_LOSS
    job.save(folder)
    interrupts.install()  # in a worker process nobody has done it yet
    try:
        info = replace(run_info(config, hydra_config), sweep=sweep, job=job)
        loss = train_and_record(config, info)
        job.status = "SKIPPED" if job.status == "SKIPPED" else "FINISHED"
    except Exception as error:
        job.status = "DIVERGED" if isinstance(error, Diverged) else "FAILED"
        job.reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, UserError):
            (Path(hydra_config.runtime.output_dir) / "traceback.txt").write_text(traceback.format_exc())
        print(f"rnnexp: {job.label} {job.status}: {job.reason}", file=sys.stderr, flush=True)
        if sweep.fail_fast:
            (folder / STOP_FILE).write_text(f"fail_fast=true, and {job.label} {job.status}", encoding="utf-8")
        loss = UNUSABLE_LOSS
    except BaseException as error:
        job.status, job.reason = "KILLED", type(error).__name__
        raise
    finally:
        job.save(folder)
    return loss if math.isfinite(loss) else UNUSABLE_LOSS

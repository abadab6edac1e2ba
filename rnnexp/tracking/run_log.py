"""The run log: everything that is recorded of a run, written once and in order; MLflow is updated from it.

The file is only appended to, a JSON object a line:

begin         a process starts to record the run: `log`, a word that is the same for all processes of one run, `uri`
              (without credentials; null without MLflow), `experiment` and `experiment_id`, and what creates a run of
              MLflow: `start_time`, `run_name`, `tags`
params, tags  by key
metrics       [name, value, milliseconds, step] each
inputs        datasets: name, digest, source_type, source, profile
artifacts     paths in the folder
end           status and milliseconds
acknowledged  so many of the entries above were accepted by MLflow as the record of `run`, apart from what it `refused`
              for good; with `complete`, MLflow has everything else

To upload the same entry twice does no harm: MLflow keeps a point once if its name, step, value and time are the same,
a dataset once by its name and digest, and parameters, tags, files and the end of a run are set, not added.
"""

import contextlib
import math
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rnnexp.checks import UserError
from rnnexp.history import Point, is_last_curve
from rnnexp.json_lines import LineFile, read_lines
from rnnexp.process import say
from rnnexp.records import RESULTS
from rnnexp.tracking.keys import LONGEST_TAG, mlflow_key, mlflow_text

RUN_LOG = "run.jsonl"
#: Points are written and sent in batches of so many, or after so many seconds; the parameters sooner.
#: MLflow takes at most 1000 points in one call, and a call of many costs hardly more than a call of one.
BATCH, PATIENCE, SOON = 1000, 5.0, 1.0
#: To send takes at most about a tenth of the time of a run, and of all runs that are trained together.
REST = 10.0
#: What a log ends with of which nothing is to be uploaded.
COMPLETE = b'"complete":true}\n'
LOST = "without it the run can't be continued: begin a new one"
#: Stands for the word of a run that an earlier version began, without one.
EARLIER = "earlier"
Entry = dict[str, Any]


class RunLog:
    """The record of a run in its folder. Alone, it is the record of a run without MLflow.

    A process that is killed loses what was recorded since the last batch, at most 5 s. A full disk is reported once,
    and writing is tried again with every batch.

    Parameters
    ----------
    folder : Path
        The run folder.
    resumed : bool
        Continue the log that is there; otherwise one that is there is replaced with the first write.

    Attributes
    ----------
    word : str
        Tells this run's log, and its checkpoints, from those of another run.
    id : str or None
        Of the MLflow run, once it was created.
    accepted : int
        How many entries MLflow has accepted.
    pending : list of dict
        The others.
    begin, creator : dict
        The last `begin`, and the first one with a store, which creates the run in MLflow; empty without one.
    begun : int
        How many processes have recorded the run.
    ended : [status, milliseconds] or None
        How the run ended; None while a process records it.
    params : set of str
        Keys of the parameters so far.
    refused : list of str
        What MLflow will never take.
    warned : bool
        The person knows that the folder can't be written.

    Raises
    ------
    UserError
        If a log is to be continued and can't be read, is not one, or is one of two runs.
    """

    def __init__(self, folder: Path, *, resumed: bool = False) -> None:
        self.folder, self.warned = folder, False
        self.word, self.id = uuid.uuid4().hex[:12], None  # type: tuple[str, str | None]
        self.pending: list[Entry] = []
        self.begin: Entry = {}
        self.creator: Entry = {}
        self.begun, self.ended = 0, None  # type: tuple[int, list[Any] | None]
        self.params: set[str] = set()
        self.refused: list[str] = []
        self._file = LineFile(folder / RUN_LOG, new=not resumed)
        self.accepted = 0
        self._points: list[list[Any]] = []
        self._artifacts: list[str] = []
        self._steps: dict[str, int] = {}
        self._latest: dict[str, float] = {}
        self._curves: dict[tuple[str, int], float] = {}
        if resumed:
            self._read()
        self._due = time.monotonic() + SOON
        self._took, self._together, self._rested = 0.0, 1, 0.0

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / RUN_LOG

    def _read(self) -> None:
        path = self.path
        try:
            lines = read_lines(path)
            self.word = lines[0]["begin"].get("log", EARLIER)
            if any(line["begin"].get("log") != self.word for line in lines[1:] if "begin" in line):
                problem = f"{path} holds the records of two runs, which are not taken for one"
                raise UserError(problem, "move it away, and run both again, each in a folder of its own")
            for line in lines:
                if "acknowledged" in line:
                    # A log that lost lines must not seem to be ahead.
                    self.accepted, self.id = min(line["acknowledged"], len(self.pending)), line["run"]
                    self.refused = list(line.get("refused", ()))
                else:
                    self._take(line)
                for name, value, _, step in line.get("metrics", ()):
                    self._latest[name] = value
                    if is_last_curve(name):
                        self._curves[name, step] = value
                    else:
                        self._steps[name] = max(step, self._steps.get(name, -1))
        except OSError as error:
            raise UserError(f"the run log {path} can't be read: {error.strerror or error}", LOST) from None
        except (LookupError, TypeError, ValueError, AttributeError):
            raise UserError(f"{path} is not a run log", LOST) from None
        self.pending = self.pending[self.accepted :]

    def _take(self, entry: Entry) -> None:
        self.pending.append(entry)
        self.params |= entry.get("params", {}).keys()
        if "begin" in entry:
            self.begin, self.ended = entry["begin"], None
            self.begun += 1
            if not self.creator and self.begin["uri"] is not None:
                self.creator = self.begin
        self.ended = entry.get("end", self.ended)

    def latest(self, name: str) -> float:
        """The last value of a metric in the log that is continued; NaN without one."""
        return self._latest.get(name, math.nan)

    def results(self) -> dict[str, float]:
        """The last values of what the run in the log came to."""
        return {name: value for name, value in self._latest.items() if name.startswith(RESULTS)}

    def put(self, **entry: Any) -> None:
        """Add an entry to the end."""
        if "begin" in entry:
            entry["begin"] = {"log": self.word, **entry["begin"]}
        self._take(entry)
        self._file.add(entry)

    def add(self, points: Iterable[Point]) -> None:
        """Take in metric values, without those that are in the log: of a resumed run, some come again as they were.

        The last curves by lag may become others; each other metric has one value at a step.
        """
        now, steps, curves = milliseconds(), self._steps, self._curves
        for name, value, step in ((mlflow_key(point.name), float(point.value), int(point.step)) for point in points):
            if step > steps.get(name, -1) and curves.get((name, step)) != value:
                self._points.append([name, value, now, step])

    def train_with(self, runs: int) -> None:
        """Training begins, of so many runs at a time: while one of them sends, all wait."""
        self._together = runs
        self._due = time.monotonic() + SOON
        self._rest()

    def _rest(self) -> None:
        self._rested = time.monotonic() + REST * self._took * self._together

    def flush_if_due(self) -> None:
        """Write what waits when it is time, and send it unless that would take too much of the time of training.

        To be called without new points, too.
        """
        waiting, now = self._points or self.pending, time.monotonic()
        if waiting and (len(self._points) >= BATCH or now > self._due):
            if now >= self._rested:
                self.flush()
            else:
                self._keep()

    def flush(self) -> None:
        """Write and send what waits."""
        self._keep()
        began = time.monotonic()
        self.upload()
        self._took = time.monotonic() - began
        self._rest()

    def _keep(self) -> None:
        """Write what waits."""
        self._due = time.monotonic() + PATIENCE
        if (problem := self.write()) and not self.warned:
            self.warned = True
            say(
                f"rnnexp: {self.path} can't be written: {problem}; training continues",
                "free some space: it is tried again with every batch, and the other files are written at the end",
                error=True,
            )

    def write(self) -> str:
        """Hand over to the operating system what waits; the reason if that failed, else nothing."""
        self._pack()
        return self._file.write()

    def _pack(self) -> None:
        for start in range(0, len(self._points), BATCH):
            self.put(metrics=self._points[start : start + BATCH])
        self._points = []

    def upload(self, *, last: bool = False) -> None:
        """Send what MLflow has not accepted; `last` if it is not tried again."""
        self.pending = []
        if last:
            self._acknowledge(complete=True)

    def accept(self, count: int) -> None:
        """Note that MLflow has accepted so many further entries."""
        self.accepted += count
        self.pending = self.pending[count:]
        self._acknowledge(complete=self.ended is not None and not self.pending)

    def rewind(self) -> None:
        """Take nothing for accepted: it was by a database that is not there any more. To send it again does no harm."""
        if not self.accepted or self.write():
            return
        entries = [line for line in read_lines(self.folder / RUN_LOG) if "acknowledged" not in line]
        self.accepted, self.pending = 0, entries
        self._acknowledge(complete=False)

    def _acknowledge(self, complete: bool) -> None:
        refused = {"refused": self.refused} if self.refused else {}
        self._file.add({"acknowledged": self.accepted, "run": self.id, **refused, "complete": complete})

    def artifact(self, path: Path) -> None:
        """Keep a file of the folder with the run; it is sent at its end."""
        self._artifacts.append(path.relative_to(self.folder).as_posix())

    def end(self, status: str, tags: Mapping[str, str]) -> str:
        """Write and send what waits, and end the run as FINISHED, FAILED or KILLED.

        Returns
        -------
        str
            Why what is nowhere else can't be written to the folder; empty if nothing is lost.
        """
        self._pack()
        if tags:
            self.put(tags={mlflow_key(name): mlflow_text(value, LONGEST_TAG) for name, value in tags.items()})
        if self._artifacts:
            self.put(artifacts=self._artifacts)
        self.put(end=[status, milliseconds()])
        problem = self._file.write()  # before it is sent, so that a kill in between loses nothing
        self.upload(last=True)
        problem = self._file.write() and problem
        return problem if self.pending or self.begin["uri"] is None else ""

    def discard(self) -> None:
        """Delete it: another one takes its place."""
        self._points, self.pending, self._file = [], [], LineFile(self.folder / RUN_LOG, new=True)
        with contextlib.suppress(OSError):
            self._file.path.unlink(missing_ok=True)


def milliseconds() -> int:
    """The time, as MLflow counts it."""
    return int(time.time() * 1000)


def is_complete(path: Path) -> bool:
    """Whether MLflow lacks nothing of a log, by its last bytes: cheap where there are thousands of them."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(-len(COMPLETE), os.SEEK_END)
        return file.read() == COMPLETE
    return False

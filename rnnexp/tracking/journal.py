"""What a run measures, kept in its folder as it comes."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rnnexp.history import Point
from rnnexp.json_lines import Lines

#: Name of the file in the run folder: one ``{"metric", "step", "value"}`` a line.
METRICS_FILE = "metrics.jsonl"
#: What comes is written in batches of so many points, or after so many seconds.
BATCH, PATIENCE = 1000, 5.0


class Journal:
    """The metrics of a run, written into its folder while it is going on.

    A process that is killed loses what came since the last batch, 5 s at most. A disk that is full is told once and
    tried again with every batch.

    Parameters
    ----------
    folder : Path
        The run folder.
    so_far : iterable of Points, optional
        What the file is to begin with, in place of what is there.
    """

    def __init__(self, folder: Path, so_far: Iterable[Point] | None = None) -> None:
        self._lines = Lines(folder / METRICS_FILE)
        self._waiting: list[Point] = []
        if so_far is not None:  # what came after the checkpoint will come again
            self._lines.remove()
            self._waiting += so_far
        self._written = time.monotonic()
        self.told = False

    def add(self, points: Iterable[Point]) -> None:
        """Take in metric values; to be called without any too, so that those that wait are written in time."""
        self._waiting += points
        if self._waiting and (len(self._waiting) >= BATCH or time.monotonic() - self._written > PATIENCE):
            self.flush()

    def flush(self) -> None:
        """Hand over to the operating system what waits."""
        for point in self._waiting:
            self._lines.add({"metric": point.name, "step": int(point.step), "value": float(point.value)})
        self._waiting = []
        self._written = time.monotonic()
        if not self._lines.write() and not self.told:
            self.told = True
            print(
                f"rnnexp: {self._lines.path} can't be written: {self._lines.problem}; training goes on\n"
                "free some space: it is tried again with every batch, and the other files are written at the end",
                file=sys.stderr,
                flush=True,
            )

    def discard(self) -> None:
        """Remove the file."""
        self._waiting = []
        self._lines.remove()

    def close(self) -> str:
        """Write what waits; why that could not be done, or nothing."""
        self.flush()
        return self._lines.problem

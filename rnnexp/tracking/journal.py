"""What a run measures, kept in its folder as it comes; and files of JSON lines that a full disk can't spoil."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnnexp.tracking.history import Point

#: Name of the file in the run folder: one ``{"metric", "step", "value"}`` a line.
METRICS_FILE = "metrics.jsonl"
#: What comes is written in batches of so many points, or after so many seconds.
BATCH, PATIENCE = 1000, 5.0
#: Windows would write two characters for the end of a line.
BINARY = getattr(os, "O_BINARY", 0)


class Lines:
    """A file of JSON lines that is only appended to, and only by whole lines.

    What can't be written (a full disk) is taken back from the file, waits in memory, and is tried again.

    Parameters
    ----------
    path : Path
        Made with the first line; lines that are there already stay.

    Attributes
    ----------
    problem : str
        Why the last try failed; empty if it did not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self._waiting: list[str] = []

    def add(self, entry: object) -> None:
        """Take in a line, to be written with the next `write`."""
        self._waiting.append(json.dumps(entry, separators=(",", ":")))

    def write(self) -> bool:
        """Write what waits; whether nothing waits any more."""
        if not self._waiting:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o644)
        except OSError as error:
            self.problem = error.strerror or str(error)
            return False
        try:
            size = os.fstat(file).st_size
            try:
                # A writer that was killed may have left half a line: end it.
                whole = not size or _last_byte(file) == b"\n"
                _write_all(file, "".join(["" if whole else "\n", *(f"{line}\n" for line in self._waiting)]).encode())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, size)
                raise
        except OSError as error:
            self.problem = error.strerror or str(error)
            return False
        finally:
            os.close(file)
        self._waiting, self.problem = [], ""
        return True

    def remove(self) -> None:
        """Forget what waits, and delete the file."""
        self._waiting = []
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def _last_byte(file: int) -> bytes:
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1)


def _write_all(file: int, data: bytes) -> None:
    """Write everything; a disk that fills takes a part of it first."""
    while data:
        data = data[os.write(file, data) :]


def read_lines(path: Path) -> list[Any]:
    """The entries of a file of JSON lines; a line that was cut off by the end of its writer is left out.

    Raises
    ------
    OSError
        If the file can't be read.
    """
    entries = []
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return entries


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

    def close(self) -> str:
        """Write what waits; why that could not be done, or nothing."""
        self.flush()
        return self._lines.problem

"""Files of JSON lines, only appended to, which neither a full disk nor a killed writer spoils."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

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

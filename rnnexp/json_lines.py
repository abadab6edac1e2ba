"""JSON: documents for scripts, and files of lines, which neither a full disk nor a killed writer spoils."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Windows would write two characters for the end of a line.
BINARY = getattr(os, "O_BINARY", 0)


class LineFile:
    """A file of JSON lines that is only appended to, and only by whole lines.

    What can't be written (a full disk) is taken back from the file, waits in memory, and is tried again.

    Parameters
    ----------
    path : Path
        Made with the first line.
    new : bool
        Lines that are there already are removed with the first write; otherwise they stay.

    Attributes
    ----------
    problem : str
        Why the last try failed; empty if it did not.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path = path
        self.problem = ""
        self._waiting: list[str] = []
        self._truncate = os.O_TRUNC if new else 0

    def add(self, entry: object) -> None:
        """Take in a line, to be written with the next `write`."""
        self._waiting.append(json.dumps(entry, separators=(",", ":")) + "\n")

    def write(self) -> str:
        """Write what waits; the reason if that failed, else nothing."""
        if not self._waiting:
            return ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY | self._truncate, 0o644)
            try:
                _append(file, "".join(self._waiting).encode())
            finally:
                os.close(file)
        except OSError as error:
            self.problem = error.strerror or str(error)
        else:
            self._waiting, self._truncate, self.problem = [], 0, ""
        return self.problem


def _append(file: int, data: bytes) -> None:
    """All of it or nothing; a disk that fills takes a part of it first."""
    size = os.fstat(file).st_size
    # A writer that was killed may have left half a line: end it.
    os.lseek(file, max(0, size - 1), os.SEEK_SET)
    if size and os.read(file, 1) != b"\n":
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


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


def document(value: object) -> str:
    """A value as one JSON document of several lines; numbers are not rounded, null stands for those not finite."""
    return json.dumps(_plain(value), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)

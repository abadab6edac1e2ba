"""The files of a run's folder: each is written completely or not at all, and a failure does not affect the others."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from rnnexp.tracking.failures import report_failure


class RunFolder:
    """What was written into a folder, and what could not be.

    Attributes
    ----------
    path : Path
    written : list of Path
    missing : dict of str to str
        What could not be written, and why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[Path] = []
        self.missing: dict[str, str] = {}

    def save(self, name: str, write: Callable[[Path], object], *, extra: bool = False) -> bool:
        """Let `write` make a file of that name; False if that failed, which is reported.

        A disk that is full or can't be written leaves the run incomplete, unless the file is an `extra`.
        """
        path = self.path / name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write(path)
        except Exception as error:
            if isinstance(error, OSError) and not extra:
                self.missing[name] = error.strerror or str(error)
            else:
                report_failure(name, error)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # half a table would be taken for a whole one
            return False
        self.written.append(path)
        return True

    def problem(self) -> str:
        """What is missing and why, in a line; nothing if all is there."""
        if not self.missing:
            return ""
        reasons = ", ".join(dict.fromkeys(self.missing.values()))
        return f"not everything could be written to {self.path} ({reasons}): {', '.join(self.missing)} missing"

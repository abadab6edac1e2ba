"""Whether a database is still the file that was opened: what is written to one that was replaced is lost."""

from pathlib import Path

from rnnexp.checks import UserError

#: Device and inode of the databases that this process has opened: MLflow keeps its connections until the process ends.
_opened: dict[Path, tuple[int, int]] = {}


class Replaced(UserError):
    """Another file is where the database was."""


def remember(path: Path) -> None:
    """Note which file a database is, when it is first opened."""
    if path.is_file() and path.absolute() not in _opened:
        status = path.stat()
        _opened[path.absolute()] = status.st_dev, status.st_ino


def check_same(path: Path) -> None:
    """`Replaced` if a database is another file than the one that was opened."""
    if (problem := fate(path)) and path.is_file():
        raise Replaced(problem)


def fate(path: Path) -> str:
    """What has become of an opened database, in a line: another file, or none; empty if it is the same."""
    if (before := _opened.get(path.absolute())) is None:
        return ""
    try:
        status = path.stat()
    except OSError:
        return f"there is no tracking database {path} any more"
    if path.is_file() and (status.st_dev, status.st_ino) != before:
        return f"the tracking database {path} was replaced by another file"
    return ""

"""The columns of a user's table, whatever file they come from."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnexp.tasks.files import refused


@dataclass(frozen=True)
class Columns:
    """What a file holds.

    Attributes
    ----------
    frame : pandas DataFrame
        Its columns by name; those without a name are left out.
    place : callable
        Location of row i (from 0) in the file, in words.
    sequences : int, optional
        Number of equally long sequences, one after the other, where the file has arrays of them.
    """

    frame: Any
    place: Callable[[int], str]
    sequences: int | None = None


def check_names(path: str, names: list[str]) -> None:
    """Refuse a name that two columns share, or columns without any names."""
    named = [name for name in names if name]
    twice = next((name for name, count in Counter(named).items() if count > 1), None)
    if twice is not None:
        first, second = [index + 1 for index, name in enumerate(names) if name == twice][:2]
        hint = f"columns {first} and {second} are both called {twice!r}"
        raise refused(path, "a table whose columns have different names", hint)
    if not named:
        raise refused(path, "a table whose first line names the columns", "this line is empty")


def finish(frame: Any, names: list[str], path: str, place: Callable[[int], str]) -> Columns:
    """The frame with its column names, without unnamed columns; refused if it has no rows."""
    if not len(frame):
        raise refused(path, "a table with rows", "it names its columns but has no rows")
    frame.columns, frame.index = range(len(names)), range(len(frame))
    for index, name in enumerate(names):
        if not name:
            del frame[index]
        elif str(frame[index].dtype) == "category":
            frame[index] = frame[index].astype(object)
    frame.columns = [name for name in names if name]
    return Columns(frame, place)

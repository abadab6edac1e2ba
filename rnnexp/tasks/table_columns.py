"""The columns of a user's table, whatever file they come from."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rnnexp.checks import InvalidValue, nearest
from rnnexp.settings import quoted
from rnnexp.tasks.files import refused

#: Words that Hydra reads as something else than text.
OTHER_WORDS = re.compile(r"null|true|false|nan|inf", re.IGNORECASE)


@dataclass
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
    decimal : str
        The sign before the fraction of a number that is written as text.
    unsure : bool
        Whether 1,234 in a text may also be a fraction.
    unnamed : sequence of int
        The columns, from 1, that are left out since they have no name.
    written : dict of str to str
        How the numbers of a column are written, where that is worth saying.
    """

    frame: Any
    place: Callable[[int], str]
    sequences: int | None = None
    decimal: str = "."
    unsure: bool = False
    unnamed: Sequence[int] = ()
    written: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return list(self.frame.columns)


def check_names(path: str, names: list[str]) -> None:
    """Refuse a name that two columns share, or columns without any names."""
    named = [name for name in names if name]
    twice = next((name for name, count in Counter(named).items() if count > 1), None)
    if twice is not None:
        first, second = [index + 1 for index, name in enumerate(names) if name == twice][:2]
        hint = f"columns {first} and {second} are both called {twice!r}: rename one of them in the file"
        raise refused(path, "a table whose columns have different names", hint)
    if not named:
        raise refused(path, "a table whose first line names the columns", "this line is empty")


def finish(frame: Any, names: list[str], path: str, place: Callable[[int], str], **about: Any) -> Columns:
    """The frame with its column names, without unnamed columns; refused if it has no rows."""
    if not len(frame):
        raise refused(path, "a table with rows", "it names its columns but has no rows")
    frame.columns, frame.index = range(len(names)), range(len(frame))
    unnamed = []
    for index, name in enumerate(names):
        if not name:
            if frame[index].notna().any():
                unnamed.append(index + 1)
            del frame[index]
        elif str(frame[index].dtype) == "category":
            frame[index] = frame[index].astype(object)
    frame.columns = [name for name in names if name]
    return Columns(frame, place, unnamed=unnamed, **about)


def one_column(key: str, value: Any, known: list[str]) -> str:
    """The name of an existing column; a whole number can be a name."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidValue(key, value, "the name of a column")
    if value not in known:
        raise InvalidValue(
            key, value, "a column of the table", nearest(value, known) or f"its columns are {few(known)}"
        )
    return value


def several_columns(key: str, value: Any, known: list[str]) -> list[str]:
    """The names of distinct existing columns; a single name needs no list."""
    items = [value] if isinstance(value, str | int) and not isinstance(value, bool) else value
    if not isinstance(items, list | tuple) or not items:
        raise InvalidValue(key, value, "a list of column names, or null", f"for example {typed(key, known[:2])}")
    names = [one_column(key, item, known) for item in items]
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InvalidValue(key, value, "a list of different columns, or null", f"{twice!r} occurs twice in it")
    return names


def few(names: Sequence[str], most: int = 12) -> str:
    """Names in words, the first of very many; in quotes if they have a comma in them."""
    names = [repr(name) if "," in name or not name.isprintable() else name for name in names]
    more = f", and {len(names) - most} more" if len(names) > most + 1 else ""
    return ", ".join(names[:most] if more else names) + more


def typed(key: str, names: Sequence[str], *, one: bool = False) -> str:
    """A setting of this task with names of columns, as it is typed in a shell."""
    found = [
        name
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and not OTHER_WORDS.fullmatch(name)
        else quoted(name.replace("${", r"\${"))
        for name in names
    ]
    return shlex.quote(f"task.{key}={found[0]}" if one else f"task.{key}=[{','.join(found)}]")

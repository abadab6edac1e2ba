"""What the columns of a user's table are for: inputs and targets, the sequence of each row, and its time."""

from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue, nearest, show
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import refused
from rnnexp.tasks.table_cells import check_filled, meant_as_numbers, times_of
from rnnexp.tasks.table_columns import Columns


def one_column(key: str, value: Any, known: list[str]) -> str:
    """The name of an existing column; a whole number can be a name."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidValue(key, value, "the name of a column")
    if value not in known:
        listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        raise InvalidValue(key, value, "a column of the table", nearest(value, known) or f"its columns are {listed}")
    return value


def several_columns(key: str, value: Any, known: list[str]) -> list[str]:
    """The names of distinct existing columns; a single name needs no list."""
    items = [value] if isinstance(value, str | int) and not isinstance(value, bool) else value
    if not isinstance(items, list | tuple) or not items:
        raise InvalidValue(key, value, "a list of column names, or null", f"for example {key}=[{','.join(known[:2])}]")
    names = [one_column(key, item, known) for item in items]
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InvalidValue(key, value, "a list of different columns, or null", f"{twice!r} occurs twice in it")
    return names


def choose(columns: Columns, path: str, inputs: Any, targets: Any, roles: set[str]) -> tuple[list[str], list[str]]:
    """The names of the input and the target columns; `roles` are the columns with another purpose."""
    known = list(columns.frame.columns)
    wanted = None if targets is None else several_columns("targets", targets, known)
    if inputs is not None:
        chosen = several_columns("inputs", inputs, known)
    else:
        free = [name for name in known if name not in roles and name not in (wanted or [])]
        chosen = [name for name in free if meant_as_numbers(columns.frame[name])]
    if not chosen:
        single = known[0] if len(known) == 1 else ""
        mark = next((name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if mark in single), None)
        hint = "no other column than those named here holds numbers: name the inputs"
        if mark:
            hint = f"its first line has {mark} between the names: use commas (or tabs in a .tsv)"
        raise refused(path, "a table with a column of numbers to put in", hint)
    return chosen, chosen if wanted is None else wanted


def sequences_of(columns: Columns, name: str | None, path: str) -> tuple[Array, Array]:
    """The index of each row's sequence, by first appearance, and the sequences' names."""
    import pandas as pd

    if (count := columns.sequences) is not None:
        if name is not None:
            hint = "each row of its arrays is a sequence already"
            raise InvalidValue("sequence", name, "null for arrays (sequences, steps)", hint)
        return np.repeat(np.arange(count), len(columns.frame) // count), np.arange(1, count + 1)
    if name is None:
        return np.zeros(len(columns.frame), np.int8), np.array(["all"])
    check_filled(columns, name, path)
    try:
        codes, found = pd.factorize(columns.frame[name])
    except TypeError:  # cells that are lists or records
        cell = show(str(columns.frame[name].iloc[0]))
        allowed = "a column of names or numbers, one in each cell"
        raise InvalidValue(
            "sequence", name, allowed, f"its first cell is {cell}; save what tells sequences apart"
        ) from None
    return np.asarray(codes), np.asarray(found)


def row_order(columns: Columns, codes: Array, labels: Array, time: str | None, path: str) -> Array | None:
    """Rows by sequence, and within each by time or else as in the file; None if that is their order already."""
    if time is None:
        return None if (codes[1:] >= codes[:-1]).all() else np.argsort(codes, kind="stable")
    moments = times_of(columns, time, path)
    order = np.lexsort((moments, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(moments[order]) == 0)
    if same.any():
        at = int(np.flatnonzero(same)[0])
        first, second = sorted((int(order[at]), int(order[at + 1])))
        within = f" of sequence {str(labels[codes[first]])!r}" if len(labels) > 1 else ""
        where = f"{columns.place(first)} and {columns.place(second)}{within} are both at {columns.frame[time][first]}"
        raise InvalidValue("time", time, "a column without repeated values within a sequence", where)
    return order

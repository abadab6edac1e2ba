"""What the columns of a user's table are for: inputs and targets, the sequence of each row, and its time."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue, show
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import refused
from rnnexp.tasks.table_cells import DATE, check_filled, meant_as_numbers, other_decimal, surrounded, times_of
from rnnexp.tasks.table_columns import Columns, few, one_column, several_columns, typed

#: Names of columns whose whole numbers tell things apart, or moments, and are no quantities.
IDS = re.compile(
    r"((.*[\s_.-])?(id|ids|idx|uuid|uid|code)|.*[a-z]I[dD]|index|.*no\.|.+[_ -]no|.*(번호|순번|연번|코드|아이디)"
    r"|shop|store|station|sensor|device|site|user|customer|patient|subject|item|product|machine|household|vehicle"
    r"|trial|episode|매장|점포|지점|측정소|센서|장비)",
    re.IGNORECASE,
)
TIMES = re.compile(
    r"time|timestamp|date|datetime|unixtime|epoch|일시|일자|날짜|시각|년월일?|.+일시|.+일자", re.IGNORECASE
)


PERIODS = re.compile(TIMES.pattern + "|year|month|week|day|연도|년도|월|주차", re.IGNORECASE)
#: Rows that are looked at to find out whether a file has several series.
MOST = 100_000


@dataclass
class Roles:
    """What each column is for; `left_out` says why, by name."""

    inputs: list[str]
    targets: list[str]
    sequence: str | None
    time: str | None
    left_out: dict[str, str]

    @property
    def used(self) -> list[str]:
        """Inputs and targets, each once."""
        return list(dict.fromkeys([*self.inputs, *self.targets]))


def choose(
    columns: Columns,
    path: str,
    *,
    inputs: Any,
    targets: Any,
    sequence: Any,
    time: Any,
    ignore: Any,
    horizon: int,
) -> Roles:
    """The role of every column, as far as it is not given: all numbers go in, also a target's own past.

    Raises
    ------
    InvalidValue
        If a setting names no such column, no column is left, or one of those that would go in looks like an id, a time,
        or numbers with text around them.
    """
    known = columns.names
    roles = [None if v is None else one_column(k, v, known) for k, v in (("sequence", sequence), ("time", time))]
    ignored = [] if ignore is None else several_columns("ignore", ignore, known)
    wanted = None if targets is None else several_columns("targets", targets, known)
    left_out = dict.fromkeys(ignored, "ignored")
    if inputs is not None:
        chosen = several_columns("inputs", inputs, known)
        left_out = {name: "not named" for name in known if name not in [*chosen, *(wanted or []), *roles]} | left_out
        for key, names in (("inputs", chosen), ("targets", wanted or [])):
            if both := [name for name in names if name in ignored]:
                raise InvalidValue("ignore", ignore, f"columns that {key} does not name", f"it names {both[0]!r}")
    else:
        # In the same row, a target among the inputs would be the answer.
        answers = wanted or [] if horizon == 0 else []
        free = [name for name in known if name not in [*roles, *ignored, *answers]]
        chosen = [name for name in free if name in (wanted or []) or meant_as_numbers(columns, name)]
        for name in free:
            if name not in chosen:
                left_out[name] = kind_of(columns, name, path)
        if not chosen:
            said = few([f"{name} ({why})" for name, why in left_out.items()], 6) or "none is left"
            hint = f"beside those named in the settings its columns are: {said}"
            raise refused(path, "a table with a column of numbers to put in", hint)
        if columns.sequences is None and roles == [None, None]:
            check_series(columns, left_out, [name for name in chosen if PERIODS.fullmatch(name)])
        check_quantities(columns, chosen, roles, keep=wanted or [])
    return Roles(chosen, chosen if wanted is None else wanted, roles[0], roles[1], left_out)


def kind_of(columns: Columns, name: str, path: str) -> str:
    """What a column that is not of numbers holds, in a word; refused if it was probably meant as numbers."""
    if (row := surrounded(columns, name)) is not None:
        where = f"column {name!r}, {columns.place(row)}: {show(str(columns.frame[name][row]))}"
        do = other_decimal(columns, name) or "; take off what is not a number"
        hint = f"{where}{do}, or leave the column out: {typed('ignore', [name])}"
        raise refused(path, "a table whose numbers stand alone in their cells", hint)
    cells = columns.frame[name].dropna()
    if not len(cells):
        return "empty"
    if columns.frame[name].dtype.kind in "mM":
        return "dates" if columns.frame[name].dtype.kind == "M" else "durations"
    if not isinstance(cells.iloc[0], str):
        return type(cells.iloc[0]).__name__
    some = [str(cell).strip() for cell in cells[:100]]
    if not all(DATE.fullmatch(cell) for cell in some):
        return "text"
    if len(some) > 2 and all(one > other for one, other in pairwise(some)):
        return f"dates, the latest first: {typed('time', [name], one=True)} sorts the rows"
    return "dates"


def check_series(columns: Columns, left_out: dict[str, str], periods: list[str]) -> None:
    """Ask about a column of text that seems to tell series apart: each of its values has every date only once."""
    for day in [*periods, *(name for name, why in left_out.items() if why == "dates")]:
        moments = columns.frame[day][:MOST]
        if not moments.duplicated().any():
            continue
        for name in (name for name, why in left_out.items() if why == "text"):
            cells = columns.frame[name][:MOST]
            if 2 * cells.nunique() <= len(cells) and not columns.frame[[day, name]][:MOST].duplicated().any():
                allowed = f"named here: the values of {day!r} occur again and again, once for each value of {name!r}"
                offers = f"{typed('sequence', [name], one=True)} tells the series apart; {typed('ignore', [name])} "
                raise InvalidValue("sequence", None, allowed, f"{offers}takes all rows as one")


def check_quantities(columns: Columns, chosen: list[str], roles: list[str | None], keep: list[str]) -> None:
    """Ask about columns that would go in and look like an id or a time; `roles` are those of sequence and time."""
    if len(chosen) == 1:
        return
    begins = None
    if roles[0] is not None:
        cells = columns.frame[roles[0]]
        begins = (cells != cells.shift()).to_numpy(bool)[1:]
    odd = {name: why for name in chosen if name not in keep and (why := no_quantity(columns.frame[name], name, begins))}
    if not odd:
        return
    first, why = next(iter(odd.items()))
    left = [name for name in odd if name != first] if len(odd) == len(chosen) else []  # something has to go in
    role = "time" if "row" in why or TIMES.fullmatch(first) else "sequence"
    offers = [f"{typed('ignore', [name for name in odd if name not in left])} leaves it out"]
    if roles[role == "time"] is None:
        use = "sorts the rows by it" if role == "time" else "tells series apart by it"
        offers.append(f"{typed(role, [first], one=True)} {use}")
    offers.append(f"{typed('inputs', chosen) if len(chosen) < 9 else 'task.inputs=[...]'} takes it as a quantity")
    also = f", and so do {few([name for name in odd if name != first], 5)}" if len(odd) > 1 else ""
    raise InvalidValue("inputs", None, f"named here: column {first!r} {why}{also}", "; ".join(offers))


def no_quantity(series: Any, name: str, begins: Array | None) -> str:
    """Why a column of numbers is probably no quantity; empty if it may be one.

    `begins` says of every row but the first whether a sequence begins there.
    """
    if series.dtype.kind not in "iuf" or len(series) < 3:
        return ""
    first = series.iloc[:3].to_numpy(np.float64, na_value=np.nan)
    if first[1] - first[0] == first[2] - first[1] > 0:
        steps = np.diff(series.to_numpy(np.float64, na_value=np.nan)) == first[1] - first[0]
        if (steps if begins is None else steps | begins).all():
            return "rises by the same amount in every row, like a row number or a time"
    for names, what in ((IDS, "an id"), (TIMES, "a time")):
        if names.fullmatch(name.strip()):
            values = series.to_numpy(np.float64, na_value=np.nan)
            values = values[~np.isnan(values)]
            if (values % 1 == 0).all():
                return f"looks like {what}: it holds whole numbers under such a name"
    return ""


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
        if len(labels) == 1:
            where += "; of several series in one file, task.sequence names the column that tells them apart"
        raise InvalidValue("time", time, "a column without repeated values within a sequence", where)
    return order

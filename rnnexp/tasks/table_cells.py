"""The cells of a column as numbers or dates, or the first that is none, by its place."""

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue, show
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import refused
from rnnexp.tasks.table_columns import Columns, typed

#: Squares of larger numbers would overflow.
LARGEST = 1e150
#: Signs of percentages and currencies, which may stand before or after a number.
UNITS = "%‰$€£¥₩￦₹₽₺฿元円원"
#: Full-width letters, as East Asian keyboards write them, and those meant.
WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
#: What parts thousands, besides the comma, or the point where the comma comes before a fraction.
GROUPS = " '\u2019\u00a0\u202f\u2009"
#: A cell without a value.
NOTHING = re.compile(r"[-\u2013\u2014.?*/\s]*|#?n/?a|nan|null|none|<na>", re.IGNORECASE)
DATE = re.compile(
    r"\d{1,4}\s*[-./년]\s*\d{1,2}\s*[-./월](\s*\d{1,4}.*)?|\d{8}(\d{4,6})?|\d{1,2}:\d{2}.*|\d{4}-?W?\d\d.*"
)
#: Dates that can mean one day only: with points the day comes first, unless the year does.
DAY_FIRST = re.compile(r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})")
YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<sign>[./])\s?(?P<month>\d{1,2})(?P=sign)\s?(?P<day>\d{1,2})\.?")
#: A number with a few other characters around it, such as "12 kg" or "(3.5)".
SURROUNDED = re.compile(r"[^\w\s]{0,2}\s*[-+\u2212]?(\d[\d.,]*)\s*[^\d]{0,5}")
#: Cells that decide whether a column of text is looked at as a whole.
SAMPLE = 200


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    Attributes
    ----------
    values : pandas Series or None
        The numbers; NaN in other cells. None if no cell holds one.
    count, filled : int
        Numbers, and cells that are not empty.
    wrong : int or None
        The first cell that is neither a number nor empty.
    written : str
        How the numbers are written; empty for plain ones.
    single : bool
        Whether commas occur as in 1,234 only, which may also be a fraction.
    """

    values: Any
    count: int
    filled: int
    wrong: int | None = None
    written: str = ""
    single: bool = False

    @property
    def meant(self) -> bool:
        """Whether at least half of the cells that are not empty are numbers; the others are then errors to report."""
        return self.count > 0 and 2 * self.count >= self.filled


@cache
def pattern(decimal: str) -> re.Pattern[str]:
    """A number as people write it, its sign, thousands, fraction, exponent and unit apart."""
    groups = re.escape(("," if decimal == "." else ".") + GROUPS)
    return re.compile(
        rf"(?P<before>[{UNITS}]?)\s*(?P<sign>[-+\u2212]?)\s*(?P<between>[{UNITS}]?)\s*"
        rf"(?P<whole>[1-9][0-9]{{0,2}}(?P<group>[{groups}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*|[0-9]*)"
        rf"(?P<fraction>{re.escape(decimal)}[0-9]*)?(?P<exponent>[eE][-+]?[0-9]+)?\s*(?P<after>[{UNITS}]?)"
    )


def number_of(cell: str, decimal: str = ".") -> tuple[float, str, str] | None:
    """The number in a cell, its unit, and how its thousands are parted; None if it holds no number."""
    found = pattern(decimal).fullmatch(cell.translate(WIDE).strip())
    if found is None:
        return None
    group, units = found["group"] or "", found["before"] + found["between"] + found["after"]
    whole, fraction = found["whole"].replace(group, "") if group else found["whole"], (found["fraction"] or "")[1:]
    if not (whole or fraction) or len(units) > 1:
        return None
    sign = "-" if found["sign"] in ("-", "\u2212") else ""
    value = float(f"{sign}{whole or 0}.{fraction or 0}{found['exponent'] or ''}")
    return value, units, group * (2 if found["whole"].count(group) > 1 else 1) if group else ""


def read_numbers(series: Any, decimal: str = ".") -> Numbers:
    """The cells of a column as numbers."""
    import pandas as pd

    types = pd.api.types
    if types.is_datetime64_any_dtype(series) or types.is_timedelta64_dtype(series) or types.is_complex_dtype(series):
        return Numbers(None, 0, len(series), 0)
    if types.is_numeric_dtype(series):
        return Numbers(series, len(series), len(series))
    cells = series.astype(object)
    try:
        values: Any = pd.to_numeric(cells, errors="coerce")
    except OverflowError:  # a whole number beyond float64
        values = pd.to_numeric(cells.map(within_float64), errors="coerce")
    except (TypeError, ValueError):  # cells that are lists, and the like
        return Numbers(None, 0, len(series), 0)
    plain = values.to_numpy(np.float64, **({} if isinstance(values.dtype, np.dtype) else {"na_value": np.nan})).copy()
    empty = series.isna().to_numpy().copy()
    left = np.flatnonzero(np.isnan(plain) & ~empty)
    if decimal != ".":  # a point stands between thousands
        points = cells.map(lambda cell: isinstance(cell, str) and "." in cell).to_numpy(bool)
        plain[points] = np.nan
        left = np.flatnonzero(np.isnan(plain) & ~empty)
    return _with_text(cells, plain, empty, left, decimal)


def _with_text(cells: Any, plain: Array, empty: Array, left: Array, decimal: str) -> Numbers:
    """The numbers of a column of which some cells, `left`, are not plain ones."""
    import pandas as pd

    units, groups, wrong, with_fraction = dict[str, list[int]](), set[str](), list[int](), False
    texts = cells.to_numpy()
    for done, row in enumerate(left.tolist()):
        cell = texts[row]
        found = number_of(cell, decimal) if isinstance(cell, str) else None
        if found is not None:
            plain[row] = found[0]
            units.setdefault(found[1], []).append(row)
            groups.add(found[2])
            with_fraction |= decimal in cell
        elif isinstance(cell, str) and NOTHING.fullmatch(cell):
            empty[row] = True
        else:
            wrong.append(row)
        if done == SAMPLE and len(wrong) > 0.9 * SAMPLE:  # a column of words
            wrong += left[done + 1 :].tolist()
            break
    count, filled = int(np.count_nonzero(~np.isnan(plain))), int(np.count_nonzero(~empty))
    marks = [unit for unit in units if unit]
    if len(marks) > 1 or marks in (["%"], ["‰"]):  # all cells have the sign, or none
        most = max(marks, key=lambda unit: len(units[unit]))
        others = np.flatnonzero(~np.isnan(plain))
        wrong += np.setdiff1d(others, units[most])[:1].tolist()
    apart = sorted({group[0] for group in groups if group})
    written = [f"with {mark}" for mark in marks] + [f"with {show(sign)} between thousands" for sign in apart]
    finite = plain[np.isfinite(plain)]
    whole = bool((finite % 1 == 0).all()) and not with_fraction
    single = groups >= {","} and ",," not in groups and whole
    return Numbers(pd.Series(plain), count, filled, min(wrong, default=None), ", ".join(written), single)


def within_float64(cell: Any) -> Any:
    """A whole number that float64 can't hold as infinity, anything else as it is."""
    return math.inf if isinstance(cell, int) and abs(cell) > 10**300 else cell


def meant_as_numbers(columns: Columns, name: str) -> bool:
    """Whether a column is one of numbers; if it is and all its cells are, it is kept as such."""
    found = read_numbers(columns.frame[name], columns.decimal)
    if found.meant and found.wrong is None and found.values is not columns.frame[name]:
        if columns.unsure and found.single:
            row = int(columns.frame[name].astype(str).str.contains(",").to_numpy().argmax())
            cell = show(str(columns.frame[name].iloc[row]))
            hint = f"column {name!r}, {columns.place(row)}: {cell} is a thousand and more with point, less with comma"
            raise InvalidValue("decimal", None, "point or comma for this file", hint)
        columns.frame[name] = found.values
        if found.written:
            columns.written[name] = found.written
    return found.meant


def surrounded(columns: Columns, name: str) -> int | None:
    """The first cell of a column of text whose cells look like numbers with something around them; else None."""
    cells = columns.frame[name].dropna()
    cells = cells[: 5 * SAMPLE]
    if not len(cells) or not all(isinstance(cell, str) for cell in cells):
        return None
    found = [SURROUNDED.fullmatch(cell.strip()) for cell in cells]
    like = [
        match is not None and not DATE.fullmatch(match[0]) and any(number_of(match[1], mark) for mark in ".,")
        for match in found
    ]
    return int(cells.index[like.index(True)]) if 2 * sum(like) >= len(like) else None


def check_filled(columns: Columns, name: str, path: str, *, fill: bool = False) -> None:
    """Refuse a column with missing values; `fill` if `task.missing` may help."""
    missing = np.flatnonzero(columns.frame[name].isna().to_numpy())
    if len(missing):
        more = f" ({len(missing)} are missing)" if len(missing) > 1 else ""
        help_ = "task.missing=interpolate fills such gaps, task.missing=drop cuts the series there, or " if fill else ""
        raise refused(
            path,
            "a table without missing values in the columns that are used",
            f"column {name!r}, {columns.place(int(missing[0]))}: no value{more}; {help_}drop such rows, or fill them, "
            "or leave the column out (empty, NA, nan, null and - count as missing)",
        )


def numbers_of(columns: Columns, name: str, path: str, key: str, given: Any, *, gaps: bool = False) -> Array:
    """A column as finite float64, not to be written into, or an error for the first cell that is not a number.

    `key` named the column. With `gaps`, missing values are NaN.
    """
    if not meant_as_numbers(columns, name) or columns.frame[name].dtype.kind not in "iufb":
        check_cells(columns, name, key, given)
    if not gaps:
        check_filled(columns, name, path, fill=key != "time")
    series = columns.frame[name]
    options = {} if isinstance(series.dtype, np.dtype) else {"na_value": np.nan}
    values: Array = series.to_numpy(np.float64, **options)
    if max(values.max(), -values.min()) < LARGEST:  # no NaN either
        return values
    large = np.flatnonzero(np.abs(values) >= LARGEST)
    if len(large):
        where = f"column {name!r}, {columns.place(int(large[0]))}: {values[large[0]]:g}"
        raise refused(path, f"a table of finite numbers below {LARGEST:g}", where)
    return values


def check_cells(columns: Columns, name: str, key: str, given: Any) -> None:
    """Refuse the first cell of a column that is not a number."""
    series = columns.frame[name]
    found = read_numbers(series, columns.decimal)
    if found.wrong is None:
        return
    cell = str(series.iloc[found.wrong])
    why = "is not a number" if number_of(cell, columns.decimal) is None else "is not written as the others"
    where = f"column {name!r}, {columns.place(found.wrong)}: {show(cell)} {why}{other_decimal(columns, name)}"
    allowed = "a table with a number in every cell of the columns used" if key == "path" else "columns of numbers"
    if key == "targets" and not found.meant:
        hint = (
            "task=table predicts numbers: write two classes as 0 and 1, or give a task of your own (guide/own/task.md)"
        )
        raise InvalidValue(key, given, allowed, f"{where}; {hint}")
    rest = f", or leave the column out: {typed('ignore', [name])}" if key == "path" else ", or leave the column out"
    raise InvalidValue(key, given, allowed, f"{where}; correct it{rest}")


def other_decimal(columns: Columns, name: str) -> str:
    """The setting with which all of a column would be numbers, in words; empty if none does it."""
    mark, setting = (",", "comma") if columns.decimal == "." else (".", "point")
    again = read_numbers(columns.frame[name], mark)
    return f"; task.decimal={setting} reads it" if again.meant and again.wrong is None else ""


def in_iso_order(cells: Any) -> Any:
    """Dates as 31.01.2026, or 2026.1.31 or 2026/01/31, in the order of ISO 8601; the first cell says which it is."""
    import pandas as pd

    texts = [str(cell).strip() for cell in cells]
    form = next((form for form in (DAY_FIRST, YEAR_FIRST) if form.match(texts[0])), None)
    if form is None:
        return cells
    found = [form.match(text) for text in texts]
    return pd.Series(
        f"{date['year']}-{date['month']:0>2}-{date['day']:0>2}{text[date.end() :]}" if date else None
        for text, date in zip(texts, found, strict=True)
    )


def times_of(columns: Columns, name: str, path: str) -> Array:
    """A column of numbers or dates as numbers to sort by."""
    import pandas as pd

    check_filled(columns, name, path)
    series = columns.frame[name]
    if pd.api.types.is_integer_dtype(series):
        return np.asarray(series.to_numpy())  # as floats, large ones would coincide
    if pd.api.types.is_timedelta64_dtype(series):
        return np.asarray(series.to_numpy().astype(np.int64))
    if meant_as_numbers(columns, name):
        return numbers_of(columns, name, path, "time", name)
    dates: Any = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=True)
    if dates.isna().any() and not pd.api.types.is_datetime64_any_dtype(series):
        dates = pd.to_datetime(in_iso_order(series), format="ISO8601", errors="coerce", utc=True)
    wrong = np.flatnonzero(dates.isna().to_numpy())
    if len(wrong):
        where = f"column {name!r}, {columns.place(int(wrong[0]))}: {show(str(series.iloc[int(wrong[0])]))}"
        allowed = "a column of numbers, or of dates as 2026-01-31 or 2026-01-31 12:00:00, also 2026.1.31 or 31.01.2026"
        raise InvalidValue("time", name, allowed, where)
    return np.asarray(dates.dt.tz_localize(None).to_numpy().astype(np.int64))

"""The cells of a column as numbers or dates, or the first that is none, by its place."""

import math
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue, show
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import refused
from rnnexp.tasks.table_columns import Columns

#: Squares of larger numbers would overflow.
LARGEST = 1e150


def as_numbers(series: Any) -> Any:
    """The values of a column as numbers, NaN where a cell holds none."""
    import pandas as pd

    types = pd.api.types
    if types.is_datetime64_any_dtype(series) or types.is_timedelta64_dtype(series) or types.is_complex_dtype(series):
        return pd.Series(np.full(len(series), np.nan))
    if types.is_numeric_dtype(series):
        return series
    try:
        return pd.to_numeric(series.astype(object), errors="coerce")
    except OverflowError:  # a whole number beyond float64
        return pd.to_numeric(series.map(within_float64), errors="coerce")
    except (TypeError, ValueError):  # cells that are lists, and the like
        return pd.Series(np.full(len(series), np.nan))


def within_float64(cell: Any) -> Any:
    """A whole number that float64 can't hold as infinity, anything else as it is."""
    return math.inf if isinstance(cell, int) and abs(cell) > 10**300 else cell


def meant_as_numbers(series: Any) -> bool:
    """Whether at least half of the non-empty cells are numbers; the others are then errors to report."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_complex_dtype(series):
        return True
    numbers = int(as_numbers(series).notna().sum())
    return numbers > 0 and 2 * numbers >= int(series.notna().sum())


def check_filled(columns: Columns, name: str, path: str) -> None:
    """Refuse a column with missing values."""
    missing = np.flatnonzero(columns.frame[name].isna().to_numpy())
    if len(missing):
        more = f" ({len(missing)} are missing)" if len(missing) > 1 else ""
        raise refused(
            path,
            "a table without missing values in the columns that are used",
            f"column {name!r}, {columns.place(int(missing[0]))}: no value{more}; drop such rows, or fill them, "
            "or leave the column out (empty, NA, nan and null count as missing)",
        )


def numbers_of(columns: Columns, name: str, path: str, key: str, given: Any) -> Array:
    """A column as finite float64, not to be written into, or an error for the first cell that is not a number.

    `key` named the column.
    """
    check_filled(columns, name, path)
    series = columns.frame[name]
    numbers = as_numbers(series)
    options = {} if isinstance(numbers.dtype, np.dtype) else {"na_value": np.nan}
    values: Array = numbers.to_numpy(np.float64, **options)
    if max(values.max(), -values.min()) < LARGEST:  # no NaN either
        return values
    text = np.flatnonzero(np.isnan(values))
    if len(text):
        cell = series.iloc[int(text[0])]
        where = f"column {name!r}, {columns.place(int(text[0]))}: {show(str(cell))} is not a number"
        allowed = "a table with a number in every cell of the columns used" if key == "path" else "columns of numbers"
        other = ", or name the inputs to leave the column out" if key == "path" else ", or leave the column out"
        raise InvalidValue(key, given, allowed, f"{where}; correct it{other}")
    large = np.flatnonzero(~(np.abs(values) < LARGEST))
    where = f"column {name!r}, {columns.place(int(large[0]))}: {values[large[0]]:g}"
    raise refused(path, f"a table of finite numbers below {LARGEST:g}", where)


def times_of(columns: Columns, name: str, path: str) -> Array:
    """A column of numbers or dates as numbers to sort by."""
    import pandas as pd

    check_filled(columns, name, path)
    series = columns.frame[name]
    if pd.api.types.is_integer_dtype(series):
        return np.asarray(series.to_numpy())  # as floats, large ones would coincide
    if pd.api.types.is_timedelta64_dtype(series):
        return np.asarray(series.to_numpy().astype(np.int64))
    if meant_as_numbers(series):
        return numbers_of(columns, name, path, "time", name)
    dates: Any = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=True)
    wrong = np.flatnonzero(dates.isna().to_numpy())
    if len(wrong):
        where = f"column {name!r}, {columns.place(int(wrong[0]))}: {show(str(series.iloc[int(wrong[0])]))}"
        raise InvalidValue("time", name, "a column of numbers, or of dates as 2026-01-31 or 2026-01-31 12:00:00", where)
    return np.asarray(dates.dt.tz_localize(None).to_numpy().astype(np.int64))

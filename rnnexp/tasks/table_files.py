"""The user's tables: CSV, TSV, Parquet and npz files as columns; every error names its location."""

import csv
import io
import math
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue, UserError, show
from rnnexp.npz import check_file, check_size
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import Opener, decoded, find, opener, read_npz, reason, refused

SEPARATORS = {".csv": ",", ".tsv": "\t"}
ALLOWED = "the name of a .csv, .tsv (also .csv.gz, .tsv.gz), .parquet or .npz file"
#: Squares of larger numbers would overflow.
LARGEST = 1e150
#: Rows of a Parquet file that are unpacked between checks of their size.
PARQUET_ROWS = 1000


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


def read_columns(path: Any, text_column: str | None = None) -> Columns:
    """The columns of a file; `text_column` is kept as text, so that 01 and 1 differ."""
    hint = "for example task.path=data.csv: its first line names the columns, each further line is a step"
    file = find(path, ALLOWED, hint)
    if file.is_dir():
        raise refused(path, ALLOWED, f"{file.name} is a folder")
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if kind not in SEPARATORS and suffixes[-1:] not in ([".parquet"], [".npz"]):
        raise refused(path, ALLOWED, "save the table as one of these, for example as CSV from a spreadsheet")
    if kind in SEPARATORS:
        return read_separated(file, path, SEPARATORS[kind], text_column)
    return read_parquet(file, path) if kind == ".parquet" else read_arrays(file, path)


def read_separated(file: Path, path: str, separator: str, text_column: str | None) -> Columns:
    """A CSV or TSV file, whose first line names the columns.

    It is read piece by piece: only what pandas makes of it is kept.
    """
    import pandas as pd

    opened, allowed = opener(file, path, ALLOWED), "a table in a UTF-8 text file"
    with opened() as stream:
        if not sum(len(text.strip()) for text in decoded(stream, path, allowed)):
            raise refused(path, allowed, "this file is empty")
    try:
        with closing(read_records(opened, separator)) as records:
            names = [name.strip() for name in next(records)[1]]
    except csv.Error as error:
        raise malformed(path, str(error)) from None
    check_names(path, names)
    try:
        with warnings.catch_warnings(), opened() as stream:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            frame: Any = pd.read_csv(
                stream,
                encoding="utf-8-sig",
                sep=separator,
                header=0,
                names=list(range(len(names))),
                index_col=False,
                skip_blank_lines=False,  # an empty line is a missing value
                skipinitialspace=True,
                dtype={names.index(text_column): str} if text_column in names else None,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        raise malformed(path, fault(opened, separator, len(names))) from None
    for name, column in frame.items():
        if column.dtype == object and pd.api.types.infer_dtype(column).startswith("mixed"):
            # Read in pieces of different types: as a whole, true and false would be text beside numbers.
            frame[name] = column.map(lambda cell: str(cell) if isinstance(cell, bool) else cell)
    return finish(frame[: filled_rows(frame)], names, path, lambda row: place_of(opened, separator, row))


def filled_rows(frame: Any) -> int:
    """The rows up to the last that has a value: without empty lines at the end."""
    rows = 0
    for name in frame:
        if rows < len(frame):
            filled = np.flatnonzero(frame[name].notna().to_numpy())
            rows = max(rows, int(filled[-1]) + 1 if len(filled) else 0)
    return rows


def malformed(path: str, why: str) -> InvalidValue:
    """The error for lines with different numbers of fields."""
    return refused(path, "a table with as many fields in every line as names in the first", why.strip())


def read_records(opened: Opener, separator: str) -> Generator[tuple[int, list[str]]]:
    """The line, from 1, on which each record begins, and its fields; quoted ones may hold line breaks."""
    with io.TextIOWrapper(opened(), "utf-8-sig", newline="") as text:
        reader, line = csv.reader(text, delimiter=separator, skipinitialspace=True), 0
        for record in reader:
            yield line + 1, record
            line = reader.line_num


def fault(opened: Opener, separator: str, count: int) -> str:
    """The first record with more than `count` fields, or else the quote that is never closed, in words."""
    line = 0
    try:
        for line, record in read_records(opened, separator):
            if len(record) > count:
                return f"line {line} has {len(record)} fields, the first line has {count}"
    except csv.Error as error:
        return f"after line {line}: {error}"
    return f"a quote on line {line} or later is never closed"  # its record is the last one


def place_of(opened: Opener, separator: str, row: int) -> str:
    """The line on which data row `row` begins."""
    try:
        return f"line {next(islice(read_records(opened, separator), row + 1, None))[0]}"
    except csv.Error:  # a field of more than 128 KB
        return f"row {row + 1}"


def read_parquet(file: Path, path: str) -> Columns:
    """A Parquet file; a named index counts as columns."""
    try:
        check_file(file)
        frame: Any = parquet_table(file).to_pandas(split_blocks=True, self_destruct=True)
    except ImportError:
        raise UserError(f"{file.name} needs the package pyarrow", "pip install pyarrow, or save it as CSV") from None
    except Exception as error:  # whatever the reader raises on a damaged file
        why = (reason(error).splitlines() or [""])[0]
        raise refused(path, "a readable Parquet file", f"{file.name}: {why}") from None
    if any(name is not None for name in frame.index.names):
        try:
            frame = frame.reset_index()
        except ValueError as error:
            raise refused(path, "a table whose columns have different names", str(error)) from None
    names = ["" if name is None else str(name).strip() for name in frame.columns]
    check_names(path, names)
    return finish(frame, names, path, lambda row: f"row {row + 1}")


def parquet_table(file: Path) -> Any:
    """The pyarrow table of a Parquet file; a few bytes can encode any number of rows, so the size is monitored."""
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        check_size(8 * opened.metadata.num_rows * opened.metadata.num_columns)
        if all(pyarrow.types.is_primitive(kind) for kind in opened.schema_arrow.types):
            return opened.read()
        batches, size = [], 0
        for batch in opened.iter_batches(PARQUET_ROWS):
            size += batch.nbytes
            check_size(size)
            batches.append(batch)
        return pyarrow.Table.from_batches(batches, opened.schema_arrow)


def read_arrays(file: Path, path: str) -> Columns:
    """An npz file: arrays of one axis are columns, arrays (N, T) or (N, T, D) are N sequences of T steps."""
    import pandas as pd

    allowed = "an .npz file whose arrays are all (rows,), or all (sequences, steps) or (sequences, steps, values)"
    arrays = read_npz(file, path, allowed)
    lead = {array.shape[:2] if array.ndim > 1 else array.shape for array in arrays.values()}
    if len(lead) != 1 or any(array.ndim not in (1, 2, 3) for array in arrays.values()):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise refused(path, allowed, f"its arrays are {shapes}" if shapes else "it holds no array")
    odd = next((name for name, array in arrays.items() if array.dtype.kind == "V"), None)
    if odd is not None:
        raise refused(path, allowed, f"{odd} is a structured array: save each field under a name of its own")
    unitless = next((name for name, array in arrays.items() if array.dtype in ("M8", "m8")), None)
    if unitless is not None:
        unit = f"{unitless} holds {arrays[unitless].dtype.name} without a unit: save it as numbers, or with astype"
        raise refused(path, allowed, f"{unit}('{arrays[unitless].dtype.name}[s]')")
    arrays = {name: native(array) for name, array in arrays.items()}
    (shape,) = lead
    if not all(array.size for array in arrays.values()):
        raise refused(path, "a table with rows", "its arrays are empty: it has no rows")
    columns: dict[str, Array] = {}
    for name, array in arrays.items():
        parts = {name: array}
        if array.ndim == 3:
            parts = {f"{name}.{index}": array[..., index] for index in range(array.shape[2])}
        both = next((part for part in parts if part in columns), None)
        if both is not None:
            raise refused(path, "a table whose columns have different names", f"{both!r} occurs twice")
        columns |= {part: values.reshape(-1) for part, values in parts.items()}
    names = list(columns)
    frame: Any = pd.DataFrame(dict(enumerate(columns.values())), copy=False)
    if len(shape) == 1:
        return finish(frame, names, path, lambda row: f"row {row + 1}")
    steps = shape[1]
    found = finish(frame, names, path, lambda row: f"sequence {row // steps + 1}, step {row % steps + 1}")
    return Columns(found.frame, found.place, shape[0])


def native(array: Array) -> Array:
    """The array in this machine's byte order, and no number wider than float64: pandas reads no others."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind != "f" or array.dtype.itemsize <= 8:
        return array
    with np.errstate(over="ignore"):  # infinity is refused where it stands
        return array.astype(np.float64)


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

"""The user's tables: CSV, TSV, Parquet and npz files as columns; every error names its location."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue, UserError
from rnnexp.npz import check_file, check_size
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import find, read_npz, reason, refused
from rnnexp.tasks.table_columns import Columns, check_names, finish
from rnnexp.tasks.table_text import Form, read_separated

#: Separators by the end of the name.
SUFFIXES = {".csv": ",", ".tsv": "\t"}
ALLOWED = "the name of a .csv, .tsv (also .csv.gz, .tsv.gz), .parquet or .npz file"
#: Rows of a Parquet file that are unpacked between checks of their size.
PARQUET_ROWS = 1000


def read_columns(path: Any, form: Form, text_column: str | None = None) -> Columns:
    """The columns of a file; `text_column` is kept as text, so that 01 and 1 differ."""
    hint = "for example task.path=data.csv: its first line names the columns, each further line is a step"
    file = find(path, ALLOWED, hint)
    if file.is_dir():
        raise refused(path, ALLOWED, f"{file.name} is a folder")
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if suffixes[-1:] in ([".parquet"], [".npz"]):
        for key in ("separator", "encoding", "header"):
            if getattr(form, key) is not None:
                raise InvalidValue(key, getattr(form, key), f"null for a {kind} file", "it is for tables as text")
        found = read_parquet(file, path) if kind == ".parquet" else read_arrays(file, path)
        return replace(found, decimal=form.decimal or ".")
    separator = form.separator or SUFFIXES.get(kind)
    if separator is None:
        hint = "save the table as one of these, for example as CSV from a spreadsheet"
        raise refused(path, ALLOWED, f"{hint}; a text file is read with its task.separator, as task.separator=tab")
    return read_separated(file, path, separator, form, text_column)


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

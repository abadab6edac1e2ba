"""The user's tables as text: CSV and TSV files; every error names its location."""

import csv
import io
import warnings
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue
from rnnexp.tasks.files import Opener, decoded, opener, refused
from rnnexp.tasks.table_columns import Columns, check_names, finish


def read_separated(file: Path, path: str, separator: str, text_column: str | None) -> Columns:
    """A CSV or TSV file, whose first line names the columns.

    It is read piece by piece: only what pandas makes of it is kept.
    """
    import pandas as pd

    allowed = "a table in a UTF-8 text file"
    opened = opener(file, path, allowed)
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

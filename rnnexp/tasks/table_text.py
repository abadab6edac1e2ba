"""The user's tables as text: CSV, TSV and the like; every error names its location."""

import csv
import io
import warnings
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnnexp.checks import InvalidValue, integer, show
from rnnexp.tasks.encodings import encoding_of, text_encoding
from rnnexp.tasks.files import Opener, decoded, opener, refused
from rnnexp.tasks.table_cells import DATE, number_of
from rnnexp.tasks.table_columns import Columns, check_names, finish

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " ", "pipe": "|"}
DECIMALS = {"point": ".", "comma": ","}
#: Records that are looked at where a header or a separator is in question.
LOOKED_AT = 50


@dataclass(frozen=True)
class Form:
    """How a table is written as text.

    Attributes
    ----------
    separator, decimal, encoding : str or None
        As given, in one form; None where nothing was.
    header : int or None
        The line that names the columns, from 1; 0 if none does.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: int | None = None


def form_of(separator: Any, decimal: Any, encoding: Any, header: Any) -> Form:
    """The form that settings give, checked."""
    given = SEPARATORS.get(separator, separator) if isinstance(separator, str) else separator
    given = "\t" if given == "\\t" else given
    if given is not None and (
        not isinstance(given, str) or len(given) != 1 or given.isalnum() or given in "\"'.\n\r\0"
    ):
        allowed = f"null, one of {', '.join(SEPARATORS)}, or another single sign"
        raise InvalidValue("separator", separator, allowed, "for example task.separator=semicolon")
    mark = DECIMALS.get(decimal, decimal) if isinstance(decimal, str) else decimal
    if mark not in (None, *DECIMALS.values()):
        raise InvalidValue("decimal", decimal, "null, point or comma", "for example task.decimal=comma, to read 3,5")
    if mark is not None and mark == given:
        raise InvalidValue("decimal", decimal, "another sign than the separator", "try task.separator=semicolon")
    if header is not None:
        hint = "for example task.header=0 for a file without names of columns, task.header=3 if line 3 has them"
        header = int(header) if isinstance(header, bool) else integer("header", header, at_least=0, hint=hint)
    return Form(given, mark, text_encoding(encoding), header)


@dataclass(frozen=True)
class TextRecords:
    """The records of a file of text, from that with the names on.

    Attributes
    ----------
    skipped : int
        TextRecords before them.
    """

    opened: Opener
    separator: str
    encoding: str
    skipped: int

    def text(self) -> io.TextIOWrapper:
        """The file from the first record on."""
        text = io.TextIOWrapper(self.opened(), self.encoding, newline="")
        for _ in range(self.skipped):
            text.readline()
        return text

    def records(self) -> Generator[tuple[int, list[str]]]:
        """The line, from 1, on which each record begins, and its fields; quoted ones may hold line breaks."""
        with self.text() as text:
            reader, line = csv.reader(text, delimiter=self.separator, skipinitialspace=True), self.skipped
            for record in reader:
                yield line + 1, record
                line = self.skipped + reader.line_num

    def head(self) -> list[tuple[int, list[str]]]:
        """The first of them; fewer if one can't be read."""
        found: list[tuple[int, list[str]]] = []
        try:
            with closing(self.records()) as records:
                found.extend(islice(records, LOOKED_AT))
        except csv.Error:
            pass
        return found


def read_separated(file: Path, path: str, separator: str, form: Form, text_column: str | None) -> Columns:
    """A table as text, with `separator` if the form names no other.

    It is read piece by piece: only what pandas makes of it is kept.
    """
    import pandas as pd

    allowed = "a table in a text file"
    opened = opener(file, path, allowed)
    with opened() as stream:
        if not sum(len(text.strip()) for text in decoded(stream, path, allowed, form.encoding)):
            raise refused(path, allowed, "this file is empty")
    with opened() as stream:
        encoding = encoding_of(stream.read(4), form.encoding)
    lines = TextRecords(opened, form.separator or separator, encoding, max(0, (form.header or 1) - 1))
    names = names_of(lines, path, form)
    plain = lines.skipped == 0 and encoding == "utf-8-sig"
    try:
        with warnings.catch_warnings(), opened() if plain else lines.text() as source:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            frame = read_csv(source, names, lines, form, text_column)
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        raise malformed(path, fault(lines, len(names))) from None
    for name, column in frame.items():
        if column.dtype == object and pd.api.types.infer_dtype(column).startswith("mixed"):
            # Read in pieces of different types: as a whole, true and false would be text beside numbers.
            frame[name] = column.map(lambda cell: str(cell) if isinstance(cell, bool) else cell)
    before = 0 if form.header == 0 else 1
    unsure = lines.separator == ";" and form.decimal is None
    return finish(
        frame[: filled_rows(frame)],
        names,
        path,
        lambda row: place_of(lines, row + before),
        decimal=form.decimal or ".",
        unsure=unsure,
    )


def read_csv(source: IO[Any], names: list[str], lines: TextRecords, form: Form, text_column: str | None) -> Any:
    """What pandas reads, its columns numbered."""
    import pandas as pd

    return pd.read_csv(
        source,
        encoding=lines.encoding,
        sep=lines.separator,
        decimal=form.decimal or ".",
        header=None if form.header == 0 else 0,
        names=list(range(len(names))),
        index_col=False,
        skip_blank_lines=False,  # an empty line is a missing value
        skipinitialspace=True,
        dtype={names.index(text_column): str} if text_column in names else None,
    )


def names_of(lines: TextRecords, path: str, form: Form) -> list[str]:
    """The names of the columns; refused if the first line is none of names, or other signs part its fields."""
    head = lines.head()
    if not head:
        try:
            with closing(lines.records()) as records:
                next(records)
        except csv.Error as error:
            raise malformed(path, str(error)) from None
        except StopIteration:
            raise InvalidValue("header", form.header, "a line of the file, from 1, or 0 for none") from None
    check_separator(lines, head, form)
    if form.header == 0:
        return [f"column_{index + 1}" for index in range(max(len(record) for _, record in head[:2]))]
    names = [name.strip().removeprefix("\ufeff") for name in head[0][1]]
    if not any(names) and (first := next((line for line, record in head if any(map(str.strip, record))), None)):
        hint = f"this line is empty: task.header={first} if line {first} names them"
        raise refused(path, "a table whose first line names the columns", hint)
    names = ["" if name.startswith("Unnamed: ") else name for name in names]  # as pandas calls those without
    if form.header is None and (cell := data_among(names, [record for _, record in head[1:]])):
        hint = (
            f"line 1 holds {show(cell)} where a name would stand: task.header=0 if it is a row (the columns are then "
        )
        hint += "column_1, column_2, ...), task.header=1 if it names the columns"
        raise InvalidValue("header", None, "0 or 1 for this file", hint)
    check_names(path, names)
    return names


def check_separator(lines: TextRecords, head: list[tuple[int, list[str]]], form: Form) -> None:
    """Refuse a file whose fields are parted by another sign."""
    line, first = head[0]
    declared = first[0].strip().lower() if 0 < len(first) < 3 else ""
    if declared.startswith("sep=") and form.header is None:
        with lines.text() as text:
            sign = text.readline().strip().strip('"')[4:5] or ","
        hint = f"line 1 names it: task.separator={word(sign)} task.header=2"
        raise InvalidValue("separator", form.separator, f"{word(sign)} for this file", hint)
    counts = [len(record) for _, record in head if record]
    if len(set(counts)) == 1 and counts[0] > 1:
        return
    for name, sign in SEPARATORS.items():
        if sign == lines.separator:
            continue
        other = TextRecords(lines.opened, sign, lines.encoding, lines.skipped).head()
        found = {len(record) for _, record in other if record}
        if len(found) == 1 and (count := found.pop()) > 1:
            cells = [cell for _, record in other[1:] for cell in record]
            if sign == " " and not all(number_of(cell) for cell in cells):
                continue  # words, or a date and a time of day
            hint = f"line {line} has {count} fields with {name}s between them: "
            hint += f"task.separator={name}"
            commas = sum(number_of(cell, ",") is not None and number_of(cell) is None for cell in cells)
            if form.decimal is None and commas and sign != ",":
                hint += " task.decimal=comma"
            raise InvalidValue("separator", form.separator, f"{name} for this file", hint)


def word(sign: str) -> str:
    """The name of a separator."""
    return next((name for name, known in SEPARATORS.items() if known == sign), f"'{sign}'")


def data_among(names: list[str], rows: list[list[str]]) -> str:
    """The first of the names that shows that they are a row of the table; empty if they seem to be names."""
    some = [name for name in names if name]
    if names[:1] == [""] and some == [str(index) for index in range(len(some))]:
        return ""  # as pandas numbers columns
    values = [name for name in some if number_of(name) or number_of(name, ",") or DATE.fullmatch(name)]
    if not values:
        return ""
    if len(values) == len(some):
        return values[0]
    fractions = [name for name in values if not name.isdigit()]
    if fractions:
        return fractions[0]
    again = any(
        name and name not in values and any(row[at].strip() == name for row in rows if len(row) > at)
        for at, name in enumerate(names)
    )
    return values[0] if again else ""


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


def fault(lines: TextRecords, count: int) -> str:
    """The first record with more than `count` fields, or else the quote that is never closed, in words."""
    line = 0
    try:
        for line, record in lines.records():
            if len(record) > count:
                return f"line {line} has {len(record)} fields, {first_line(lines)} has {count}{title(lines, count)}"
    except csv.Error as error:
        return f"after line {line}: {error}"
    return f"a quote on line {line} or later is never closed"  # its record is the last one


def first_line(lines: TextRecords) -> str:
    """The line of the names in words."""
    return f"line {lines.skipped + 1}" if lines.skipped else "the first line"


def title(lines: TextRecords, count: int) -> str:
    """What to do if the table begins below its first line; empty if it seems to begin there."""
    head = [(line, len(record)) for line, record in lines.head() if record]
    usual = Counter(fields for _, fields in head).most_common(1)[0][0]
    first = next(line for line, fields in head if fields == usual)
    if usual <= count:
        return ""
    return f": task.header={first} if line {first} names the columns"


def place_of(lines: TextRecords, record: int) -> str:
    """The line on which a record, from 0, begins."""
    try:
        return f"line {next(islice(lines.records(), record, None))[0]}"
    except csv.Error:  # a field of more than 128 KB
        return f"row {record}"

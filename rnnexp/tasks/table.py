"""The user's own sequences, from the columns of a file."""

from collections.abc import Collection
from functools import cached_property

import numpy as np
from numpy.random import Generator

from rnnexp import npz
from rnnexp.checks import InvalidValue, boolean, integer, number, one_of
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask
from rnnexp.tasks.files import digest, refused
from rnnexp.tasks.table_cells import numbers_of
from rnnexp.tasks.table_columns import Columns
from rnnexp.tasks.table_files import read_columns
from rnnexp.tasks.table_missing import MISSING, interpolate, without_gaps
from rnnexp.tasks.table_reading import Reading
from rnnexp.tasks.table_roles import Roles, choose, row_order, sequences_of
from rnnexp.tasks.table_split import MANY, Pieces, Split, along_time, by_sequences
from rnnexp.tasks.table_text import form_of

Names = Collection[str] | str | None


class Table(EpisodeTask):
    """Predict values of your own table, at every step, from the rows so far.

    One sequence, for the input column ``load``, itself the target, and horizon = 1::

        row      0    1    2    3    4
        load    3.0  3.5  4.1  3.9  3.2

        step     0    1    2    3
        input   3.0  3.5  4.1  3.9
        target  3.5  4.1  3.9  3.2

    A row is a step. Without a column `sequence` all rows form one sequence, which is split in three by position: for
    training, for evaluation, and the end for the test. With one, rows with the same value form a sequence; `split`
    says whether each of them is split so, or whole ones are held out. Each part of a sequence that is split is cut
    into consecutive pieces of `length` steps, the last one shorter; neither pieces nor targets cross the boundary of a
    part or of a sequence. Training sequences, or pieces, are drawn uniformly with replacement, and shorter ones are
    padded at the end. Every step is scored, by the squared error, averaged over the targets; with `normalize` in units
    of the standard deviation of the training part. The task is this project's own.

    Numbers are read as people write them: 1,234.5, 12 %, $5. All of a column must be written in one way; what is not a
    number is refused with its line.

    Parameters
    ----------
    path : str
        A file .csv, .tsv (also with .gz), .parquet or .npz, or with a `separator` any text file. Columns without a name
        are left out. Arrays (rows,) of an npz are columns; arrays (N, T) or (N, T, D) are N sequences of T steps, and
        their columns are called ``name``, or ``name.0``, ``name.1``, ...
    inputs : list of str, optional
        Input columns. Null: every column of numbers (or of true and false) that is not named elsewhere here, and the
        targets unless `horizon` is 0; refused if one of these looks like an id or a time.
    targets : list of str, optional
        Columns to predict. Null: the inputs.
    sequence : str, optional
        Column that identifies the sequence of each row.
    time : str, optional
        Column of numbers or dates (ISO 8601, or 31.01.2026) that the rows of a sequence are sorted by. Null: the
        file's order.
    ignore : list of str, optional
        Columns that are left out.
    horizon : int
        Number of rows from an input to its target, >= 0.
    length : int, optional
        Steps of the pieces that a sequence is cut into if it is split along time, >= 1. Null: each part is one piece.
    eval_fraction : float
        Share of the sequences, or of the rows of each, that is held out for evaluation, in (0, 1).
    test_fraction : float
        The same for the test, in [0, 1); 0 for none.
    split : {"time", "sequences"}, optional
        ``time``: the rows of each sequence are split, in order. ``sequences``: whole ones are held out, the last in
        order of first appearance. Null: ``time`` if a column tells fewer than ten sequences apart, all of them long
        enough to be split, ``sequences`` otherwise.
    normalize : bool
        Subtract from each column the mean of its training part and divide by the standard deviation there; columns
        that are constant there are only centred.
    missing : {"refuse", "drop", "interpolate"}
        Of rows without a value in a column that is used. ``drop`` leaves them out and cuts the sequence there, so that
        no piece crosses the gap. ``interpolate`` fills them on a line between the neighbouring rows of the same part
        (training, evaluation or test) of the same sequence, at its ends with the nearest; filled values are inputs and
        targets like others.
    separator, decimal, encoding : str, optional
        Of a text file: ``comma``, ``semicolon``, ``tab``, ``space``, ``pipe`` or another single sign (null: by the end
        of the name); ``point`` or ``comma`` before fractions (null: point); null is UTF-8, or what a byte order mark
        says.
    header : int, optional
        The line of a text file, from 1, that names the columns; 0 if none does: they are then ``column_1`` and so on.
        Null: the first, refused if it looks like a row.

    Attributes
    ----------
    means, stds : dict of str to float
        By column, so that a value in the file's unit is ``output * stds[name] + means[name]``.
    training, held_out, tested : Pieces
    whole : bool
        Whether all rows form one sequence.
    """

    input_kind = "values"
    target_kind = "values"
    scored = "every step"
    paper = "your own data"
    divisible = True

    def __init__(
        self,
        *,
        path: str | None = None,
        inputs: Names = None,
        targets: Names = None,
        sequence: str | None = None,
        time: str | None = None,
        ignore: Names = None,
        horizon: int = 1,
        length: int | None = 100,
        eval_fraction: float = 0.2,
        test_fraction: float = 0.2,
        split: str | None = None,
        normalize: bool = True,
        missing: str = "refuse",
        separator: str | None = None,
        decimal: str | None = None,
        encoding: str | None = None,
        header: int | None = None,
    ) -> None:
        self.horizon = integer("horizon", horizon, at_least=0)
        self.length = None if length is None else integer("length", length, at_least=1)
        self.eval_fraction = number("eval_fraction", eval_fraction, above=0, below=1)
        self.test_fraction = number("test_fraction", test_fraction, at_least=0, below=1)
        self.split = split if split is None else one_of("split", split, ("time", "sequences"))
        self.normalize, self.missing = boolean("normalize", normalize), one_of("missing", missing, MISSING)
        form = form_of(separator, decimal, encoding, header)
        self.path, self.sequence, self.time = path, sequence, time
        columns = read_columns(path, form, None if sequence is None else str(sequence))
        chosen = {"inputs": inputs, "targets": targets, "sequence": sequence, "time": time, "ignore": ignore}
        roles = choose(columns, path := str(path), **chosen, horizon=self.horizon)
        self.inputs, self.targets = self.input_names, self.output_names = roles.inputs, roles.targets
        self.input_size, self.output_size = len(self.inputs), len(self.targets)
        values = np.empty((len(columns.frame), len(roles.used)))
        for at, name in enumerate(roles.used):
            as_target = targets is not None and name in self.targets
            key, given = ("targets", targets) if as_target else ("inputs", inputs)
            named = ("path", path) if given is None else (key, given)
            values[:, at] = numbers_of(columns, name, path, *named, gaps=missing != "refuse")
        self._arrange(values, columns, roles, path)

    def _arrange(self, values: Array, columns: Columns, roles: Roles, path: str) -> None:
        """Put rows in order, split them, and scale the columns, in place."""
        codes, labels = sequences_of(columns, roles.sequence, path)
        order = row_order(columns, codes, labels, roles.time, path)
        reading, place = Reading(path, len(values), columns.unnamed, columns.written), columns.place
        self.whole = roles.sequence is None and columns.sequences is None
        by_column = columns.sequences is None
        columns.frame = None  # the values are there
        counts, edges = np.bincount(codes), np.zeros(0, np.int64)
        if self.missing == "drop":
            order, counts, labels, edges = without_gaps(values, order, codes, labels)
            if not len(order):
                raise refused(path, "a table with rows", "no row has a value in every column that is used")
        rows = len(values) if order is None else len(order)
        del codes
        split = self._split(counts, labels, path, by_column)
        cut = self.length if split.along_time else None
        self.training, self.held_out, self.tested = (split.pieces(part, edges, self.horizon, cut) for part in range(3))
        for part, pieces in enumerate((self.training, self.held_out, self.tested)):
            if len(split.spans[part]) and not len(pieces.starts):
                hint = "task.missing=interpolate fills the gaps, and a lower horizon needs shorter runs"
                allowed = f"a table with horizon + 1 = {self.horizon + 1} rows without a gap in every part"
                raise refused(path, allowed, hint)
        self._held_out = split.pieces(1, edges, self.horizon, None)
        self._check_padding(path)
        super().__init__(eval_sequences=len(self.held_out.starts))
        trained, filled = split.rows(0), dict[str, int]()
        self.means, self.stds = {}, {}
        for at, name in enumerate(roles.used):
            column = values[:, at].copy() if order is None else values[order, at]
            if self.missing == "interpolate" and (count := interpolate(column, split, name, path)):
                filled[name] = count
            self.means[name], std = scale_of(column[trained])
            reading.note_scale(name, std)
            self.stds[name] = std or 1.0
            if not self.normalize:
                self.means[name], self.stds[name] = 0.0, 1.0
            column -= self.means[name]
            column /= self.stds[name]
            if max(column.max(), -column.min()) > np.finfo(np.float32).max:
                large = int(np.argmax(np.abs(column) > np.finfo(np.float32).max))
                cell = column[large] * self.stds[name] + self.means[name]
                where = f"column {name!r}, {place(large if order is None else int(order[large]))}: {cell:g}"
                raise refused(path, "a table of numbers that float32 can hold, once they are normalized", where)
            values[:rows, at] = column
        values = values[:rows]
        self._inputs, self._targets = (
            beside([roles.used.index(name) for name in those], values) for those in (self.inputs, self.targets)
        )
        if self.horizon:
            self.fed_back = {
                self.inputs.index(name): index for index, name in enumerate(self.targets) if name in self.inputs
            }
        self.kept = values.nbytes
        more = {"edges": edges} if len(edges) else {}
        self.digest = digest(inputs=self._inputs, targets=self._targets, counts=counts, **more)
        self._training_mean = self._targets[trained].mean(axis=0)
        self.reading = reading.line(roles, split, self.horizon, dropped=reading.rows - rows, filled=filled)

    def _split(self, counts: Array, labels: Array, path: str, by_column: bool) -> Split:
        """The parts of the rows, series by series."""
        if self.whole and self.split == "sequences":
            allowed = "null or time, as all rows are one sequence"
            raise InvalidValue("split", self.split, allowed, "task.sequence names the column that tells several apart")
        few = by_column and len(counts) < MANY and counts.min() >= 3 * (self.horizon + 1)
        asked = self.split or ("time" if self.whole or few else "sequences")
        return (along_time if asked == "time" else by_sequences)(
            counts, labels, path, self.horizon + 1, self.eval_fraction, self.test_fraction
        )

    def _check_padding(self, path: str) -> None:
        """Refuse held-out sequences whose padding would take far more memory than the file."""
        for key, steps in (("eval_fraction", self.held_out.steps), ("test_fraction", self.tested.steps)):
            values = int(steps.max(initial=0)) * len(steps) * (self.input_size + self.output_size)
            if 8 * values > npz.LARGEST:
                most = f"{npz.LARGEST / 2**20:g} MiB"
                allowed = f"a table whose held-out sequences, padded to the longest, take up to {most}"
                hint = f"they are {len(steps)}, the longest has {steps.max()} steps; lower {key}, or cut long ones"
                raise refused(path, allowed, hint)

    @cached_property
    def baseline(self) -> Baseline:
        """The better, on the evaluation set, of the training mean and (if the targets are inputs) the last value."""
        held = self._batch(self.held_out, np.arange(len(self.held_out.starts)))
        wanted = held.targets[held.mask]
        guesses = {"the training mean": self._training_mean}
        if self.horizon and set(self.targets) <= set(self.inputs):
            last = held.inputs[held.mask]
            guesses["the last value again"] = last[:, [self.inputs.index(name) for name in self.targets]]
        losses = {name: float(np.square(wanted - guess).mean()) for name, guess in guesses.items()}
        best = min(losses, key=losses.__getitem__)
        return Baseline(losses[best], None, best, exact=False)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs (T, N, D) and targets (T, N, O), T the steps of the longest sequence drawn."""
        return self._batch(self.training, rng.integers(len(self.training.starts), size=batch_size))

    def evaluation(self, *, rng: Generator) -> Batch:
        """All held-out sequences, or pieces; nothing is drawn."""
        return self._batch(self.held_out, np.arange(len(self.held_out.starts)))

    def series(self, steps: int, *, rng: Generator) -> Array:
        """The inputs of a held-out sequence, or of the held-out part of one, drawn if there are several."""
        starts, lengths = self._held_out
        drawn = rng.integers(len(starts)) if len(starts) > 1 else 0
        first, stop = starts[drawn], starts[drawn] + lengths[drawn] + self.horizon
        return self._inputs[first : min(stop, first + steps)]

    def test(self, *, rng: Generator) -> Batch | None:
        """All sequences, or pieces, that are kept for the test; None if there are none."""
        count = len(self.tested.starts)
        return self._batch(self.tested, np.arange(count)) if count else None

    def _batch(self, pieces: Pieces, index: Array) -> Batch:
        starts, steps = pieces.starts[index], pieces.steps[index]
        step = np.arange(steps.max())[:, np.newaxis]
        mask = step < steps
        rows = np.where(mask, starts + step, 0)
        inputs, targets = self._inputs[rows], self._targets[np.where(mask, rows + self.horizon, 0)]
        inputs[~mask] = 0.0
        targets[~mask] = 0.0
        return Batch(inputs, targets, mask)


def beside(at: list[int], values: Array) -> Array:
    """Some columns; a view if they are next to each other."""
    first = at[0]
    if at == list(range(first, first + len(at))):
        return values[:, first : first + len(at)]
    return values.take(at, axis=1)


def scale_of(column: Array) -> tuple[float, float]:
    """Mean and standard deviation; the latter is 0 for a constant column, where it could be a rounding error."""
    if column.min() == column.max():
        return float(column[0]), 0.0
    return float(column.mean()), float(column.std())

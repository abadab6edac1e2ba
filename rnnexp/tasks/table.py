"""The user's own sequences, from the columns of a file."""

from collections.abc import Collection
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from rnnexp import npz
from rnnexp.checks import InvalidValue, boolean, integer, number
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask
from rnnexp.tasks.files import digest, refused
from rnnexp.tasks.table_cells import numbers_of
from rnnexp.tasks.table_files import read_columns
from rnnexp.tasks.table_roles import choose, one_column, row_order, sequences_of


class Pieces(NamedTuple):
    """Sequences as contiguous rows: the first row of each, and its steps."""

    starts: Array
    steps: Array


class Table(EpisodeTask):
    """Predict values of your own table, at every step, from the rows so far.

    One sequence, for the input column ``load``, itself the target, and horizon = 1::

        row      0    1    2    3    4
        load    3.0  3.5  4.1  3.9  3.2

        step     0    1    2    3
        input   3.0  3.5  4.1  3.9
        target  3.5  4.1  3.9  3.2

    A row is a step. With a column `sequence`, rows with the same value form a sequence, and the sequences, in order of
    first appearance, are split in three: for training, for evaluation, and the last ones for the test. Without one all
    rows form one sequence, which is split in three by position, in the same order; then each part is cut into
    consecutive pieces of `length` steps, the last one shorter; targets never cross a boundary between the parts.
    Training sequences, or pieces, are drawn uniformly with replacement, and shorter ones are padded at the end. Every
    step is scored, by the squared error, averaged over the targets; with `normalize` in units of the standard deviation
    of the training part. The task is this project's own.

    Parameters
    ----------
    path : str
        A file .csv, .tsv (UTF-8, also with .gz), .parquet or .npz. The first line of a CSV names the columns; columns
        without a name are left out. Arrays (rows,) of an npz are columns; arrays (N, T) or (N, T, D) are N sequences of
        T steps, and their columns are called ``name``, or ``name.0``, ``name.1``, ...
    inputs : list of str, optional
        Input columns. Null: every column of numbers (or of true and false) that is not named elsewhere here.
    targets : list of str, optional
        Columns to predict. Null: the inputs.
    sequence : str, optional
        Column that identifies the sequence of each row.
    time : str, optional
        Column of numbers or dates (ISO 8601) that the rows of a sequence are sorted by. Null: the file's order.
    horizon : int
        Number of rows from an input to its target, >= 0.
    length : int, optional
        Steps of the pieces that a single sequence is cut into, >= 1. Null: each part is one piece.
    eval_fraction : float
        Share of the sequences, or of the rows of a single one, that is held out for evaluation, in (0, 1).
    test_fraction : float
        The same for the test, in [0, 1); 0 for none.
    normalize : bool
        Subtract from each column the mean of its training part and divide by the standard deviation there; columns
        that are constant there are only centred.

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
        inputs: Collection[str] | str | None = None,
        targets: Collection[str] | str | None = None,
        sequence: str | None = None,
        time: str | None = None,
        horizon: int = 1,
        length: int | None = 100,
        eval_fraction: float = 0.2,
        test_fraction: float = 0.2,
        normalize: bool = True,
    ) -> None:
        self.horizon = integer("horizon", horizon, at_least=0)
        self.length = None if length is None else integer("length", length, at_least=1)
        self.eval_fraction = fraction = number("eval_fraction", eval_fraction, above=0, below=1)
        self.test_fraction = unseen = number("test_fraction", test_fraction, at_least=0, below=1)
        self.normalize = boolean("normalize", normalize)
        self.path, self.sequence, self.time = path, sequence, time
        columns = read_columns(path, None if sequence is None else str(sequence))
        path, known = str(path), list(columns.frame.columns)
        roles = {
            key: None if value is None else one_column(key, value, known)
            for key, value in (("sequence", sequence), ("time", time))
        }
        self.inputs, self.targets = choose(columns, path, inputs, targets, {name for name in roles.values() if name})
        self.input_names, self.output_names = self.inputs, self.targets
        self.input_size, self.output_size = len(self.inputs), len(self.targets)
        names = list(dict.fromkeys([*self.inputs, *self.targets]))
        values = np.empty((len(columns.frame), len(names)))
        for at, name in enumerate(names):
            key, given = ("inputs", inputs) if name in self.inputs else ("targets", targets)
            values[:, at] = numbers_of(columns, name, path, *(("path", path) if given is None else (key, given)))
        codes, labels = sequences_of(columns, roles["sequence"], path)
        order = row_order(columns, codes, labels, roles["time"], path)
        counts, place, sequences = np.bincount(codes), columns.place, columns.sequences
        del columns, codes
        self.whole = roles["sequence"] is None and sequences is None
        if self.whole:
            parts = self._split_rows(len(values), path, fraction, unseen)
        else:
            parts = self._split_sequences(counts, labels, path, fraction, unseen)
        self.training, self.held_out, self.tested = parts
        cut = int(self.held_out.starts[0])
        self._check_padding(path)
        super().__init__(eval_sequences=len(self.held_out.starts))
        self.means, self.stds = {}, {}
        for at, name in enumerate(names):
            column = values[:, at].copy() if order is None else values[order, at]
            self.means[name], self.stds[name] = scale_of(column[:cut]) if self.normalize else (0.0, 1.0)
            column -= self.means[name]
            column /= self.stds[name]
            if max(column.max(), -column.min()) > np.finfo(np.float32).max:
                large = int(np.argmax(np.abs(column) > np.finfo(np.float32).max))
                cell = column[large] * self.stds[name] + self.means[name]
                where = f"column {name!r}, {place(large if order is None else int(order[large]))}: {cell:g}"
                raise refused(path, "a table of numbers that float32 can hold, once they are normalized", where)
            values[:, at] = column
        self._inputs, self._targets = (
            beside([names.index(name) for name in those], values) for those in (self.inputs, self.targets)
        )
        if self.horizon:
            self.fed_back = {
                self.inputs.index(name): index for index, name in enumerate(self.targets) if name in self.inputs
            }
        self.kept = values.nbytes
        self.digest = digest(inputs=self._inputs, targets=self._targets, counts=counts)
        self._training_mean = self._targets[:cut].mean(axis=0)

    def _split_rows(self, rows: int, path: str, fraction: float, unseen: float) -> tuple[Pieces, Pieces, Pieces]:
        """The pieces of the parts of a single sequence."""
        least = self.horizon + 1
        needed = (3 if unseen else 2) * least
        if rows < needed:
            each = "to evaluate and to test" if unseen else "to evaluate"
            allowed = f"a table of at least {needed} rows (horizon + 1 to train on, as many {each})"
            raise refused(path, allowed, f"it has {rows}; give more rows, or lower horizon")
        end = rows - (max(least, round(unseen * rows)) if unseen else 0)
        cut = end - max(least, round(fraction * rows))
        if cut < least:
            key, value = max(("eval_fraction", fraction), ("test_fraction", unseen), key=lambda pair: pair[1])
            allowed = f"a number that leaves horizon + 1 = {least} of the {rows} rows to train on"
            raise InvalidValue(key, value, allowed, "try 0.2")
        return self._pieces(0, cut), self._pieces(cut, end), self._pieces(end, rows)

    def _pieces(self, start: int, stop: int) -> Pieces:
        """Rows from `start` up to `stop`, cut into pieces; the last `horizon` rows are targets only."""
        end = max(start, stop - self.horizon)
        starts = np.arange(start, end, self.length or max(1, end - start))
        return Pieces(starts, np.diff(starts, append=end))

    def _split_sequences(
        self, counts: Array, labels: Array, path: str, fraction: float, unseen: float
    ) -> tuple[Pieces, Pieces, Pieces]:
        """The sequences for training, evaluation and test."""
        if len(counts) < 2:
            allowed = "a table of at least 2 sequences, one of them to evaluate"
            hint = f"all rows belong to sequence {str(labels[0])!r}; leave sequence out to split them by position"
            raise refused(path, allowed, hint)
        if len(counts) == 2 and unseen:
            hint = "one is to train on, the other to evaluate"
            raise InvalidValue("test_fraction", unseen, "0 for a table of 2 sequences", hint)
        short = np.flatnonzero(counts <= self.horizon)
        if len(short):
            first, rows = str(labels[short[0]]), int(counts[short[0]])
            allowed = f"a table whose sequences have at least horizon + 1 = {self.horizon + 1} rows"
            more = f", and {len(short) - 1} others are too short as well" if len(short) > 1 else ""
            hint = f"sequence {first!r} has {rows}{more}; leave it out, or lower horizon"
            raise refused(path, allowed, hint)
        starts = np.cumsum(counts) - counts
        end = len(counts) - (min(max(1, round(unseen * len(counts))), len(counts) - 2) if unseen else 0)
        cut = end - min(max(1, round(fraction * len(counts))), end - 1)
        steps = counts - self.horizon
        parts = [Pieces(starts[a:b], steps[a:b]) for a, b in ((0, cut), (cut, end), (end, len(counts)))]
        return parts[0], parts[1], parts[2]

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
        """The inputs of a held-out sequence that is drawn, or of the whole held-out part of a single sequence."""
        starts, lengths = self.held_out
        if self.whole:
            first, stop = starts[0], starts[-1] + lengths[-1] + self.horizon
        else:
            drawn = rng.integers(len(starts))
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
    """Mean and standard deviation; the latter is 1 for a constant column, where it could be a rounding error."""
    if column.min() == column.max():
        return float(column[0]), 1.0
    return float(column.mean()), float(column.std())

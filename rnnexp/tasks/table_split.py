"""Rows of a table parted into training, evaluation and test, and into pieces that lie within a part and a series."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnexp.checks import InvalidValue
from rnnexp.tasks.base import Array
from rnnexp.tasks.files import refused

#: Series from which on whole ones are held out, if that is not said: of fewer, 20 % is hardly one.
MANY = 10
PARTS = ("train on", "evaluate", "test")


class Pieces(NamedTuple):
    """Sequences as contiguous rows: the first row of each, and its steps."""

    starts: Array
    steps: Array


@dataclass(frozen=True)
class Split:
    """How the rows of a table are parted; they lie series by series.

    Attributes
    ----------
    spans : three integer arrays (K, 2)
        Of training, evaluation and test: first row and end of what belongs together.
    along_time : bool
        Whether each series is parted, in order; otherwise whole ones are.
    """

    spans: tuple[Array, Array, Array]
    along_time: bool

    def pieces(self, part: int, edges: Array, horizon: int, length: int | None) -> Pieces:
        """The sequences of a part, cut at `edges` and after every `length` steps; the last rows are targets only."""
        first, last = self.runs(part, edges)
        steps = np.maximum(0, last - first - horizon)
        first, steps = first[steps > 0], steps[steps > 0]
        if length is None:
            return Pieces(first, steps)
        counts = -(-steps // length)
        at = length * (np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))
        return Pieces(np.repeat(first, counts) + at, np.minimum(length, np.repeat(steps, counts) - at))

    def runs(self, part: int, edges: Array) -> tuple[Array, Array]:
        """First row and end of each run of rows of a part that follow each other; at `edges` another one begins."""
        spans = self.spans[part]
        if not len(spans):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        bounds = np.unique(np.concatenate([edges, spans[:, 0], spans[:, 1]]))
        first, last = bounds[:-1], bounds[1:]
        span = np.searchsorted(spans[:, 0], first, side="right") - 1
        inside = (span >= 0) & (first < spans[span, 1])
        return first[inside], last[inside]

    def rows(self, part: int) -> slice | Array:
        """The rows of a part, as an index."""
        spans = self.spans[part]
        if len(spans) == 1 or (spans[1:, 0] == spans[:-1, 1]).all():
            return slice(int(spans[0, 0]), int(spans[-1, 1]))
        return np.concatenate([np.arange(start, stop) for start, stop in spans])


def along_time(
    counts: Array, labels: Array, path: str, least: int, eval_fraction: float, test_fraction: float
) -> Split:
    """Each series parted in order; every part has at least `least` rows of it."""
    needed = (3 if test_fraction else 2) * least
    each = "to evaluate and to test" if test_fraction else "to evaluate"
    if len(short := np.flatnonzero(counts < needed)):
        rows, whose = int(counts[short[0]]), "it has"
        if len(counts) > 1:
            others = f" ({len(short) - 1} more are too short)" if len(short) > 1 else ""
            whose = f"sequence {str(labels[short[0]])!r}{others} has"
        allowed = f"a table of at least {needed} rows (horizon + 1 to train on, as many {each})"
        raise refused(path, allowed, f"{whose} {rows}; give more rows, or lower horizon")
    tested = np.maximum(least, np.round(test_fraction * counts)) if test_fraction else np.zeros(len(counts))
    ends = counts - tested.astype(np.int64)
    cuts = ends - np.maximum(least, np.round(eval_fraction * counts)).astype(np.int64)
    if len(short := np.flatnonzero(cuts < least)):
        key, value = larger(eval_fraction, test_fraction)
        rows = int(counts[short[0]])
        allowed = f"a number that leaves horizon + 1 = {least} of the {rows} rows to train on"
        raise InvalidValue(key, value, allowed, "try 0.2")
    starts = np.cumsum(counts) - counts
    bounds = [starts, starts + cuts, starts + ends, starts + counts]
    spans = [np.stack([bounds[at], bounds[at + 1]], axis=1) for at in range(3)]
    return Split((spans[0], spans[1], spans[2] if test_fraction else spans[2][:0]), along_time=True)


def by_sequences(
    counts: Array, labels: Array, path: str, least: int, eval_fraction: float, test_fraction: float
) -> Split:
    """Whole series for training, evaluation and test, in order."""
    parted = "task.split=time holds out the end of each series"
    if len(counts) < 2:
        allowed = "a table of at least 2 sequences, one of them to evaluate"
        hint = f"all rows belong to sequence {str(labels[0])!r}; leave sequence out to split them by position"
        if counts[0] < 2 * least:
            hint = f"it has one, {str(labels[0])!r}, of {counts[0]} row{'s' if counts[0] > 1 else ''}; give more rows"
        raise refused(path, allowed, hint)
    if len(counts) == 2 and test_fraction:
        hint = f"one is to train on, the other to evaluate; {parted}"
        raise InvalidValue("test_fraction", test_fraction, "0 for a table of 2 sequences", hint)
    if len(short := np.flatnonzero(counts < least)):
        first, rows = str(labels[short[0]]), int(counts[short[0]])
        allowed = f"a table whose sequences have at least horizon + 1 = {least} rows"
        more = f", and {len(short) - 1} others are too short as well" if len(short) > 1 else ""
        raise refused(path, allowed, f"sequence {first!r} has {rows}{more}; leave it out, or lower horizon")
    ends = np.cumsum(counts)
    spans = np.stack([ends - counts, ends], axis=1)
    end = len(counts) - (min(max(1, round(test_fraction * len(counts))), len(counts) - 2) if test_fraction else 0)
    cut = end - min(max(1, round(eval_fraction * len(counts))), end - 1)
    return Split((spans[:cut], spans[cut:end], spans[end:]), along_time=False)


def larger(eval_fraction: float, test_fraction: float) -> tuple[str, float]:
    """The key of the larger one, and its value."""
    return max(("eval_fraction", eval_fraction), ("test_fraction", test_fraction), key=lambda pair: pair[1])

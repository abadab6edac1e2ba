"""Rows without a value: left out, which cuts the series, or filled within their part of it."""

from typing import NamedTuple

import numpy as np

from rnnexp.tasks.base import Array
from rnnexp.tasks.files import refused
from rnnexp.tasks.table_split import PARTS, Split

MISSING = ("refuse", "drop", "interpolate")


class Kept(NamedTuple):
    """Rows that have all values, series by series: their order, rows of each series, and where a run of rows begins."""

    order: Array
    counts: Array
    labels: Array
    edges: Array


def without_gaps(values: Array, order: Array | None, codes: Array, labels: Array) -> Kept:
    """The rows without NaN, and the cuts where others stood between them; series without any are left out."""
    every = np.arange(len(values)) if order is None else order
    whole = ~np.asarray(np.isnan(values).any(axis=1))[every]
    starts = np.flatnonzero(np.diff(np.flatnonzero(whole)) > 1) + 1
    kept = every[whole]
    counts = np.bincount(codes[kept], minlength=len(labels))
    return Kept(kept, counts[counts > 0], labels[counts > 0], starts)


def interpolate(column: Array, split: Split, name: str, path: str) -> int:
    """Fill NaN within each span of each part: on a line between neighbours, at an end by the nearest value.

    Returns
    -------
    int
        How many were filled.
    """
    gaps = np.flatnonzero(np.isnan(column))
    for part, spans in zip(PARTS, split.spans, strict=True):
        inside = np.searchsorted(spans[:, 0], gaps, side="right") - 1
        for at in np.unique(inside[inside >= 0]).tolist():
            piece = column[spans[at, 0] : spans[at, 1]]
            known = ~np.isnan(piece)
            if not known.any():
                what = f"column {name!r} has no value at all in the rows to {part}, of which there are {len(piece)}"
                raise refused(path, "a table with values to interpolate between", f"{what}: leave the column out")
            piece[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), piece[known])
    return len(gaps)

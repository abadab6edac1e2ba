"""How much of their streams runs have read: algorithms that update at unequal intervals do not read equally much."""

import math

import pandas as pd

from rnnexp.comparison.effects import Level, by_level, levels, show_level

#: Tasks whose updates read a fixed number of steps; episodes end where they end.
STREAMS = frozenset(("echo", "flip_flop", "influence_balancing", "mackey_glass", "sine", "text", "two_lag", "xor"))
#: Algorithms with an update after each stride; the windows of others vary, those of one's own are not known.
STRIDING = frozenset(("bptt", "rtrl", "snap", "uoro", "rflo"))
#: What says whose data these are, the first that differs, and what the steps read follow from.
WHOSE, FACTORS = ("algorithm", "bptt_length", "bptt_stride"), ("bptt_stride", "bptt_length", "steps", "batch_size")


def steps_read(table: pd.DataFrame) -> list[float]:
    """Steps of all sequences together that each run was to read, updates times stride times batch; NaN if unknown."""
    known = zip(levels(table, "task"), levels(table, "algorithm"), strict=True)
    rows = zip(*(levels(table, key) for key in FACTORS), strict=True)
    return [
        _read(*row) if task in STREAMS and algorithm in STRIDING else math.nan
        for (task, algorithm), row in zip(known, rows, strict=True)
    ]


def _read(stride: Level, length: Level, steps: Level, batch: Level) -> float:
    own = length if isinstance(stride, str) else stride
    factors = [factor for factor in (own, steps, batch) if not isinstance(factor, str)]
    return float(math.prod(factors)) if len(factors) == 3 else math.nan


def unequal_data(table: pd.DataFrame) -> str:
    """That runs of one task have not read equally much, in a sentence; empty if they have, or if it was asked for."""
    read = pd.Series(steps_read(table), index=table.index).dropna()
    runs = table.loc[read.index]
    least, most = read.min(), read.max()
    if not most > least or any(len(set(levels(runs, key))) > 1 for key in ("task", "steps", "batch_size")):
        return ""
    key = next(key for key in WHOSE if len(set(levels(runs, key))) > 1)
    ends = []
    for amount in (most, least):
        names = sorted(set(levels(runs[read == amount], key)), key=by_level)
        ends.append(f"{amount:,.0f} steps with {key}={','.join(map(show_level, names))}")
    return (
        f"Caution: these runs have not read equally much data, but {' and '.join(ends)}, since an update reads "
        "bptt_stride steps (of bptt, if not given, bptt_length). With one bptt_stride for all they would."
    )

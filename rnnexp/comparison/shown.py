"""What of very many runs is shown: curves spread over the settings, the best rows of a table, and their cells."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from rnnexp.comparison.effects import STATISTICS, Average, level, show_level
from rnnexp.pages import significant

#: Curves of runs that a figure has at most; they are all that is read.
MOST_CURVES = 50
#: Rows of a page's table: the best of the runs that count, and those that were left out.
MOST_ROWS, MOST_LEFT_OUT = 200, 50


class Curves(Mapping[str, pd.Series]):
    """Curves by run, each read when it is asked for."""

    def __init__(self, runs: Collection[str], read: Callable[[str], pd.Series]) -> None:
        self._runs, self._read = dict.fromkeys(runs), read

    def __getitem__(self, run: str) -> pd.Series:
        if run not in self._runs:
            raise KeyError(run)
        return self._read(run)

    def __contains__(self, run: object) -> bool:
        return run in self._runs

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)


def spread(values: pd.Series, settings: Sequence[object], metric: str) -> tuple[list[str], str]:
    """At most `MOST_CURVES` runs that stand for all, and a sentence that says which; empty if they are all.

    Parameters
    ----------
    values : Series
        The metric, by run.
    settings : sequence
        The setting of each run, whose runs differ in the seed only.
    """
    if len(values) <= MOST_CURVES:
        return list(values.index), ""
    ranked = list(values.sort_values(kind="stable").index)
    setting_of = dict(zip(values.index, settings, strict=True))
    members: dict[object, list[str]] = {}
    for run in ranked:
        members.setdefault(setting_of[run], []).append(run)
    if len(members) > MOST_CURVES:
        medians = {own[len(own) // 2] for own in members.values()}
        ordered = [run for run in ranked if run in medians]
        chosen = {ordered[place] for place in _evenly(len(ordered), MOST_CURVES)}
        some = f"{MOST_CURVES} of {len(members)} settings"
        which = f"the median ones of {some}, evenly from the lowest {metric} to the highest"
    else:
        each = MOST_CURVES // len(members)
        chosen = {own[place] for own in members.values() for place in _evenly(len(own), each)}
        which = f"{each} of each setting, evenly from its lowest {metric} to its highest"
        if each == 1:
            which = f"that with the median {metric} of each setting"
    runs = [run for run in values.index if run in chosen]
    return runs, f"{len(runs)} of {len(values)} runs are drawn: {which}."


def best_rows(values: pd.Series, *, largest: bool) -> tuple[list[int], str]:
    """The places of the rows that a table shows, the best and then some left out ones; a sentence if these are not all.

    Parameters
    ----------
    values : Series
        What the rows are ranked by; NaN for rows that were left out.
    """
    if len(values) <= MOST_ROWS:
        return list(range(len(values))), ""
    column = values.to_numpy(float)
    order = np.argsort(-column if largest else column, kind="stable")  # NaN at the end
    counted = int(np.isfinite(column).sum())
    best, others = order[: min(counted, MOST_ROWS)], order[counted:][:MOST_LEFT_OUT]
    more = f", then {len(others)} of the {len(values) - counted} without one" if len(others) else ""
    which = f"The {len(best)} with the {'largest' if largest else 'smallest'} value of {len(values)}{more}."
    return [int(place) for place in (*best, *others)], which


def averages(means: pd.DataFrame, average: Average) -> tuple[list[str], list[list[str]]]:
    """The head and the cells of a table of what `grouped` returns: the average, its interval, and how many runs."""
    keys = [str(name) for name in means.columns[: -len(STATISTICS)]]
    rows = []
    for row in means.to_dict("records"):
        known = row[average.low] == row[average.low]
        between = f"{significant(row[average.low])} to {significant(row[average.high])}" if known else ""
        cells = [str(row["n"]), significant(row[average.centre]), between, significant(row["best"])]
        rows.append([*(show_level(level(row[key])) for key in keys), *cells, str(row["left_out"] or "")])
    return [*keys, "n", average.centre, average.interval, "best", "left out"], rows


def _evenly(count: int, chosen: int) -> list[int]:
    """At most so many places among `count`, evenly apart: both ends, or the middle if it is one."""
    if chosen == 1:
        return [count // 2]
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, chosen))})

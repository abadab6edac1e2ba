"""What a comparison of many runs found: the best one, and what accounts for the differences. Without MLflow."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
import pandas as pd

from rnnexp.comparison.effects import (
    LOSS,
    NULL,
    SEED,
    Level,
    by_level,
    grouped,
    kinds_of_loss,
    larger_is_better,
    left_out,
    level_combinations,
    levels,
    metric_label,
    show_level,
    usable_values,
    without_runs,
)

#: Keys that are paired for interactions, those with the largest effect.
MOST_PAIRED = 8
#: An effect that shuffled runs show so often is not called one.
CHANCE = 0.05
#: Values of the key with fewer of them, up to which an interaction is looked for.
MOST_VALUES = 200
#: Values that a sentence lists.
MOST_NAMED = 5

#: The value of each run as a number, and the values by number.
Placed = tuple[np.ndarray, list[Any]]


def explained_variance(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """How much of the metric's variance lies between the means of a key's values: eta squared.

    Parameters
    ----------
    table : DataFrame
        As for `grouped`.
    keys : sequence of str
        Each is considered alone, ``seed`` too.
    metric : str
        Its logarithm is taken if every value is above 0.

    Returns
    -------
    DataFrame
        By key, the largest effect first: `values`, their number; `share`, the sum of squares between the values' means
        over the total one; `by_chance`, its mean if the runs were shuffled, (values - 1) / (runs - 1); `p`, how often
        shuffled runs have so large a share, by the F test; `best` and `worst`, the values with the best and the worst
        mean of the metric itself. `share` is NaN if it is meaningless: the metric is constant, or no two runs have the
        same value of the key.
    """
    return _ranked(table, [(key,) for key in dict.fromkeys(keys)], metric)


def interactions(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """How much of the variance the combinations of two keys' values account for beyond both keys' own effects.

    Returns
    -------
    DataFrame
        As of `explained_variance`, by pair, ``a x b``: `share`, the sum of squares between the means of the
        combinations less that of the additive model, over the total one. NaN too where each combination has one run,
        whose effect cannot be told from an interaction, and where both keys have more than `MOST_VALUES` values.
    """
    return _ranked(table, list(combinations(dict.fromkeys(keys), 2)), metric)


def _row(effect: tuple[str, ...], placed: Mapping[str, Placed], values: np.ndarray, metric: str) -> list[Any]:
    """The row of a key, or of the interaction of two; what is placed and `values` are of the runs that count."""
    scale = np.log(values) if len(values) and values.min() > 0 else values
    place, distinct = placed[effect[0]]
    if len(effect) == 2:
        second, others = placed[effect[1]]
        joint, place = np.unique(place * len(others) + second, return_inverse=True)
        distinct = [(distinct[code // len(others)], others[code % len(others)]) for code in joint]
    sizes = np.bincount(place, minlength=len(distinct))
    means, cells = (np.bincount(place, column, len(distinct)) / sizes for column in (values, scale))
    best, worst = (distinct[means.argmin()], distinct[means.argmax()]) if len(means) else ((NULL,) * len(effect),) * 2
    if larger_is_better(metric):
        best, worst = worst, best
    share, by_chance, p, runs = math.nan, math.nan, math.nan, len(values)
    if runs and values.min() != values.max() and 1 < len(means) < runs:
        total, within = ((scale - scale.mean()) ** 2).sum(), ((scale - cells[place]) ** 2).sum()
        # What is explained without this effect: nothing but the mean, or both keys' own effects.
        without, rank = _additive(cells, sizes, joint, len(others)) if len(effect) == 2 else (scale.mean(), 1)
        if (freedom := len(means) - rank) > 0:
            between = float((sizes * (cells - without) ** 2).sum())
            share, by_chance = between / float(total), freedom / (runs - 1)
            p = _as_large_by_chance(between, float(within), freedom, runs - len(means))
    return [" x ".join(effect), len(means), share, by_chance, p, best, worst]


def _additive(cells: np.ndarray, sizes: np.ndarray, joint: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """The additive model of two keys fitted to the means of their combinations, by least squares, and its rank.

    `joint` has the number of the combination, row times `width` plus column, in the table of all. The effects of the
    rows are eliminated from the normal equations (Searle 1971, Linear Models, chapter 7): that leaves as many as the
    key with fewer values has. Where these are more than `MOST_VALUES`, the rank is that of the cells: nothing is left.
    """
    rows, columns = np.unique(joint // width, return_inverse=True)[1], np.unique(joint % width, return_inverse=True)[1]
    if rows.max() < columns.max():
        rows, columns = columns, rows
    many, few = int(rows.max()) + 1, int(columns.max()) + 1
    if few > MOST_VALUES:
        return cells, len(cells)
    counts = np.zeros((many, few))
    counts[rows, columns] = sizes
    shares = counts / counts.sum(axis=1, keepdims=True)
    of_rows = np.bincount(rows, sizes * cells) / counts.sum(axis=1)
    reduced = np.diag(counts.sum(axis=0)) - counts.T @ shares
    sums = np.bincount(columns, sizes * cells) - counts.T @ of_rows
    effects, _, rank, _ = np.linalg.lstsq(reduced, sums, rcond=1e-10)
    return (of_rows - shares @ effects)[rows] + effects[columns], many + int(rank)


def _as_large_by_chance(between: float, within: float, freedom: int, left: int) -> float:
    """The probability of so large a sum of squares by the F test (Fisher 1925), as the beta distribution has it."""
    from scipy.special import betainc  # type: ignore[import-untyped]

    ratio = between / (between + within) if between + within > 0 else 0.0
    return float(1.0 - betainc(freedom / 2, left / 2, ratio))


def _ranked(table: pd.DataFrame, effects: Sequence[tuple[str, ...]], metric: str) -> pd.DataFrame:
    """The largest effect first, by what exceeds the share expected by chance."""
    counted = table[usable_values(table, metric).notna()]
    placed = {key: _placed(levels(counted, key)) for key in dict.fromkeys(chain(*effects))}
    values = usable_values(table, metric).dropna().to_numpy()
    rows = [_row(effect, placed, values, metric) for effect in effects]
    found = pd.DataFrame(rows, columns=["key", "values", "share", "by_chance", "p", "best", "worst"]).set_index("key")
    above = (found["share"] - found["by_chance"]).sort_values(ascending=False, kind="stable", na_position="last")
    return found.loc[above.index]


def _placed(column: Sequence[Level]) -> Placed:
    numbers: dict[Level, int] = {}
    places = [numbers.setdefault(value, len(numbers)) for value in column]
    return np.array(places, int), list(numbers)


def what_mattered(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """The keys, and pairs of them, whose share of the variance exceeds that of shuffled runs: single keys first."""
    single = explained_variance(table, keys, metric)
    pairs = interactions(table, [str(key) for key in single.index if key != SEED][:MOST_PAIRED], metric)
    both = pd.concat([single, pairs]) if len(pairs) else single
    return both[both["share"] > both["by_chance"]]


def findings(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> list[str]:
    """The results of a comparison, a sentence each: how many runs count, which is best, which key matters most."""
    values, name = usable_values(table, metric), metric_label(metric)
    counted = values.dropna()
    lost = left_out(table, metric)
    all_of_them = "The only run is included." if len(table) == 1 else f"All {len(table)} runs are included."
    sentences = [f"{lost}." if lost else all_of_them]
    if counted.empty:
        return [*sentences, f"No run that finished has a {name}: there is nothing to compare."]
    place = int((values if larger_is_better(metric) else -values).argmax())
    run = table.index[place]
    called = f"{table['name'].iloc[place]} ({run})" if "name" in table else str(run)
    extreme = "Largest" if larger_is_better(metric) else "Smallest"
    sentences.append(f"{extreme} {name}: {values.iloc[place]:.6g}, in {called}.")
    for key in keys:
        if key != SEED and (missing := without_runs(table, key, metric)):
            few = ", ".join(show_level(value) for value in missing[:MOST_NAMED])
            others = f" and {len(missing) - MOST_NAMED} others" if len(missing) > MOST_NAMED else ""
            sentences.append(f"All runs with {key}={few}{others} were left out.")
    if counted.min() == counted.max():
        return [*sentences, f"The {name} is the same in all of them."] if len(counted) > 1 else sentences
    sentences += _effects(table, [key for key in dict.fromkeys(keys) if key != SEED], metric, SEED in keys)
    tasks = sorted(set(levels(table[values.notna()], "task")), key=by_level)
    if len(tasks) > 1 and metric.endswith("/loss"):
        few = ", ".join(map(show_level, tasks[:MOST_NAMED])) + ", ..." * (len(tasks) > MOST_NAMED)
        others = "compare them task by task, or by final/eval/loss_over_baseline"
        sentences.append(f"Caution: these are {len(tasks)} tasks ({few}), whose losses do not mean the same: {others}.")
    elif len(kinds_of_loss(table, metric)) > 1:
        sentences.append("Caution: some losses are in nats and others are squared errors; compare them task by task.")
    return sentences


def _effects(table: pd.DataFrame, keys: Sequence[str], metric: str, seeds: bool) -> list[str]:
    """Which key mattered most, whether two interact, and whether the runs are too few to say it."""
    ranked = explained_variance(table, keys, metric)
    if ranked["share"].isna().all():
        return []
    found = what_mattered(table, keys, metric)
    counted = table[usable_values(table, metric).notna()]
    sentences = []
    for key, row in found[~found.index.isin(ranked.index)].head(1).iterrows():
        if row["p"] < CHANCE:
            ends = (dict(zip(str(key).split(" x "), row[end], strict=True)) for end in ("best", "worst"))
            best, worst = (", ".join(f"{one}={show_level(value)}" for one, value in end.items()) for end in ends)
            pair, shares = str(key).replace(" x ", " and "), f"{row['share']:.0%} of the variance"
            sentences.append(
                f"{pair} interact: beyond their own effects, their combinations account for {shares} "
                f"({row['by_chance']:.0%} if shuffled); the mean is best at {best}, worst at {worst}."
            )
    key, row = ranked.index[0], ranked.iloc[0]
    if not row["share"] > row["by_chance"]:
        aside = " other than the seed" if seeds else ""
        sentences.insert(0, f"No key{aside} accounts for more of the variance than expected by chance.")
    elif row["p"] < CHANCE:
        means = grouped(table, [str(key)], metric).set_index(str(key))["mean"]
        best, worst = (f"{key}={show_level(row[end])} ({means[row[end]]:.4g})" for end in ("best", "worst"))
        sentences.insert(
            0,
            f"{key} mattered most: its values account for {row['share']:.0%} of the variance ("
            f"{row['by_chance']:.0%} if shuffled); the mean is best at {best}, worst at {worst}.",
        )
    else:
        sentences.insert(
            0,
            f"{key} has the largest share of the variance, {row['share']:.0%}, but {row['p']:.0%} of all shuffles of "
            f"these {len(counted)} runs would give as much: they are too few to say that it mattered.",
        )
    if len(set(level_combinations(counted, keys))) == len(counted) > 1:
        sentences.append(
            "Each combination was run once: interactions and differences between seeds cannot be separated from these."
        )
    return sentences

"""What accounts for the differences between runs: the variance between the values of a key, and of two together."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from rnnexp.comparison.effects import (
    LOSS,
    NULL,
    SEED,
    Level,
    average_of,
    larger_is_better,
    levels,
    usable_values,
)

#: Keys that are paired for interactions, the first of those given.
MOST_PAIRED = 8
#: An effect that chance gives so often is not called one.
CHANCE = 0.05
#: Values of the key with fewer of them, up to which an interaction is looked for.
MOST_VALUES = 200

#: The value of each run as a number, and the values by number.
Placed = tuple[np.ndarray, list[Any]]
#: A sum of squares, and its degrees of freedom.
Noise = tuple[float, int]


def explained_variance(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """How much of the metric's variance lies between the means of a key's values: eta squared.

    Parameters
    ----------
    table : DataFrame
        As for `grouped`.
    keys : sequence of str
        Each is considered alone.
    metric : str
        Its logarithm is taken if every value is above 0.

    Returns
    -------
    DataFrame
        By key, the largest effect first: `values`, their number; `share`, the sum of squares between the values' means
        over the total one; `by_chance`, its mean if the runs were shuffled, (values - 1) / (runs - 1); `p`, how often
        chance gives so large a share, by the F test against the noise: the differences between runs that agree in all
        `keys`, if these were combined evenly and repeated, else all that the key does not explain; `best` and `worst`,
        the values with the best and the worst average of the metric itself, the median or the mean
        (`rnnexp.comparison.effects.average_of`); `keys`, a tuple. `share` is NaN if it is meaningless: the metric is
        constant, or no two runs have the same value of the key.
    """
    return _ranked(table, [(key,) for key in dict.fromkeys(keys)], keys, metric)


def interactions(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """How much of the variance the combinations of two keys' values account for beyond both keys' own effects.

    Returns
    -------
    DataFrame
        As of `explained_variance`, by pair, ``a x b``: `share`, the sum of squares between the means of the
        combinations less that of the additive model, over the total one. NaN too where each combination has one run,
        whose effect cannot be told from an interaction, and where both keys have more than `MOST_VALUES` values.
    """
    return _ranked(table, list(combinations(list(dict.fromkeys(keys))[:MOST_PAIRED], 2)), keys, metric)


def _row(
    effect: tuple[str, ...], placed: Mapping[str, Placed], values: np.ndarray, noise: Noise | None, metric: str
) -> list[Any]:
    """The row of a key, or of the interaction of two; what is placed and `values` are of the runs that count."""
    scale, average = _scaled(values), average_of(pd.Series(values), metric).centre
    place, distinct = placed[effect[0]]
    if len(effect) == 2:
        second, others = placed[effect[1]]
        joint, place = np.unique(place * len(others) + second, return_inverse=True)
        distinct = [(distinct[code // len(others)], others[code % len(others)]) for code in joint]
    sizes = np.bincount(place, minlength=len(distinct))
    cells = np.bincount(place, scale, len(distinct)) / sizes
    found = pd.Series(values).groupby(place).agg(average).to_numpy()
    best, worst = (distinct[found.argmin()], distinct[found.argmax()]) if len(found) else ((NULL,) * len(effect),) * 2
    if larger_is_better(metric):
        best, worst = worst, best
    share, by_chance, p, runs = math.nan, math.nan, math.nan, len(values)
    if runs and values.min() != values.max() and 1 < len(cells) < runs:
        total = float(((scale - scale.mean()) ** 2).sum())
        within, left = noise or (float(((scale - cells[place]) ** 2).sum()), runs - len(cells))
        # What is explained without this effect: nothing but the mean, or both keys' own effects.
        without, rank = _additive(cells, sizes, joint, len(others)) if len(effect) == 2 else (scale.mean(), 1)
        if (freedom := len(cells) - rank) > 0:
            between = float((sizes * (cells - without) ** 2).sum())
            share, by_chance = between / total, freedom / (runs - 1)
            p = _as_large_by_chance(between, within, freedom, left)
    return [" x ".join(effect), len(cells), share, by_chance, p, best, worst, effect]


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


def _scaled(values: np.ndarray) -> np.ndarray:
    return np.log(values) if len(values) and values.min() > 0 else values


def _noise_of(values: np.ndarray, placed: Sequence[Placed]) -> Noise | None:
    """That within the combinations of all keys, if these were repeated, and about equally often."""
    codes = np.array([place for place, _ in placed]).reshape(len(placed), len(values))
    _, cell, sizes = np.unique(codes, axis=1, return_inverse=True, return_counts=True)
    complete = len(sizes) == math.prod(len(distinct) for _, distinct in placed)
    if not complete or len(sizes) == len(values) or sizes.max() > 2 * sizes.min():
        return None
    scale = _scaled(values)
    means = np.bincount(cell, scale) / sizes
    return float(((scale - means[cell]) ** 2).sum()), len(values) - len(sizes)


def _ranked(table: pd.DataFrame, effects: Sequence[tuple[str, ...]], keys: Sequence[str], metric: str) -> pd.DataFrame:
    """The largest effect first, by what exceeds the share expected by chance."""
    counted = table[usable_values(table, metric).notna()]
    placed = {key: _placed(levels(counted, key)) for key in dict.fromkeys(keys)}
    values = usable_values(table, metric).dropna().to_numpy()
    noise = _noise_of(values, list(placed.values())) if len(values) and placed else None
    rows = [_row(effect, placed, values, noise, metric) for effect in effects]
    columns = ["key", "values", "share", "by_chance", "p", "best", "worst", "keys"]
    found = pd.DataFrame(rows, columns=columns).set_index("key")
    above = (found["share"] - found["by_chance"]).sort_values(ascending=False, kind="stable", na_position="last")
    return found.loc[above.index]


def _placed(column: Sequence[Level]) -> Placed:
    numbers: dict[Level, int] = {}
    places = [numbers.setdefault(value, len(numbers)) for value in column]
    return np.array(places, int), list(numbers)


def all_effects(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """The effects of single keys and then of pairs, the largest first of each; the seed is noise, and no key.

    `p` is multiplied by the number of effects that have one (Bonferroni), since the largest of many is looked for.
    """
    single = explained_variance(table, [key for key in keys if key != SEED], metric)
    pairs = interactions(table, [str(key) for key in single.index], metric)
    both = pd.concat([single, pairs]) if len(pairs) else single
    return both.assign(p=np.minimum(1.0, both["p"].astype(float) * both["p"].notna().sum()))


def what_mattered(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """Of `all_effects` those with a larger share of the variance than in shuffled runs, or clearly above the noise."""
    both = all_effects(table, keys, metric)
    return both[(both["share"] > both["by_chance"]) | (both["p"] < CHANCE)]

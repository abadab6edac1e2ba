"""Statistics that compare many runs: the best one, and what accounts for the differences. Without MLflow."""

import math
import numbers
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rnnexp.records import USABLE

LOSS, DECAY_RATE, DECAY_FIT = "final/eval/loss", "final/gradient/decay_rate", "final/gradient/decay_fit"
#: Column with a hash of all that determines a run's numbers: a repeated run counts once.
CONFIG = "config"
#: What is averaged over.
SEED = "seed"
NULL = "null"
#: Values that a sentence lists.
MOST_NAMED = 5
#: A value of a parameter: a number if it is one, else text.
Level = int | float | str


def level(value: Any) -> Level:
    """A parameter's value as a number if it is a finite one, else as text; `null` for a missing one."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NULL
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    if isinstance(value, numbers.Real) and math.isfinite(number := float(value)):
        return int(number) if number.is_integer() else number
    return str(value)


def levels(table: pd.DataFrame, key: str) -> list[Level]:
    """The `level` of each row; `null` throughout where the table has no such column."""
    return [level(value) for value in table[key]] if key in table else [NULL] * len(table)


def level_combinations(table: pd.DataFrame, keys: Sequence[str]) -> list[tuple[Level, ...]]:
    """The levels of the keys together, of each row."""
    return list(zip(*(levels(table, key) for key in keys), strict=True)) if keys else [()] * len(table)


def by_level(value: Level) -> tuple[int, float, str]:
    """For sorting: numbers, then words, then `null`."""
    if isinstance(value, str):
        return (2 if value == NULL else 1, 0.0, value)
    return (0, float(value), "")


def by_levels(found: Sequence[Level]) -> list[tuple[int, float, str]]:
    """The same for a combination."""
    return [by_level(value) for value in found]


def show_level(value: Level) -> str:
    """A value as one would write it."""
    return value if isinstance(value, str) else f"{value:.10g}"


def finished(table: pd.DataFrame) -> pd.Series:
    """Whether each run finished."""
    return table["status"].isin(USABLE) if "status" in table else pd.Series(True, index=table.index)


def repeated(table: pd.DataFrame) -> pd.Series:
    """Whether each run finished, and so did a later one with the same configuration, seed and data.

    Their numbers are the same to the bit: counting both would count one seed twice.
    """
    if CONFIG not in table:
        return pd.Series(False, index=table.index)
    known = table[finished(table) & table[CONFIG].fillna("").ne("")]
    return known.duplicated(CONFIG, keep="last").reindex(table.index, fill_value=False)


def usable_values(table: pd.DataFrame, metric: str) -> pd.Series:
    """The metric of the runs that finished; NaN for all others, repeated ones, and where it is not finite."""
    if metric not in table:
        return pd.Series(np.nan, index=table.index, dtype=float)
    values = pd.to_numeric(table[metric], errors="coerce").astype(float)
    return values.where(finished(table) & ~repeated(table) & np.isfinite(values))


def left_out(table: pd.DataFrame, metric: str) -> str:
    """How many runs are left out, and why; empty if none is."""
    missing = table[usable_values(table, metric).isna()]
    statuses = missing["status"] if "status" in missing else ["FINISHED"] * len(missing)
    why = Counter(
        "repeated later" if again else f"without {metric}" if status in USABLE else str(status)
        for status, again in zip(statuses, repeated(table)[missing.index], strict=True)
    )
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
    return f"{len(missing)} of {len(table)} runs left out: {listed}" if why else ""


def without_runs(table: pd.DataFrame, key: str, metric: str) -> list[Level]:
    """The values of a key all of whose runs are left out; none if that is so of every value."""
    column, counted = levels(table, key), usable_values(table, metric).notna()
    counting = {value for value, counts in zip(column, counted, strict=True) if counts}
    return sorted(set(column) - counting, key=by_level) if counting else []


def larger_is_better(metric: str) -> bool:
    """Whether the best run has the largest value, as of an accuracy, and not the smallest, as of a loss."""
    return metric.rpartition("/")[2] in ("accuracy", "solved")


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t; NaN where there are too few values."""
    # The package has no type hints of its own.
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    array = np.asarray(values, float)
    if len(array) < 2:
        return (float(array[0]) if len(array) else math.nan), math.nan
    quantile = float(stdtrit(len(array) - 1, 0.975))
    return float(array.mean()), quantile * float(array.std(ddof=1)) / math.sqrt(len(array))


def grouped(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> pd.DataFrame:
    """One row per combination of the keys' values, over all seeds.

    Parameters
    ----------
    table : DataFrame
        One row per run, with the columns `status`, `metric` and `keys`.
    keys : sequence of str
        What to compare by; ``seed`` is ignored.

    Returns
    -------
    DataFrame
        The keys (``null`` for a missing value); `n`, the runs that count; `mean`; `low` and `high`, the 95 % interval
        of the mean by Student's t over the runs, NaN for fewer than two; `best`, the smallest value, or the largest of
        an accuracy; `left_out`, the runs that did not finish or have no finite value.
    """
    keys = [key for key in dict.fromkeys(keys) if key != SEED]
    members: dict[tuple[Level, ...], list[int]] = {}
    for position, combination in enumerate(level_combinations(table, keys)):
        members.setdefault(combination, []).append(position)
    values = usable_values(table, metric).to_numpy()
    best = np.max if larger_is_better(metric) else np.min
    rows = []
    for combination in sorted(members, key=by_levels):
        every = values[members[combination]]
        counted = every[~np.isnan(every)]
        mean, half = interval(counted)
        smallest = float(best(counted)) if len(counted) else math.nan
        rows.append([*combination, len(counted), mean, mean - half, mean + half, smallest, len(every) - len(counted)])
    columns = [*keys, "n", "mean", "low", "high", "best", "left_out"]
    return pd.DataFrame(rows, columns=columns, dtype=object).infer_objects()


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
        over the total one; `by_chance`, its mean if the runs were shuffled, (values - 1) / (runs - 1); `best` and
        `worst`, the values with the best and the worst mean of the metric itself. `share` is NaN if it is meaningless:
        the metric is constant, or no two runs have the same value of the key.
    """
    counted = usable_values(table, metric).dropna()
    runs = table.loc[counted.index]
    scale = np.log(counted) if len(counted) and counted.min() > 0 else counted
    total = float(((scale - scale.mean()) ** 2).sum())
    constant = len(counted) == 0 or counted.min() == counted.max()
    rows = []
    for key in dict.fromkeys(keys):
        column = pd.Series(levels(runs, key), index=runs.index, dtype=object)
        groups = scale.groupby(column, sort=False)
        means = counted.groupby(column, sort=False).mean().sort_values(kind="stable")
        between = float((groups.size() * (groups.mean() - scale.mean()) ** 2).sum())
        ends = (means.index[0], means.index[-1]) if len(means) else (NULL, NULL)
        best, worst = ends[::-1] if larger_is_better(metric) else ends
        share, by_chance = math.nan, math.nan
        if not constant and 1 < len(means) < len(counted):
            share, by_chance = between / total, (len(means) - 1) / (len(counted) - 1)
        rows.append([key, len(means), share, by_chance, best, worst])
    found = pd.DataFrame(rows, columns=["key", "values", "share", "by_chance", "best", "worst"]).set_index("key")
    above = (found["share"] - found["by_chance"]).sort_values(ascending=False, kind="stable", na_position="last")
    return found.loc[above.index]


def metric_label(metric: str, unit: str = "") -> str:
    """A metric in words, with its unit."""
    name = "final evaluation loss" if metric == LOSS else metric
    return f"{name} ({unit})" if unit else name


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
    ranked = explained_variance(table, [key for key in keys if key != SEED], metric)
    above = ranked["share"] - ranked["by_chance"]
    if above.notna().any() and above.iloc[0] > 0:
        key, row = ranked.index[0], ranked.iloc[0]
        means = grouped(table, [str(key)], metric).set_index(str(key))["mean"]
        best, worst = (f"{key}={show_level(row[end])} ({means[row[end]]:.4g})" for end in ("best", "worst"))
        sentences.append(
            f"{key} mattered most: its values account for {row['share']:.0%} of the variance ("
            f"{row['by_chance']:.0%} if shuffled); the mean is best at {best}, worst at {worst}."
        )
    elif above.notna().any():
        aside = " other than the seed" if SEED in keys else ""
        sentences.append(f"No key{aside} accounts for more of the variance than expected by chance.")
    if len(kinds_of_loss(table, metric)) > 1:
        sentences.append("Caution: some losses are in nats and others are squared errors; compare them task by task.")
    return sentences


def kinds_of_loss(table: pd.DataFrame, metric: str) -> set[str]:
    """The units of a loss among the runs that count, as far as their other metrics show them."""
    if not metric.endswith("/loss"):
        return set()
    counted = usable_values(table, metric).notna()
    units = {"final/eval/accuracy": "nats per scored step", "final/eval/absolute_error": "squared error"}
    return {unit for name, unit in units.items() if name in table and table[name][counted].notna().any()}


def unit_of(table: pd.DataFrame, metric: str) -> str:
    """The unit of a loss, inferred from the other metrics; empty if that is not possible."""
    kinds = kinds_of_loss(table, metric)
    return kinds.pop() if len(kinds) == 1 else ""

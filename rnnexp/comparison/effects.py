"""Many runs as a table: their values, which of them count, and means over the seeds. Without MLflow."""

import math
import numbers
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rnnexp.records import USABLE

LOSS, DECAY_RATE, DECAY_FIT = "final/eval/loss", "final/gradient/decay_rate", "final/gradient/decay_fit"
ALIGNMENT = "final/gradient/alignment"
#: Column with a hash of all that determines a run's numbers: a repeated run counts once.
CONFIG = "config"
#: What is averaged over.
SEED = "seed"
NULL = "null"
#: Columns of `grouped` after the keys.
STATISTICS = ("n", "mean", "low", "high", "median", "lower", "upper", "best", "left_out")
#: Runs from which on there is an interval.
FEWEST = 3
#: Losses spread widely if the largest is so many times the smallest.
DECADE = 10
#: Metrics of the gradient of which a smaller value is better; so it is of losses and what else evaluations give.
GRADED = ("best_eval_loss", "solved_at_step", "alignment_error", "variance")
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
    if key not in table:
        return [NULL] * len(table)
    column = table[key]
    if column.dtype == object:  # which may hold 1 and True
        return [level(value) for value in column]
    places, distinct = pd.factorize(column)
    known = [*map(level, distinct), NULL]  # missing values have the place -1
    return [known[place] for place in places]


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
    parts = metric.split("/")
    return parts[-1] in ("accuracy", "solved", "alignment", "snr") or "bias_cosine" in parts


def ends_of(metric: str) -> tuple[str, str]:
    """What the two ends of a metric are called: of one such as a decay rate, neither is better."""
    parts = metric.split("/")
    graded = larger_is_better(metric) or {"loss", "eval", "test", "bias"} & {*parts} or parts[-1] in GRADED
    return ("best", "worst") if graded else ("smallest", "largest")


@dataclass(frozen=True)
class Average:
    """Which average of a setting's runs is shown, its interval (columns of `grouped`), and both in words."""

    centre: str
    low: str
    high: str
    interval: str
    in_words: str


MEAN = Average("mean", "low", "high", "95 % interval", "mean, and its 95 % confidence interval by Student's t")
MEDIAN = Average(
    "median", "lower", "upper", "middle half", "median, and the quartiles, between which half the runs lie"
)


def average_of(values: pd.Series, metric: str) -> Average:
    """The median where losses spread over more than a decade, else the mean.

    Such losses come as clusters, of runs that learnt and of runs that did not, and hardly a run is near their mean.
    """
    above = values[values > 0]
    spread = len(above) > 1 and not larger_is_better(metric) and not (values < 0).any()
    return MEDIAN if spread and above.max() / above.min() > DECADE else MEAN


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
        of the mean by Student's t over the runs; `median`; `lower` and `upper`, the quartiles; `best`, the smallest
        value, or the largest of an accuracy; `left_out`, the runs that did not finish or have no finite value. Of
        fewer than three runs there is no interval and there are no quartiles: they are NaN.
    """
    keys = [key for key in dict.fromkeys(keys) if key != SEED]
    members: dict[tuple[Level, ...], list[int]] = {}
    for position, combination in enumerate(level_combinations(table, keys)):
        members.setdefault(combination, []).append(position)
    values, largest = usable_values(table, metric).to_numpy(), larger_is_better(metric)
    rows = []
    for combination in sorted(members, key=by_levels):
        every = values[members[combination]]
        counted = every[~np.isnan(every)]
        rows.append([*combination, len(counted), *_statistics(counted, largest), len(every) - len(counted)])
    return pd.DataFrame(rows, columns=[*keys, *STATISTICS], dtype=object).infer_objects()


def _statistics(values: np.ndarray, largest: bool) -> list[float]:
    """What `STATISTICS` lists between the two counts; NaN where there are too few values."""
    # The package has no type hints of its own.
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    if not len(values):
        return [math.nan] * (len(STATISTICS) - 2)
    mean, median, half, quartiles = float(values.mean()), float(np.median(values)), math.nan, [math.nan, math.nan]
    if len(values) >= FEWEST:
        half = float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(len(values))
        quartiles = [float(one) for one in np.quantile(values, (0.25, 0.75))]
    best = float(values.max() if largest else values.min())
    return [mean, mean - half, mean + half, median, *quartiles, best]


def metric_label(metric: str, unit: str = "") -> str:
    """A metric in words, with its unit."""
    name = "final evaluation loss" if metric == LOSS else metric
    return f"{name} ({unit})" if unit else name


def kinds_of_loss(table: pd.DataFrame, metric: str) -> set[str]:
    """The units of a loss among the runs that count, as far as their other metrics show them."""
    if not metric.endswith("/loss"):
        return set()
    counted = usable_values(table, metric).notna()
    units = {"final/eval/accuracy": "nats per scored step", "final/eval/mean_absolute_error": "squared error"}
    return {unit for name, unit in units.items() if name in table and table[name][counted].notna().any()}


def unit_of(table: pd.DataFrame, metric: str) -> str:
    """The unit of a loss, inferred from the other metrics; empty if that is not possible."""
    kinds = kinds_of_loss(table, metric)
    return kinds.pop() if len(kinds) == 1 else ""

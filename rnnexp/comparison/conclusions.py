"""What a comparison of many runs found, a sentence each, with the number of seeds behind each claim. Without MLflow."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rnnexp.comparison.data_read import unequal_data
from rnnexp.comparison.effects import (
    FEWEST,
    LOSS,
    SEED,
    Average,
    Level,
    average_of,
    by_level,
    ends_of,
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
from rnnexp.comparison.influence import CHANCE, all_effects
from rnnexp.pages import significant

#: Values that a sentence lists, and pairs of keys that are said to interact.
MOST_NAMED, MOST_PAIRS = 5, 3


def findings(table: pd.DataFrame, keys: Sequence[str], metric: str = LOSS) -> list[str]:
    """Which runs count, which setting and which run are best, which keys mattered, and which of them act together."""
    values, name = usable_values(table, metric), metric_label(metric)
    counted = values.dropna()
    lost = left_out(table, metric)
    all_of_them = (
        "The only run is included: there is no other to compare it with."
        if len(table) == 1
        else f"All {len(table)} runs are included."
    )
    sentences = [f"{lost}." if lost else all_of_them]
    if counted.empty:
        return [*sentences, f"No run that finished has a {name}: there is nothing to compare."]
    average = average_of(counted, metric)
    keys = [key for key in dict.fromkeys(keys) if key != SEED]
    if len(counted) > 1 and counted.min() != counted.max():
        sentences.append(_best_setting(table.loc[counted.index], keys, metric, average))
    place = int((values if larger_is_better(metric) else -values).argmax())
    called = str(table["name"].iloc[place] if "name" in table else table.index[place])
    setting = {key: levels(table, key)[place] for key in [*keys, *([SEED] if SEED in table else [])]}
    if "=" not in called and 0 < len(setting) <= MOST_NAMED:  # MLflow has the jobs of a sweep by their values alone
        called += f" ({_written(setting)})"
    extreme = "Largest" if larger_is_better(metric) else "Smallest"
    sentences.append(f"{extreme} {name} of a single run: {significant(values.iloc[place])}, in {called}.")
    for key in keys:
        if missing := without_runs(table, key, metric):
            few = ", ".join(show_level(value) for value in missing[:MOST_NAMED])
            others = f" and {len(missing) - MOST_NAMED} others" if len(missing) > MOST_NAMED else ""
            sentences.append(f"All runs with {key}={few}{others} were left out.")
    if counted.min() == counted.max():
        return [*sentences, f"The {name} is the same in all of them."] if len(counted) > 1 else sentences
    sentences += _effects(table.loc[counted.index], keys, metric, average)
    if caution := unequal_data(table.loc[counted.index]):
        sentences.append(caution)
    tasks = sorted(set(levels(table[values.notna()], "task")), key=by_level)
    if len(tasks) > 1 and metric.endswith("/loss"):
        few = ", ".join(map(show_level, tasks[:MOST_NAMED])) + ", ..." * (len(tasks) > MOST_NAMED)
        others = "compare them task by task, or by final/eval/loss_over_baseline"
        sentences.append(f"Caution: these are {len(tasks)} tasks ({few}), whose losses do not mean the same: {others}.")
    elif len(kinds_of_loss(table, metric)) > 1:
        sentences.append("Caution: some losses are in nats and others are squared errors; compare them task by task.")
    return sentences


def behind(runs: pd.DataFrame) -> str:
    """The number of seeds, or of runs where they differ in more than the seed."""
    seeds = len(set(levels(runs, SEED)))
    of_them = "one seed" if seeds == 1 else f"{seeds} seeds"
    return of_them if seeds == len(runs) else f"{len(runs)} runs with {of_them}"


def _written(setting: Mapping[str, Level]) -> str:
    return ", ".join(f"{key}={show_level(value)}" for key, value in setting.items())


def _best_setting(counted: pd.DataFrame, keys: Sequence[str], metric: str, average: Average) -> str:
    """The setting with the best average, and whether the next is worse by more than its seeds differ."""
    name, which = metric_label(metric), level_combinations(counted, keys)
    means = grouped(counted, keys, metric).sort_values(
        average.centre, ascending=not larger_is_better(metric), kind="stable"
    )
    if len(means) == 1:
        row = means.iloc[0]
        ends = f", {average.interval} {significant(row[average.low])} to {significant(row[average.high])}"
        shown = f"{average.centre} {significant(row[average.centre])}{ends if row['n'] >= FEWEST else ''}"
        return f"The {name} over {behind(counted)}: {shown}."
    members = []
    for place in (0, 1):
        setting = tuple(levels(means, key)[place] for key in keys)
        members.append((setting, counted[[own == setting for own in which]]))
    (best, runs), (second, others) = members
    values = [significant(value) for value in means[average.centre].iloc[:2]]
    what = f"{average.centre} {name}" if len(runs) > 1 else name
    end = ends_of(metric)[0]
    opening = "Best setting" if end == "best" else f"Setting with the {end} value"
    shown = f"with a {what} of {values[0]} ({behind(runs)})"
    first = f"{opening}: {_written(dict(zip(keys, best, strict=True)))}, {shown}"
    then = f"next is {_written(dict(zip(keys, second, strict=True)))} with {values[1]} ({behind(others)})"
    if min(len(runs), len(others)) < 2:
        return f"{first}; {then}. With one seed of a setting, this need not be so with other seeds."
    scaled = [usable_values(own, metric).to_numpy() for own in (runs, others)]
    logarithms = usable_values(counted, metric).min() > 0
    p = welch(*map(np.log, scaled)) if logarithms else welch(*scaled)
    test = f"Welch's t test{' of the logarithms' if logarithms else ''}, {written_p(p)}"
    told = f"; the difference is {'larger than' if p < CHANCE else 'within'} the noise ({test})"
    return f"{first}; {then}{told if math.isfinite(p) else ''}."


def welch(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of Welch's t test (1947) of two means with unequal variances; NaN where neither sample varies."""
    from scipy.special import stdtr  # type: ignore[import-untyped]

    errors = [sample.var(ddof=1) / len(sample) for sample in (first, second)]
    if not sum(errors) > 0:
        return math.nan
    freedom = sum(errors) ** 2 / sum(
        e**2 / (len(sample) - 1) for e, sample in zip(errors, (first, second), strict=True)
    )
    return float(2 * stdtr(freedom, -abs(first.mean() - second.mean()) / math.sqrt(sum(errors))))


def written_p(p: float) -> str:
    """A p value with two digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _percent(share: float) -> str:
    """A share in whole percent, never 100% of what is less."""
    return "over 99%" if 0.995 <= share < 1 else "under 1%" if share < 0.005 else f"{share:.0%}"


def _effects(counted: pd.DataFrame, keys: Sequence[str], metric: str, average: Average) -> list[str]:
    """Which keys mattered, which act together, and whether the runs are too few to say it."""
    every = all_effects(counted, keys, metric)
    pairs = every["keys"].map(len) == 2
    single, paired = every[~pairs], every[pairs]
    if single["share"].isna().all():
        return []
    clear, seeds = single[single["p"] < CHANCE], f"over {behind(counted)}"
    top = clear.iloc[0] if len(clear) else single.iloc[0]
    key, claim = str(top.name), f"F test, {written_p(top['p'])}, {seeds}"
    sentences = []
    if len(clear):
        sentences.append(
            f"{key} mattered most: its values account for {_percent(top['share'])} of the variance ({claim}); "
            f"{_ends(counted, top, metric, average)}."
        )
        if others := [
            f"{key} ({_percent(row['share'])}, {written_p(row['p'])})" for key, row in clear.iloc[1:].iterrows()
        ]:
            sentences.append(f"With smaller shares of the variance, so did {', '.join(others)}.")
    elif top["share"] > top["by_chance"]:
        sentences.append(
            f"{key} has the largest share of the variance, {_percent(top['share'])}, but chance gives as much too "
            f"often ({claim}): these runs do not show that it mattered."
        )
    else:
        sentences.append(f"No key accounts for more of the variance than expected by chance, {seeds}.")
    together = paired[paired["p"] < CHANCE]
    for _, row in together.head(MOST_PAIRS).iterrows():
        sentences.append(
            f"{' and '.join(row['keys'])} act together: beyond their own effects, their combinations account for "
            f"{_percent(row['share'])} of the variance (F test, {written_p(row['p'])}, {seeds}); "
            f"{_ends(counted, row, metric, average)}."
        )
    if len(set(level_combinations(counted, keys))) == len(counted):
        sentences.append(
            "Each combination was run once: interactions and differences between seeds cannot be separated from these."
        )
    elif paired["share"].notna().any() and together.empty:
        sentences.append(f"No two keys act together by more than chance (F test, {seeds}).")
    return sentences


def _ends(counted: pd.DataFrame, row: pd.Series, metric: str, average: Average) -> str:
    """The best and the worst value of a key, or of two together, and the runs behind each."""
    keys, said = list(row["keys"]), []
    which = level_combinations(counted, keys)
    for end, told in zip(("best", "worst"), ends_of(metric), strict=True):
        setting = row[end] if len(keys) == 2 else (row[end],)
        runs = counted[[own == setting for own in which]]
        centre = float(usable_values(runs, metric).agg(average.centre))
        said.append(
            f"{told} at {_written(dict(zip(keys, setting, strict=True)))} ({significant(centre)}, {behind(runs)})"
        )
    return f"the {average.centre} is {', '.join(said)}"

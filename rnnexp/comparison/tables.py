"""Recorded runs as tables, one row a run, and what their parameters say."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rnnexp.comparison.effects import CONFIG, SEED, levels
from rnnexp.run_info import NO_MATTER
from rnnexp.tracking.store import Store

#: Columns beside parameters and metrics.
ABOUT = ("name", "status", "sweep")
#: As MLflow keeps them.
TRUTH = {"True": True, "False": False}


def runs_table(found: Sequence[Any]) -> pd.DataFrame:
    """The table that `rnnexp.report.runs` describes, of runs as MLflow gives them."""
    rows = [
        {
            "run": run.info.run_id,
            "name": run.info.run_name,
            "status": run.info.status,
            "sweep": run.data.tags.get("rnnexp.sweep"),
            **run.data.params,
            **run.data.metrics,
        }
        for run in found
    ]
    table = pd.DataFrame(rows).set_index("run")
    for key in {key for run in found for key in run.data.params}:
        column = table[key].replace("null", None)
        if (texts := set(column.dropna())) and texts <= TRUTH.keys():
            table[key] = column.map(TRUTH)
            continue
        numbers = pd.to_numeric(column, errors="coerce")
        table[key] = numbers if numbers.notna().equals(column.notna()) else column
    return table


def compared_table(found: Sequence[Any]) -> pd.DataFrame:
    """The same with what a comparison needs besides: the configuration's hash, and which runs diverged."""
    table = runs_table(found)
    table[CONFIG] = [run.data.tags.get("rnnexp.config_hash", "") for run in found]
    diverged = [run.info.status == "FAILED" and "diverged" in run.data.tags for run in found]
    table.loc[diverged, "status"] = "DIVERGED"
    return table


def parameter_names(table: pd.DataFrame) -> list[str]:
    """The columns that are parameters and change numbers; metrics have a slash in their names."""
    left_out = {*ABOUT, *NO_MATTER, CONFIG, "solved_at_step"}
    return [str(key) for key in table if "/" not in str(key) and key not in left_out]


def differing(table: pd.DataFrame) -> list[str]:
    """The parameters that have more than one value; see `rnnexp.report.differing`."""
    keys = parameter_names(table)
    # A run that was killed before its parameters were stored has no known differences.
    known = table[table[keys].notna().any(axis=1)]
    return [key for key in keys if len(set(levels(known, key))) > 1]


def follows(table: pd.DataFrame, key: str, keys: Sequence[str]) -> bool:
    """Whether a key is determined by another among `keys`: a group's setting by its choice, any by the recipe."""
    return any(
        choice in keys
        and choice != key
        and len({*zip(levels(table, choice), levels(table, key), strict=True)}) == len({*levels(table, choice)})
        for choice in ("experiment", key.partition(".")[0])
    )


def deciding(table: pd.DataFrame) -> list[str]:
    """What differs but the seed, without the settings of a group whose choice differs: they say nothing more."""
    keys = differing(table)
    return [key for key in keys if key != SEED and not follows(table, key, keys)]


def curve_of(store: Store, run: str, metric: str) -> pd.Series:
    """A metric of one run by MLflow step, in order."""
    points = sorted((point.step, point.value) for point in store.client.get_metric_history(run, metric))
    return pd.Series([value for _, value in points], index=[step for step, _ in points], name=metric, dtype=float)

"""Recorded runs as tables, one row a run, and what their parameters say."""

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rnnexp.comparison.effects import CONFIG, SEED, levels
from rnnexp.records import ASKED
from rnnexp.run_info import NO_MATTER
from rnnexp.tracking.searching import all_params, points_of
from rnnexp.tracking.store import Store

#: Columns beside parameters and metrics.
ABOUT = ("name", "status", "sweep")
#: As MLflow keeps them.
TRUTH = {"True": True, "False": False}
DIVERGED = "DIVERGED"


def runs_table(found: Iterable[Any]) -> pd.DataFrame:
    """The table that `rnnexp.report.runs` describes, of runs as MLflow gives them."""
    table = compared_table(found)
    table["status"] = table["status"].replace(DIVERGED, "FAILED")
    return table.drop(columns=[CONFIG, ASKED])


def compared_table(found: Iterable[Any]) -> pd.DataFrame:
    """The same with what a comparison needs besides: configuration's hash, asked lags, and which runs diverged.

    The runs are read one by one, and only their numbers and each text once are kept.
    """
    about: dict[str, list[Any]] = {name: [] for name in ("run", "start", *ABOUT, CONFIG, ASKED)}
    params: dict[str, list[str | None]] = {}
    metrics: dict[str, array[float]] = {}
    known: dict[str, str] = {}
    for count, run in enumerate(found):
        tags, status = run.data.tags, run.info.status
        if status == "FAILED" and "diverged" in tags:
            status = DIVERGED
        sweep = tags.get("rnnexp.sweep")
        row = (
            run.info.run_id,
            run.info.start_time,
            run.info.run_name,
            status,
            sweep,
            tags.get("rnnexp.config_hash", ""),
            tags.get(ASKED, ""),
        )
        for column, value in zip(about.values(), row, strict=True):
            column.append(value)
        for name, text in all_params(run).items():
            texts = params.setdefault(name, [])
            texts += [None] * (count - len(texts))
            texts.append(known.setdefault(text, text))
        for name, number in run.data.metrics.items():
            numbers = metrics.setdefault(name, array("d"))
            numbers.extend([math.nan] * (count - len(numbers)))
            numbers.append(number)
    count = len(about["run"])
    besides = {name: about.pop(name) for name in (CONFIG, ASKED)}
    columns: dict[str, Any] = {**about}
    columns |= {name: _parameter([*texts, *[None] * (count - len(texts))]) for name, texts in params.items()}
    columns |= {name: np.append(numbers, np.full(count - len(numbers), np.nan)) for name, numbers in metrics.items()}
    table = pd.DataFrame({**columns, **besides}).set_index("run")
    return table.sort_values("start", kind="stable").drop(columns="start")


def _parameter(texts: Sequence[str | None]) -> pd.Series:
    """A parameter of all runs as booleans or numbers if all its values are, else as texts; missing where ``null``."""
    column = pd.Series(list(texts)).replace("null", None)
    distinct = column.dropna().drop_duplicates()
    if set(distinct) <= TRUTH.keys():
        return column.map(TRUTH)
    numbers = pd.to_numeric(distinct, errors="coerce")
    return column.map(dict(zip(distinct, numbers, strict=True))) if numbers.notna().all() else column


def parameter_names(table: pd.DataFrame) -> list[str]:
    """The columns that are parameters and change numbers; metrics have a slash in their names."""
    left_out = {*ABOUT, *NO_MATTER, CONFIG, ASKED, "solved_at_step"}
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


def deciding(table: pd.DataFrame, differ: Sequence[str]) -> list[str]:
    """What differs but the seed, without the settings of a group whose choice differs: they say nothing more."""
    return [key for key in differ if key != SEED and not follows(table, key, differ)]


def curve_of(store: Store, run: str, metric: str) -> pd.Series:
    """A metric of one run by MLflow step, in order."""
    points = points_of(store, run, metric)
    return pd.Series([value for _, value in points], index=[step for step, _ in points], name=metric, dtype=float)

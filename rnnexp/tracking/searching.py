"""Reading recorded runs, page by page: from a database file by SQL, from any other store by MLflow's client.

MLflow makes an object of each parameter, tag and metric: that takes forty times as long as reading their rows.
"""

import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from rnnexp.records import LACKING
from rnnexp.tracking.addresses import database_file, is_sqlite
from rnnexp.tracking.database import PATIENCE
from rnnexp.tracking.store import Store, store_error

#: What is read of a run unless less is asked for, and the table of each.
PARTS = {"params": "params", "tags": "tags", "metrics": "latest_metrics"}
#: Runs that are in memory at a time.
PAGE = 200
#: Columns of a run's row, by MLflow's name of the attribute.
ATTRIBUTES = {"run_id": "run_uuid", "run_name": "name"} | {
    name: name for name in ("status", "start_time", "end_time", "user_id", "artifact_uri")
}


def matching_runs(store: Store, clauses: Sequence[str] = (), parts: Sequence[str] = tuple(PARTS)) -> Iterator[Any]:
    """The runs of the experiment that match all clauses of MLflow's filter language, oldest first.

    They have `info` and `data` as MLflow's own do; `data` may lack what is not among the `parts`.

    Raises
    ------
    MlflowException
        If a clause can't be read, or the store fails.
    UserError
        If a database file can't be read.
    """
    from mlflow.utils.search_utils import SearchUtils

    filters: Any = SearchUtils  # which has no type hints
    query = " and ".join(clauses)
    parsed = filters.parse_search_filter(query)
    # What a run was trained on lies in tables that are not read here.
    if not is_sqlite(store.uri) or any(clause["type"] == "dataset" for clause in parsed):
        yield from _by_client(store, query)
        return
    asked = {*parts, *(f"{clause['type'].removesuffix('eter')}s" for clause in parsed)}
    with _reading(store) as database:
        for page in _pages(database, store.experiment_id, parsed, [name for name in PARTS if name in asked]):
            yield from filters.filter(page, query)


def all_params(run: Any) -> dict[str, str]:
    """The parameters of a run: those that it shares with all jobs of its sweep, and the others, which are tags."""
    others = {key.removeprefix(LACKING): text for key, text in run.data.tags.items() if key.startswith(LACKING)}
    return {**run.data.params, **others}


def last_finished(store: Store, tag: str, value: str) -> Any:
    """The FINISHED run of the experiment that has a tag of this value and began last; None without one."""
    finished = "attributes.status = 'FINISHED'"
    if not is_sqlite(store.uri):
        newest = ["attributes.start_time DESC"]
        query = f"{finished} and tags.`{tag}` = '{value}'"
        found = list(store.client.search_runs([store.experiment_id], query, max_results=1, order_by=newest))
    elif runs := _runs_by(store, tag)(value):
        named = ", ".join(f"'{run}'" for run in runs)
        found = list(matching_runs(store, [finished, f"attributes.run_id IN ({named})"]))[-1:]
    else:
        return None
    return found[0] if found else None


@cache
def _runs_by(store: Store, tag: str) -> Callable[[str], list[str]]:
    """The runs of a database file by a tag's value. A sweep asks often, and no index has it: each row is read once."""
    runs: defaultdict[str, list[str]] = defaultdict(list)
    last = 0

    def of(value: str) -> list[str]:
        nonlocal last
        with _reading(store) as database:
            (newest,) = database.execute("select coalesce(max(rowid), 0) from tags").fetchone()
            # The sign keeps the index of the keys out, which has no rows' numbers.
            new = "select value, run_uuid from tags where rowid > ? and rowid <= ? and +key = ?"
            for found, run in database.execute(new, (last, newest, tag)):
                runs[found].append(run)
        last = newest
        return runs.get(value, [])

    return of


def points_of(store: Store, run: str, metric: str) -> list[tuple[int, float]]:
    """The points of a metric of one run, by step."""
    if not is_sqlite(store.uri):
        return sorted((point.step, point.value) for point in store.client.get_metric_history(run, metric))
    points = "select step, case when is_nan then null else value end from metrics where run_uuid = ? and key = ?"
    with _reading(store) as database:
        rows = database.execute(points, (run, metric)).fetchall()
    return sorted((step, math.nan if value is None else value) for step, value in rows)


@contextmanager
def _reading(store: Store) -> Iterator[sqlite3.Connection]:
    """The database file of a store, open to be read."""
    where = f"{database_file(store.uri).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(where, uri=True, timeout=PATIENCE)) as database:
            yield database
    except sqlite3.Error as error:
        raise store_error(error, store.uri) from None


def _by_client(store: Store, query: str) -> Iterator[Any]:
    token = None
    while True:
        page = store.client.search_runs(
            [store.experiment_id], query, max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        yield from page
        if not (token := page.token):
            return


def _pages(
    database: sqlite3.Connection, experiment: str, parsed: Sequence[Mapping[str, Any]], parts: Sequence[str]
) -> Iterator[list[Any]]:
    """The runs that may match, with these parts."""
    conditions, values = _conditions(parsed)
    where = "".join(f" and {condition}" for condition in conditions)
    # All at once: where there is no write-ahead log, nobody can write as long as a query is open.
    found = database.execute(
        f"select run_uuid from runs where experiment_id = ? and lifecycle_stage = 'active'{where}"
        " order by start_time, run_uuid",
        (int(experiment), *values),
    ).fetchall()
    for start in range(0, len(found), PAGE):
        ids = [run for (run,) in found[start : start + PAGE]]
        own = f"where run_uuid in ({_marks(ids)})"
        rows = database.execute(f"select {', '.join(ATTRIBUTES.values())} from runs {own}", ids)
        page = {row[0]: _run(dict(zip(ATTRIBUTES, row, strict=True))) for row in rows}
        for name in parts:
            value = "value" if name != "metrics" else "case when is_nan then null else value end"
            for run, key, read in database.execute(f"select run_uuid, key, {value} from {PARTS[name]} {own}", ids):
                getattr(page[run].data, name)[key] = math.nan if read is None else read
        yield [page[run] for run in ids if run in page]


def _run(attributes: Mapping[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(**attributes), data=SimpleNamespace(params={}, tags={}, metrics={}))


def _conditions(parsed: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Any]]:
    """Conditions that all matching runs meet, for the clauses by which a few runs are chosen; and their values."""
    conditions, values = [], []
    for clause in parsed:
        kind, key, value = clause["type"], clause["key"], clause["value"]
        if kind == "attribute" and key in ("status", "run_id") and clause["comparator"] in ("=", "!=", "IN"):
            several = list(value) if clause["comparator"] == "IN" else [value]
            negated = "not " * (clause["comparator"] == "!=")
            conditions.append(f"{ATTRIBUTES[key]} {negated}in ({_marks(several)})")
            values += several
        elif kind in ("tag", "parameter") and clause["comparator"] == "=":
            table = "tags" if kind == "tag" else "params"
            own = f"select 1 from {table} where run_uuid = runs.run_uuid and key = ? and value = ?"
            conditions.append(f"exists ({own})")
            values += [key, value]
    return conditions, values


def _marks(values: Sequence[Any] | Mapping[Any, Any]) -> str:
    return ", ".join("?" * len(values))

"""Runs are found in a database file as MLflow's client finds them, and only as much is read as is asked for."""

import math
import re
import shutil
import sqlite3

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from rnnexp.checks import UserError
from rnnexp.tracking import searching
from rnnexp.tracking.searching import last_finished, matching_runs, points_of
from rnnexp.tracking.store import Store, open_store

LOSS = "final/eval/loss"


@pytest.fixture(scope="module")
def store(migrated, tmp_path_factory):
    """Seven runs, of which one is deleted and one of another experiment."""
    path = tmp_path_factory.mktemp("searched") / "mlflow.db"
    shutil.copy(migrated, path)
    store = open_store(f"sqlite:///{path}", "rnnexp")
    other = store.client.create_experiment("other")
    rows = [
        ("b", "echo", {LOSS: 0.5, "eval/loss": 0.7}, {"rnnexp.sweep": "s"}, "FINISHED"),
        ("a", "recall", {LOSS: 0.25}, {"rnnexp.sweep": "s", "rnnexp.kind": "run"}, "FINISHED"),
        ("B", "echo", {LOSS: math.nan}, {"rnnexp.sweep": "t"}, "FAILED"),
        ("parent", None, {}, {"rnnexp.sweep": "s", "rnnexp.kind": "sweep"}, "RUNNING"),
        ("a b", "echo", {LOSS: 3.0}, {"host": "vm"}, "KILLED"),
        ("gone", "echo", {LOSS: 3.0}, {"rnnexp.sweep": "s"}, "FINISHED"),
        ("elsewhere", "echo", {LOSS: 3.0}, {"rnnexp.sweep": "s"}, "FINISHED"),
    ]
    for place, (name, task, metrics, tags, status) in enumerate(rows):
        experiment = other if name == "elsewhere" else store.experiment_id
        run = store.client.create_run(experiment, start_time=10 - place // 2, run_name=name).info.run_id
        params = [Param("task", task), Param("seed", str(place))] if task else []
        log = [Metric(key, value, 0, 0) for key, value in metrics.items()]
        store.client.log_batch(run, log, params, [RunTag(*pair) for pair in tags.items()])
        if status != "RUNNING":
            store.client.set_terminated(run, status)
        if name == "gone":
            store.client.delete_run(run)
    return store


def contents(run):
    numbers = {name: "nan" if math.isnan(value) else value for name, value in run.data.metrics.items()}
    about = [getattr(run.info, name) for name in searching.ATTRIBUTES]
    return [about, run.data.params, run.data.tags, numbers]


@pytest.mark.parametrize(
    "clauses",
    [
        [],
        ["attributes.status = 'FINISHED'"],
        ["attributes.status != 'FINISHED'", "tags.`rnnexp.sweep` = 't'"],
        ["tags.`rnnexp.sweep` = 's'", f"metrics.`{LOSS}` < 0.4"],
        ["params.task = 'echo'", "params.seed != '0'"],
        ["params.task LIKE 'ec%' and attributes.run_name LIKE 'a%'"],
        ["attributes.run_name ILIKE 'b'"],
        [f"metrics.`{LOSS}` > 0"],
        ["tags.`rnnexp.kind` IS NULL"],
        ["params.task IN ('recall', 'x')"],
        ["attributes.start_time >= 9", "tags.`rnnexp.sweep` != 's'"],
        ["dataset.name = 'x'"],
        ["attributes.status = 'SCHEDULED'"],
    ],
)
def test_the_runs_are_those_that_the_client_finds(clauses, store, monkeypatch):
    monkeypatch.setattr(searching, "PAGE", 2)
    order = ["attributes.start_time ASC"]
    if clauses == ["params.task IN ('recall', 'x')"]:
        with pytest.raises(MlflowException):
            list(matching_runs(store, clauses))
        return
    expected = store.client.search_runs([store.experiment_id], " and ".join(clauses), order_by=order)
    found = list(matching_runs(store, clauses))
    assert list(map(contents, found)) == list(map(contents, expected))
    if not clauses:
        assert [run.info.run_name for run in found[:1]] == ["a b"] and len(found) == 5


def test_a_run_is_found_by_its_id_and_only_parts_of_it_are_read(store):
    (one, *_) = list(matching_runs(store, ["params.task = 'recall'"], ["tags"]))
    assert one.data.params and one.data.tags and not one.data.metrics
    ids = [run.info.run_id for run in matching_runs(store)]
    named = ", ".join(f"'{run}'" for run in ids[:2])
    assert [run.info.run_id for run in matching_runs(store, [f"attributes.run_id IN ({named})"])] == ids[:2]


@pytest.mark.parametrize("in_file", [True, False])
def test_the_last_finished_run_with_a_tag_is_found_as_soon_as_it_is_there(in_file, migrated, tmp_path, monkeypatch):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db", "rnnexp")
    if not in_file:
        monkeypatch.setattr(searching, "is_sqlite", lambda uri: False)

    def begun(start, value="x", experiment=store.experiment_id):
        return store.client.create_run(experiment, start_time=start, tags={"hash": value}).info.run_id

    first, early, failed, other = begun(5), begun(3), begun(9), begun(9, "y")
    begun(9, experiment=store.client.create_experiment("other"))
    assert last_finished(store, "hash", "x") is None
    for run, status in ((first, "FINISHED"), (early, "FINISHED"), (failed, "FAILED"), (other, "FINISHED")):
        store.client.set_terminated(run, status)
    store.client.log_batch(first, [Metric(LOSS, 0.5, 0, 0)])
    found = last_finished(store, "hash", "x")
    assert found.info.run_id == first and found.data.metrics == {LOSS: 0.5} and found.data.tags["hash"] == "x"
    newer = begun(7)
    assert last_finished(store, "hash", "x").info.run_id == first
    store.client.set_terminated(newer, "FINISHED")
    assert last_finished(store, "hash", "x").info.run_id == newer
    store.client.delete_run(newer)
    assert last_finished(store, "hash", "x").info.run_id == first
    assert last_finished(store, "hash", "z") is None
    points = [Metric("lags", value, place, place % 3) for place, value in enumerate([0.5, math.nan, 2.0, 0.25])]
    store.client.log_batch(first, points)
    assert str(points_of(store, first, "lags")) == str([(0, 0.25), (0, 0.5), (1, math.nan), (2, 2.0)])
    assert points_of(store, first, "none") == []


def test_a_tags_rows_are_read_once(store):
    asked = []

    class Traced(sqlite3.Connection):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.set_trace_callback(asked.append)

    def connect(*arguments, of=sqlite3.connect, **options):
        return of(*arguments, factory=Traced, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        for _ in range(3):
            last_finished(store, "rnnexp.sweep", "none")
    first, *others = [
        re.search(r"rowid > (\d+) and rowid <= (\d+)", text).groups() for text in asked if "rowid >" in text
    ]
    assert first[0] == "0" and others == [(first[1], first[1])] * 2


def test_a_filter_that_cannot_be_read_and_a_file_that_cannot(store, tmp_path):
    with pytest.raises(MlflowException):
        list(matching_runs(store, ["loss < 3"]))
    with pytest.raises(UserError, match="can't be used: unable to open"):
        list(matching_runs(Store(None, f"sqlite:///{tmp_path}/none.db", "1", "rnnexp")))


def test_another_store_is_asked_page_by_page(store, monkeypatch):
    monkeypatch.setattr(searching, "PAGE", 2)
    monkeypatch.setattr(searching, "is_sqlite", lambda uri: False)
    assert len({run.info.run_id for run in matching_runs(store)}) == 5

"""A store is opened some seconds after a run began, if it was seen without MLflow that it can be; else at once."""

import shutil
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing

import pytest

from rnnexp.checks import UserError
from rnnexp.history import Point
from rnnexp.tracking import database, mlflow_run, opening, store
from rnnexp.tracking.database import is_current
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.run_log import RunLog, is_complete
from rnnexp.tracking.sync import sync_folders


@pytest.fixture
def path(tmp_path, migrated, monkeypatch):
    monkeypatch.setattr(mlflow_run, "pauses", defaultdict(mlflow_run.Pause))
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return tmp_path / "mlflow.db"


@pytest.fixture
def opened(monkeypatch):
    """The experiments whose store was opened."""
    opened, open_store = [], store.open_store

    def opening(uri, experiment):
        opened.append(experiment)
        return open_store(uri, experiment)

    monkeypatch.setattr(store, "open_store", opening)
    return opened


@pytest.fixture
def begin(path):
    def begin(**options):
        checked = store.checked_store(f"sqlite:///{path}", "rnnexp")
        folder = path.parent / "outputs" / "run"
        return MLflowRun(checked, "name", {"cell": "rnn"}, "the command", {"rnnexp.kind": "run"}, folder=folder)

    return begin


def test_it_is_opened_when_something_is_sent(begin, opened):
    run = begin()
    run.add([Point("eval/loss", 1.0, 0)])
    run.flush_if_due()
    assert opened == [] and run.id is None
    assert RunLog(run.folder, resumed=True).begin["experiment"] == "rnnexp", "a process killed now leaves the log"
    run.flush()
    assert opened == ["rnnexp"] and run.store.is_open
    assert run.store.client.get_run(run.id).info.status == "RUNNING"
    run.add([Point("eval/loss", 0.5, 1)])
    assert run.end("FINISHED", {}) == "" and opened == ["rnnexp"]
    record = run.store.client.get_run(run.id)
    assert (record.info.status, record.data.metrics, record.data.params) == (
        "FINISHED",
        {"eval/loss": 0.5},
        {"cell": "rnn"},
    )
    assert record.info.experiment_id == run.store.experiment_id and is_complete(run.path)


@pytest.mark.parametrize("ended", [True, False])
def test_what_a_store_that_can_not_be_opened_lacks_is_uploaded_by_sync(begin, monkeypatch, capsys, ended):
    run = begin()
    with monkeypatch.context() as without:
        for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
            without.setitem(sys.modules, name, None)  # as if it could not be imported
        run.add([Point("eval/loss", 1.0, 0)])
        run.flush()
        assert run.id is None and run.undelivered
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 2 and "mlflow" in told[0] and "training continues" in told[0]
        if ended:
            assert run.end("FINISHED", {}) == "", "it is in the folder"
            assert run.undelivered and run.lost() is None
    monkeypatch.setattr("rnnexp.tracking.sync.is_gone", lambda tags: True)
    assert sync_folders([str(run.folder)], None) == 0
    (record,) = run.store.client.search_runs([run.store.experiment_id])
    assert record.info.status == ("FINISHED" if ended else "KILLED")
    assert record.data.metrics == {"eval/loss": 1.0}


def test_a_database_that_goes_before_it_is_opened_is_told_and_loses_nothing(begin, path):
    run = begin()
    path.rename(path.with_name("aside.db"))
    run.end("FINISHED", {})
    assert "any more" in run.lost().problem and "sync" in run.lost().hint
    path.with_name("aside.db").rename(path)
    assert sync_folders([str(run.folder)], None) == 0
    (record,) = run.store.client.search_runs([run.store.experiment_id])
    assert record.info.status == "FINISHED"


CHANGES = {
    "none": (None, False),
    "a newer version": ("update alembic_version set version_num = 'ffffffffffff'", True),
    "no version": ("delete from alembic_version", True),
    "no table of versions": ("drop table alembic_version", True),
    "no experiment": ("delete from experiments", True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_one_that_is_whole_and_of_this_version_waits(path, change):
    statement, refused = CHANGES[change]
    if statement:
        with closing(sqlite3.connect(path)) as changed, changed:
            changed.execute(statement)
    assert is_current(path) is not refused
    assert not is_current(path.with_name("none.db"))


def test_another_one_is_opened_at_once(path, opened):
    with closing(sqlite3.connect(path)) as changed, changed:
        changed.execute("update alembic_version set version_num = 'ffffffffffff'")
    with pytest.raises(UserError, match="another version of MLflow"):
        store.checked_store(f"sqlite:///{path}", "rnnexp")
    assert opened == ["rnnexp"]


def test_the_version_that_is_read_from_the_migrations_is_the_one_that_alembic_finds():
    assert [database.newest_version()] == database._heads()


def test_a_worker_of_a_sweep_trains_while_the_server_is_down(tmp_path, monkeypatch):
    """It is a new process, which opens the store for the first time: that it worked is known from the sweep."""

    def down(uri, experiment):
        raise UserError(f"the tracking server {uri} does not answer: 503 Service Unavailable")

    monkeypatch.setattr(opening, "open_store", down)
    monkeypatch.setattr(store, "open_store", down)
    opening._kept_store.cache_clear()
    kept = opening._kept_store("http://127.0.0.1:9", "rnnexp")
    run = MLflowRun(kept, "name", {"cell": "rnn"}, "the command", {}, folder=tmp_path / "run", later=True)
    run.add([Point("eval/loss", 1.0, 0)])
    run.flush()
    run.end("FINISHED", {})
    assert run.id is None and not is_complete(run.path)  # `sync` uploads it
    with pytest.raises(UserError):
        opening._kept_store(f"sqlite:///{tmp_path / 'mlflow.db'}", "rnnexp")
    opening._kept_store.cache_clear()

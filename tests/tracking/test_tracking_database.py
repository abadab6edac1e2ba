"""A database is made whole or not at all; what others left half-made is replaced, and an older one upgraded aloud."""

import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress

import pytest
from sqlalchemy.exc import DBAPIError

from rnnexp.checks import UserError
from rnnexp.tracking import database
from rnnexp.tracking.addresses import sqlite_uri
from rnnexp.tracking.database import locked, prepare
from rnnexp.tracking.store import check_uri, existing_store, open_store

#: The revision of MLflow 2.0.
OLDER = "cc1f77228345"
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")


def first_tables(path):
    """What MLflow makes before it migrates."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = sqlalchemy.create_engine(sqlite_uri(path))
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A database at the revision of an older MLflow, with nothing in it."""
    from alembic import command
    from alembic.config import Config

    path = tmp_path_factory.mktemp("older") / "mlflow.db"
    engine, config = first_tables(path), Config()
    config.set_main_option("script_location", database._migrations())
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, OLDER)
    engine.dispose()
    return path


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as opened:
        for statement in statements:
            opened.execute(statement)
        opened.commit()


def version(path):
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute("select version_num from alembic_version").fetchone()[0]


def experiment(path):
    execute(
        path,
        "insert into experiments (experiment_id, name, artifact_location, lifecycle_stage) "
        "values (7, 'lab', 'file:///nowhere', 'active')",
    )


def only_first(path, older):
    first_tables(path).dispose()


def one_table(path, older):
    execute(path, "create table experiments (experiment_id integer, artifact_location text, lifecycle_stage text)")


def behind(path, older):
    shutil.copy(older, path)


def cut_off(path, older):
    shutil.copy(older, path)
    execute(path, "create table _alembic_tmp_metrics (key text)")


def no_version(path, older):
    shutil.copy(older, path)
    execute(path, "delete from alembic_version")


def empty(path, older):
    path.touch()


def no_tables(path, older):
    execute(path, "create table x (a text)", "drop table x")


HALF_MADE = [empty, no_tables, one_table, only_first, behind, cut_off, no_version]


@pytest.fixture
def filled(monkeypatch, migrated):
    """Make a database by copying one: migrating takes seconds."""
    monkeypatch.setattr(database, "_fill", lambda path, artifacts: shutil.copy(migrated, path))
    monkeypatch.setattr(database, "QUIET", 0.02)


@pytest.mark.parametrize("state", HALF_MADE)
def test_a_half_made_database_is_not_refused_and_is_replaced(tmp_path, migrated, older, filled, state):
    path = tmp_path / "mlflow.db"
    state(path, older)
    check_uri(sqlite_uri(path))
    store = open_store(sqlite_uri(path), "lab")
    assert version(path) == version(migrated)
    assert {"lab", "Default"} <= {each.name for each in store.client.search_experiments()}
    assert {one.name for one in tmp_path.iterdir()} - {f"mlflow.db{end}" for end in database.BESIDE} == {
        "mlflow.db",
        "mlflow.db.lock",
    }


def test_one_that_somebody_is_making_is_waited_for(tmp_path, migrated, filled, monkeypatch):
    path = tmp_path / "mlflow.db"
    path.touch()
    monkeypatch.setattr(database, "QUIET", 3.0)

    def make():
        time.sleep(0.3)
        shutil.copy(migrated, tmp_path / "whole.db")
        (tmp_path / "whole.db").replace(path)

    thread = threading.Thread(target=make)
    thread.start()
    before = []
    monkeypatch.setattr(database, "_remove", lambda one: before.append(one) if one == path.resolve() else None)
    prepare(path)
    thread.join()
    assert before == [] and version(path) == version(migrated)


@pytest.mark.parametrize(
    "statements",
    [
        ["create table flowers (name text)"],
        ["create table tags (name text)"],
        ["create table alembic_version (version_num text)", "create table flowers (name text)"],
        [
            "create table runs (run_uuid text, experiment_id text, lifecycle_stage text)",
            "create table flowers (a text)",
        ],
    ],
)
def test_a_database_of_another_program_is_refused_and_stays(tmp_path, statements):
    path = tmp_path / "mlflow.db"
    execute(path, *statements)
    content = path.read_bytes()
    for use in (check_uri, existing_store, lambda uri: open_store(uri, "lab")):
        with pytest.raises(UserError, match="was not made by MLflow"):
            use(sqlite_uri(path))
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_there_is_nothing_to_read_in_a_half_made_one(tmp_path, older):
    path = tmp_path / "mlflow.db"
    cut_off(path, older)
    with pytest.raises(UserError, match="no run in the tracking database"):
        existing_store(sqlite_uri(path))


@pytest.mark.parametrize("use", [existing_store, lambda uri: open_store(uri, "lab")], ids=["read", "record"])
def test_an_older_database_is_upgraded_aloud_and_a_copy_kept(tmp_path, older, migrated, capsys, use):
    import mlflow

    path = tmp_path / "mlflow.db"
    shutil.copy(older, path)
    experiment(path)
    store = use(sqlite_uri(path))
    assert version(path) == version(migrated)
    assert store.client.get_experiment_by_name("lab").experiment_id == "7"
    copy = tmp_path / f"mlflow.db.before-{mlflow.__version__}"
    assert version(copy) == OLDER
    told, kept = capsys.readouterr().err.splitlines()
    assert told.startswith(f"rnnexp: the tracking database {path} is of an older MLflow: it is upgraded")
    assert "older ones cannot read it afterwards" in told and kept.endswith(str(copy))
    use(sqlite_uri(path))
    assert capsys.readouterr().err == ""


def test_one_that_lacks_no_table_is_upgraded_as_well(tmp_path, migrated, monkeypatch, capsys):
    path = tmp_path / "mlflow.db"
    shutil.copy(migrated, path)
    from alembic.script import ScriptDirectory

    one = ScriptDirectory(database._migrations()).get_revision("head").down_revision
    execute(path, f"update alembic_version set version_num = '{one}'")
    upgraded = []
    monkeypatch.setattr("rnnexp.tracking.store.upgrade", lambda path: upgraded.append(path))
    with pytest.raises(UserError, match="another version of MLflow"):
        open_store(sqlite_uri(path), "lab")
    assert upgraded == [path]


def test_a_newer_database_is_left_as_it_is(tmp_path, older):
    path = tmp_path / "mlflow.db"
    shutil.copy(older, path)
    experiment(path)
    execute(path, "update alembic_version set version_num = 'ffffffffffff'")
    with pytest.raises(UserError, match="another version of MLflow"):
        open_store(sqlite_uri(path), "lab")
    assert version(path) == "ffffffffffff" and not list(tmp_path.glob("*.before-*"))


def test_an_upgrade_that_was_cut_off_is_told_with_the_copy_to_put_back(tmp_path, older):
    path = tmp_path / "mlflow.db"
    shutil.copy(older, path)
    experiment(path)
    shutil.copy(path, tmp_path / "mlflow.db.before-9.9")
    execute(path, "create table _alembic_tmp_metrics (key text)")
    for use in (existing_store, lambda uri: open_store(uri, "lab")):
        with pytest.raises(UserError, match="was cut off") as refused:
            use(sqlite_uri(path))
        assert refused.value.hint == f"put its copy back: mv {tmp_path / 'mlflow.db.before-9.9'} {path}"


def kill_before(moment, changes):
    """End this process before the nth call of some functions."""
    count = []

    def counted(whole):
        def change(*given, **named):
            count.append(1)
            if len(count) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*given, **named)

        return change

    for place, name in changes:
        setattr(place, name, counted(getattr(place, name)))


@posix
@pytest.mark.parametrize("half", [False, True], ids=["nothing there", "a half-made one there"])
def test_a_maker_that_is_killed_at_any_moment_leaves_no_obstacle(tmp_path, migrated, older, filled, monkeypatch, half):
    """Killed before the nth change of a file, for every n."""
    changes = [
        (os, "link"),
        (os, "fsync"),
        (os, "unlink"),
        (os, "rename"),
        (database, "_fill"),
        (database, "write_ahead"),
    ]
    for moment in range(1, 40):
        folder = tmp_path / str(moment)
        folder.mkdir()
        path = folder / "mlflow.db"
        if half:
            cut_off(path, older)
            execute(path, "pragma user_version = 1")
            (folder / "mlflow.db-journal").write_bytes(b"of what was there")
        child = os.fork()
        if not child:
            kill_before(moment, changes)
            with suppress(BaseException):
                locked(path, lambda path=path: prepare(path))
                os._exit(0)
            os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        check_uri(sqlite_uri(path))
        locked(path, lambda path=path: prepare(path))
        assert version(path) == version(migrated)
        left = {one.name for one in folder.iterdir()} - {"mlflow.db", "mlflow.db.lock"}
        assert left <= {"mlflow.db-wal", "mlflow.db-shm"}, (moment, left)
        if status != -signal.SIGKILL:
            assert status == 0 and moment > 5
            return
    pytest.fail("there are more moments")


@posix
@pytest.mark.thorough
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_mlflows_own_making_may_be_killed(tmp_path, share):
    """The real one, at a moment among its statements."""
    import sqlalchemy

    path, statements = tmp_path / "mlflow.db", 900
    child = os.fork()
    if not child:
        count = []

        @sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
        def kill(*given):
            count.append(1)
            if len(count) > share * statements:
                os.kill(os.getpid(), signal.SIGKILL)

        with suppress(BaseException):
            open_store(sqlite_uri(path), "lab")
        os._exit(0)
    os.waitpid(child, 0)
    assert not path.exists() or not database.is_half_made(path)
    assert open_store(sqlite_uri(path), "lab").experiment == "lab"


@pytest.mark.parametrize("place", ["p%20q", "p q", "p#q", "p?q", "한글", "p%q", "a&b;c", "a'b\"c", "e=f,g", "50%"])
def test_all_of_a_record_lies_in_the_folder_whatever_it_is_called(tmp_path, monkeypatch, filled, place):
    from rnnexp.tracking.addresses import database_file, tracking_uri
    from rnnexp.tracking.mlflow_run import MLflowRun

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / place
    (folder / "run").mkdir(parents=True)
    uri = tracking_uri(None, folder)
    assert database_file(uri) == folder / "mlflow.db" and tracking_uri(uri, tmp_path) == uri
    run = MLflowRun(open_store(uri, place), "run", {}, "the command", {}, folder=folder / "run")
    (folder / "run" / "table.csv").write_text("a,b\n")
    run.artifact(folder / "run" / "table.csv")
    assert run.end("FINISHED", {}) == "" and not run.undelivered
    assert [path.name for path in tmp_path.iterdir()] == [place]
    assert (folder / "mlflow.db").is_file()
    assert (folder / "mlartifacts" / place / run.id / "artifacts" / "table.csv").is_file()
    again = existing_store(uri).client
    assert [file.path for file in again.list_artifacts(run.id)] == ["table.csv"]
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("mlflow.db")) == [
        "mlartifacts",
        "run",
    ]


def test_a_disk_that_is_full_when_the_tables_are_made_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, artifacts):
        path.write_bytes(b"half")
        raise DBAPIError("CREATE TABLE", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(database, "_fill", full)
    path = tmp_path / "mlflow.db"
    with pytest.raises(UserError, match="can't be used: database or disk is full"):
        locked(path, lambda: prepare(path))
    assert [one.name for one in tmp_path.iterdir()] == ["mlflow.db.lock"]

"""The file of an SQLite tracking database: checked before it is opened, made in one step, and upgraded aloud.

A new one is made under another name and moved into place, so that nothing half-made is left in its place by a process
that is killed; what earlier versions left so is recognised by having neither experiments nor runs, and replaced.
"""

import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rnnexp.checks import UserError
from rnnexp.process import say
from rnnexp.redaction import reason_of
from rnnexp.tracking.addresses import ELSEWHERE, ReadOnly, elsewhere, sqlite_uri, unusable
from rnnexp.tracking.sqlite_log import DRAFT, on_local_disk, relax_sqlite, write_ahead

#: Seconds to wait for another process that is writing, when the store is opened and while a run is recorded.
PATIENCE = 10
SHORT_PATIENCE = 5
#: Seconds to wait for one that makes or upgrades the database.
LOCK_PATIENCE = 120
#: Seconds without a change after which nobody is making a half-made database any more, such as MLflow itself.
QUIET = 5.0
#: What SQLite keeps beside a database.
BESIDE = ("-journal", "-wal", "-shm")
#: The tables that MLflow makes first, before it notes a version, with some of their columns.
FIRST = {
    "experiments": {"experiment_id", "artifact_location", "lifecycle_stage"},
    "runs": {"run_uuid", "experiment_id", "lifecycle_stage"},
    "tags": {"key", "value", "run_uuid"},
    "metrics": {"key", "value", "timestamp", "run_uuid"},
    "params": {"key", "value", "run_uuid"},
}
TEMPORARY = "_alembic_tmp_"


def check_file(path: Path, patience: float | None = None) -> None:
    """Check a database file before MLflow does, which would retry for a minute; nothing is made.

    Raises
    ------
    UserError
        If it can't be made, read, written or locked, or another program made it.
    """
    try:
        _check_place(path)
        if path.exists():
            _check_contents(path, PATIENCE if patience is None else patience)
    except (sqlite3.Error, OSError, ValueError) as error:
        raise unusable(path, error) from None


def deleted_experiment(path: Path, name: str) -> str | None:
    """The id of an experiment of this name that was deleted; None if there is none, or nothing that can be asked."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        found = database.execute(
            "select experiment_id from experiments where name = ? and lifecycle_stage = 'deleted'", (name,)
        ).fetchone()
        return None if found is None else str(found[0])
    return None


def _check_place(path: Path) -> None:
    os.fsencode(path).decode()  # MLflow reads its address as UTF-8
    with suppress(FileNotFoundError):
        os.stat(f"{path}.lock")  # noqa: PTH116  which raises for a name that is too long, or a file among the folders
    if path.is_symlink() and not path.exists():
        raise UserError(f"the tracking database {path} is a link to {path.readlink()}, which is not there", ELSEWHERE)
    if path.is_dir():
        raise UserError(f"the tracking database {path} is a folder", ELSEWHERE)
    if path.exists():
        if not path.is_file():
            raise UserError(f"the tracking database {path} is not a file", ELSEWHERE)
        for place in (path, path.resolve().parent):  # SQLite keeps a journal beside it
            if not os.access(place, os.R_OK | os.W_OK):
                raise ReadOnly(f"the tracking database {path} can't be written: {place} is read-only", elsewhere())
        return
    there = next(folder for folder in path.absolute().parents if folder.exists())
    with tempfile.TemporaryFile(dir=there):
        pass


def _check_contents(path: Path, patience: float) -> None:
    with closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as database:
        database.execute("begin immediate")  # acquires the write lock, which is released again below
        found = _tables(database)
        mlflows = {name: _columns(database, name) for name in found & FIRST.keys()}
        database.execute("rollback")
    fit = all(columns >= FIRST[name] for name, columns in mlflows.items())
    # Before it has a version, MLflow's database has no other tables.
    if found and not (fit and mlflows and ("alembic_version" in found or mlflows.keys() == found)):
        raise UserError(f"the tracking database {path} was not made by MLflow", ELSEWHERE)


def _tables(database: sqlite3.Connection) -> set[str]:
    """The names of the tables."""
    names = (name for (name,) in database.execute("select name from sqlite_master where type = 'table'"))
    return {name for name in names if not name.startswith("sqlite_")}


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in database.execute(f'pragma table_info("{table}")')}


def locked(path: Path, action: Callable[[], Any]) -> Any:
    """The result of an action that one process at a time may do with a database; its folder is made.

    Raises
    ------
    UserError
        If the lock can't be had.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.lock").touch()  # if that fails, waiting for the lock would be in vain
        with FileLock(f"{path}.lock", timeout=LOCK_PATIENCE):
            return action()
    except Timeout:
        raise UserError(
            f"the tracking database {path} stays locked by another process",
            f"if none is running, delete {path}.lock",
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from None


def prepare(path: Path) -> None:
    """Have a whole database of this MLflow's version at a path, for the one process that holds its lock.

    Raises
    ------
    UserError
        If the file can't be used, or an upgrade of it was cut off.
    """
    path = path.resolve()
    _remove(path.with_name(f".{path.name}{DRAFT}"))
    check_file(path)
    while path.exists() and is_half_made(path):
        if time.time() - _changed(path) > QUIET:
            _remove(path)
        time.sleep(QUIET / 50)
    if not path.exists():
        _make(path)
        check_file(path)
    elif lacks_tables(path):
        upgrade(path)


def is_half_made(path: Path) -> bool:
    """Whether the making of a database was cut off, or has not ended: it has no experiment and no run yet.

    Raises
    ------
    UserError
        If it has some, and its upgrade was cut off.
    """
    with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        tables = _tables(database)
        rows = [name for name in ("experiments", "runs") if name in tables and _any_row(database, name)]
        version = _any_row(database, "alembic_version") if "alembic_version" in tables else None
    cut_off = any(name.startswith(TEMPORARY) for name in tables)
    if rows and cut_off:
        kept = max(path.parent.glob(f"{path.name}.before-*"), key=lambda copy: copy.stat().st_mtime, default=None)
        hint = f"put its copy back: mv {kept} {path}" if kept else f"put a copy of it back, or {ELSEWHERE}"
        raise UserError(f"the upgrade of the tracking database {path} to a newer MLflow was cut off", hint)
    return not rows and (cut_off or version is None or version[0] not in _heads() or lacks_tables(path))


def is_current(path: Path) -> bool:
    """Whether a database is whole, and of the installed MLflow's version; seen without MLflow, whose import is slow."""
    newest = newest_version()
    if newest is None or not path.is_file():
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        return _any_row(database, "alembic_version") == (newest,) and _any_row(database, "experiments") is not None
    return False


def _any_row(database: sqlite3.Connection, table: str) -> Any:
    return database.execute(f'select * from "{table}" limit 1').fetchone()


def lacks_tables(path: Path) -> bool:
    """Whether a database lacks tables of the installed MLflow, which would add them silently."""
    import mlflow.store.db.utils  # noqa: F401  which loads the models of all tables
    from mlflow.store.db.base_sql_model import Base

    with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        return not set(Base.metadata.tables) <= _tables(database)


@cache
def newest_version() -> str | None:
    """The version that the installed MLflow gives a database, as its migrations tell; None if that can't be seen."""
    if (found := find_spec("mlflow")) is None or found.origin is None:
        return None
    scripts = Path(found.origin).parent.joinpath("store", "db_migrations", "versions").glob("*.py")
    text = "\n".join(script.read_text(encoding="utf-8") for script in scripts)
    made, replaced = (set(re.findall(rf'^{word} = "(\w+)"$', text, re.M)) for word in ("revision", "down_revision"))
    newest = made - replaced
    return newest.pop() if len(newest) == 1 else None


def _migrations() -> str:
    import mlflow

    return str(Path(mlflow.__file__).parent / "store" / "db_migrations")


def _heads() -> list[str]:
    from alembic.script import ScriptDirectory

    return list(ScriptDirectory(_migrations()).get_heads())


def _changed(path: Path) -> float:
    """When a database was last written to."""
    found = [path, *(Path(f"{path}{end}") for end in BESIDE)]
    return max((one.stat().st_mtime for one in found if one.exists()), default=0.0)


def _remove(path: Path) -> None:
    """Delete a database and what is kept beside it: a journal without it would be applied to the next one."""
    for one in (path, *(Path(f"{path}{end}") for end in BESIDE)):
        one.unlink(missing_ok=True)


def _make(path: Path) -> None:
    """Make a database under another name, and move it into place, unless another program has made one there."""
    from sqlalchemy.exc import DBAPIError

    draft = path.with_name(f".{path.name}{DRAFT}")
    try:
        _fill(draft, path.parent / "mlartifacts")
    except DBAPIError as error:
        _remove(draft)
        raise sqlite3.OperationalError(str(error.orig)) from None
    if on_local_disk(path):
        write_ahead(draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    for end in BESIDE:
        Path(f"{path}{end}").unlink(missing_ok=True)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            draft.rename(path)
    _remove(draft)


def _fill(path: Path, artifacts: Path) -> None:
    """Let MLflow make its tables."""
    relax_sqlite()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore
    store(sqlite_uri(path), artifacts.as_uri()).engine.dispose()


def upgrade(path: Path) -> None:
    """Upgrade a database of an older MLflow, aloud, and keep a copy of it.

    Raises
    ------
    UserError
        If it is of a newer one, the copy can't be made, or the upgrade fails.
    """
    import mlflow
    import sqlalchemy
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        version = _any_row(database, "alembic_version")
    if version is None or version[0] not in {one.revision for one in ScriptDirectory(_migrations()).walk_revisions()}:
        raise another_version(str(path))
    copy = _copied(path, f"before-{mlflow.__version__}")
    say(
        f"rnnexp: the tracking database {path} is of an older MLflow: it is upgraded to that of {mlflow.__version__}, "
        "and older ones cannot read it afterwards",
        f"a copy of it as it was is kept as {copy}",
        error=True,
    )
    config, engine = Config(), sqlalchemy.create_engine(sqlite_uri(path))
    config.set_main_option("script_location", _migrations().replace("%", "%%"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "heads")
    except Exception as error:
        problem = f"the tracking database {path} could not be upgraded: {reason_of(error)}"
        raise UserError(problem, f"as it was, it is in {copy}") from None
    finally:
        engine.dispose()


def another_version(where: str) -> UserError:
    """The error for a database that the installed MLflow does not know."""
    import mlflow

    return UserError(
        f"the tracking database {where} was made by another version of MLflow than {mlflow.__version__}",
        f"if it is older: mlflow db upgrade {where}; if it is newer: pip install --upgrade mlflow; "
        "or give another one: tracking.uri=sqlite:///other.db",
    )


def _copied(path: Path, name: str) -> Path:
    """A consistent copy of a database beside it, under a name that is new."""
    names = (path.with_name(f"{path.name}.{name}{f'-{number}' if number else ''}") for number in count())
    copy = next(one for one in names if not one.exists())
    draft = copy.with_name(f".{copy.name}{DRAFT}")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as old, closing(sqlite3.connect(draft)) as new:
            old.backup(new)
        draft.rename(copy)
    except (sqlite3.Error, OSError) as error:
        _remove(draft)
        problem = f"the tracking database {path} is of an older MLflow, and no copy of it can be kept: {error}"
        raise UserError(problem, f"free some space there, or {ELSEWHERE}") from None
    return copy

"""Opening the tracking store safely: the right database, initialised once, with a clear error if it can't be used."""

import atexit
import logging
import os
import shlex
import shutil
import socket
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock, Timeout

from rnnexp.checks import UserError
from rnnexp.redaction import redact, redact_text
from rnnexp.tracking.keys import experiment_folder

SQLITE = "sqlite:///"
#: Seconds to wait for another process that is writing, when the store is opened and while a run is recorded.
PATIENCE = 10
SHORT_PATIENCE = 5
#: MLflow's settings while recording, unless the environment has others: attempts are short, since others follow.
HTTP = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
#: Packages of drivers, where the name differs.
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
#: Kinds of file systems, as Linux names them, that no other machine can write to.
LOCAL_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "tmpfs")
#: Pages of 4 KiB that a write-ahead log may grow to before it goes into the database; at the end of a process it does.
LOG_PAGES = 10_000
ELSEWHERE = "record somewhere else: tracking.uri=sqlite:///other.db"


def tracking_uri(configured: str | None, folder: Path) -> str:
    """The tracking URI: as configured, else MLFLOW_TRACKING_URI, else ``mlflow.db`` in `folder`.

    A relative path of a database file is resolved against `folder`, in which the command was started.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if uri.startswith(SQLITE):
        path, mark, query = uri.removeprefix(SQLITE).partition("?")
        return f"{SQLITE}{folder / path}{mark}{query}"
    return uri


@dataclass(frozen=True)
class Store:
    """An open tracking store.

    Attributes
    ----------
    client : mlflow.MlflowClient
    uri : str
    experiment_id, experiment : str
    """

    client: Any
    uri: str
    experiment_id: str
    experiment: str

    def ui_command(self, port: int = 5000) -> str | None:
        """The command that shows this store in the MLflow UI; None if a server shows it already."""
        if self.uri.startswith(("http://", "https://")):
            return None
        program = "mlflow" if shutil.which("mlflow") else f"{shlex.quote(sys.executable)} -m mlflow"
        return f"{program} ui --backend-store-uri {shlex.quote(redact(self.uri))} --host 127.0.0.1 --port {port}"

    def base(self, port: int = 5000) -> str:
        """The address of the UI: the server's, or that of `ui_command`."""
        return (redact(self.uri) if self.ui_command() is None else f"http://127.0.0.1:{port}").rstrip("/")

    def link(self, page: str, port: int = 5000) -> str:
        """The address of a page of the UI, such as ``runs/<id>``, in the view for training runs."""
        return f"{self.base(port)}/#/experiments/{self.experiment_id}/{page}?workflowType=machine_learning"


def check_uri(uri: str) -> None:
    """Check without MLflow whether a store can exist.

    Raises
    ------
    UserError
        If it is neither a database nor a server, the server does not answer, or the database file can't be used.
    """
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif "://" not in uri or uri.startswith("file:"):
        raise UserError(
            f"tracking.uri must be a database or a server, got {redact(uri)}",
            "MLflow no longer writes to plain folders: try tracking.uri=sqlite:///mlflow.db",
        )
    elif uri.startswith(SQLITE):
        _check_database(database_file(uri))
    else:
        _check_driver(uri)


def open_store(uri: str, experiment: str) -> Store:
    """Open a store and select an experiment, creating both if need be.

    Raises
    ------
    UserError
        If the store can't be reached, opened or written, is newer than the installed MLflow, or the experiment
        was deleted.
    """
    check_uri(uri)
    for name, value in HTTP.items():
        os.environ.setdefault(name, value)
    if not uri.startswith(SQLITE):
        return _open(uri, experiment, None)
    path = database_file(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{path}.lock").touch()  # if that fails, waiting for the lock would be in vain
        # Of several processes that open a missing database at once, all but one die in its migration.
        with FileLock(f"{path}.lock", timeout=120):
            _check_database(path)
            if not path.exists() and on_local_disk(path):
                _write_ahead(path)
            return _open(uri, experiment, (path.parent / "mlartifacts").as_uri())
    except Timeout:
        raise UserError(
            f"the tracking database {path} stays locked by another process",
            f"if none is running, delete {path}.lock",
        ) from None
    except OSError as error:
        raise UserError(f"the tracking database {path} can't be used: {error.strerror}", ELSEWHERE) from None


def check_now(uri: str, *, failed_before: bool, just_worked: bool = False) -> None:
    """Check quickly, before MLflow tries for long, whether a store that was open can be written now.

    Raises
    ------
    UserError
        If a database file is gone, locked or read-only, or the server no longer accepts connections.
    """
    if uri.startswith(SQLITE):
        path = database_file(uri)
        if not path.exists():
            raise UserError(f"there is no tracking database {path} any more")
        if not just_worked or path.is_dir():
            _check_database(path, SHORT_PATIENCE)
    elif failed_before and uri.startswith(("http://", "https://")):
        _check_server(uri)


def existing_store(uri: str) -> Store:
    """A store that is there already, with no experiment selected; nothing is created.

    Raises
    ------
    UserError
        If there is none, or it can't be used.
    """
    check_uri(uri)
    if uri.startswith(SQLITE) and not database_file(uri).exists():
        raise UserError(
            f"there is no tracking database {database_file(uri)}",
            "start from the folder where the runs were recorded, or name the database: sqlite:///where/it/is.db",
        )
    return Store(_client(uri), uri, "", "")


def _client(uri: str) -> Any:
    # Before the import: MLflow reads these once. A stray run id would hijack the next run.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # which costs a call, too
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    _sync_less()
    if uri.startswith(SQLITE):
        _checkpoint_at_exit(database_file(uri))
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for noisy in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # what they log is raised as well
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise store_error(error, uri) from None


def _open(uri: str, name: str, artifacts: str | None) -> Store:
    client = _client(uri)
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment_by_name(name)
        if found is None:
            # By default MLflow puts artifacts under the working directory, whatever the database.
            location = None if artifacts is None else f"{artifacts}/{quote(experiment_folder(name), safe='')}"
            return Store(client, uri, client.create_experiment(name, artifact_location=location), name)
    except MlflowException as error:
        raise store_error(error, uri) from None
    if found.lifecycle_stage == "deleted":
        raise UserError(
            f"tracking.experiment must be an experiment that was not deleted, got {name}",
            f"restore it: MLFLOW_TRACKING_URI={redact(uri)} mlflow experiments restore --experiment-id "
            f"{found.experiment_id}; or give another name: tracking.experiment=...",
        )
    return Store(client, uri, found.experiment_id, name)


def database_file(uri: str) -> Path:
    """The file of an SQLite database, given by its URI."""
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0]))


def _check_database(path: Path, patience: float | None = None) -> None:
    """Check a database file before MLflow does, which would retry for a minute."""
    if path.is_dir():
        raise UserError(f"the tracking database {path} is a folder", ELSEWHERE)
    if not path.exists():
        return
    try:
        timeout = PATIENCE if patience is None else patience
        with closing(sqlite3.connect(path, timeout=timeout, isolation_level=None)) as database:
            database.execute("begin immediate")  # acquires the write lock, which is released again below
            tables = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
            database.execute("rollback")
    except sqlite3.Error as error:
        raise UserError(f"the tracking database {path} can't be used: {error}", ELSEWHERE) from None
    if tables and "alembic_version" not in tables:
        raise UserError(f"the tracking database {path} was not made by MLflow", ELSEWHERE)


def _write_ahead(path: Path) -> None:
    """Give a new database a write-ahead log, permanently: a commit then costs a third, and readers never wait."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=SHORT_PATIENCE)) as database:
        database.execute("pragma journal_mode = wal")


@cache
def _sync_less() -> None:
    """Wait for the disk only when a write-ahead log is moved into its database, not at each commit; do that rarely.

    A crash of the program loses nothing; a power failure may lose the last commits, never the database.
    """
    import sqlalchemy

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def relax(connection: Any, _record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        with closing(connection.cursor()) as cursor:
            if cursor.execute("pragma journal_mode").fetchone() == ("wal",):
                cursor.execute("pragma synchronous = normal")
                cursor.execute(f"pragma wal_autocheckpoint = {LOG_PAGES}")


@cache
def _checkpoint_at_exit(path: Path) -> None:
    """Move the contents of the write-ahead log into the database file when this process ends."""
    uri = f"{path.absolute().as_uri()}?mode=rw"

    def checkpoint() -> None:
        with suppress(sqlite3.Error, OSError), closing(sqlite3.connect(uri, timeout=1, uri=True)) as database:
            database.execute("pragma wal_checkpoint(truncate)")

    atexit.register(checkpoint)


def on_local_disk(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a file lies on a disk of this machine; a write-ahead log that several machines share would be damaged."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return False
    kinds = {Path(line[1].replace("\\040", " ")): line[2] for line in lines if len(line) > 2}
    return next((kinds[folder] in LOCAL_DISKS for folder in path.resolve().parents if folder in kinds), False)


def _check_driver(uri: str) -> None:
    """Check that the driver package of a database is installed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        package = DRIVERS.get(str(error.name), str(error.name))
        missing = f"the tracking store {redact(uri)} needs the Python package {error.name}, which is not installed"
        raise UserError(missing, f"pip install '{package}'") from None
    except (ArgumentError, NoSuchModuleError) as error:
        why = redact_text(str(error), uri).splitlines()[0]
        raise UserError(f"tracking.uri must be a database or a server, got {redact(uri)}", why) from None


def _check_server(uri: str) -> None:
    """Check at once that the server accepts connections; MLflow would try for minutes."""
    parts = urlsplit(uri)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # whose text may be a part of a password
        hint = "the signs / : @ in a password are written as %2F %3A %40"
        raise UserError("tracking.uri must be an address such as http://host:5000", hint) from None
    try:
        socket.create_connection((parts.hostname or "", port), timeout=5).close()
    except OSError as error:
        raise UserError(
            f"the tracking server {redact(uri)} does not answer: {error.strerror or error}",
            "start it, or record in a file here: tracking.uri=sqlite:///mlflow.db",
        ) from None


def store_error(error: Exception, uri: str) -> UserError:
    """The `UserError` for an error of MLflow's, without the password of a URI."""
    if isinstance(error, UserError):
        return error
    import mlflow

    text = redact_text(str(error), uri)
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return UserError(
            f"the tracking database {redact(uri)} was made by another version of MLflow than {mlflow.__version__}",
            f"if it is older: mlflow db upgrade {redact(uri)}; if it is newer: pip install --upgrade mlflow; "
            "or give another one: tracking.uri=sqlite:///other.db",
        )
    return UserError(
        f"the tracking store {redact(uri)} can't be used: {(text.splitlines() or [type(error).__name__])[0]}"
    )

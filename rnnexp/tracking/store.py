"""Opening the tracking store safely: the right database, initialised once, with a clear error if it can't be used."""

import logging
import os
import shlex
import shutil
import sys
from typing import Any
from urllib.parse import quote

from rnnexp.checks import UserError
from rnnexp.redaction import redact, redact_text
from rnnexp.tracking import database
from rnnexp.tracking.addresses import ReadOnly, check_address, check_server, database_file, is_server, is_sqlite
from rnnexp.tracking.database import another_version, check_file, locked, prepare, upgrade
from rnnexp.tracking.database_server import tables_made_once
from rnnexp.tracking.keys import experiment_folder
from rnnexp.tracking.same_file import remember
from rnnexp.tracking.sqlite_log import checkpoint_at_exit, relax_sqlite

#: MLflow's settings while recording, unless the environment has others: attempts are short, since others follow.
HTTP = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
#: What MLflow says of a database of another version.
OUTDATED = "out-of-date database schema"


class Store:
    """A tracking store, opened when `client` or `experiment_id` is first asked for: importing MLflow takes seconds.

    Parameters
    ----------
    client : mlflow.MlflowClient or None
        None for one that is not open yet.
    uri : str
    experiment_id, experiment : str
        The number is known of an open one.
    """

    def __init__(self, client: Any, uri: str, experiment_id: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self._client, self._experiment_id = client, experiment_id
        if is_sqlite(uri):
            remember(database_file(uri))

    @property
    def is_open(self) -> bool:
        """Whether MLflow has opened it."""
        return self._client is not None

    @property
    def client(self) -> Any:
        """MLflow's; a `UserError` if the store can't be opened."""
        if self._client is None:
            opened = open_store(self.uri, self.experiment)
            self._client, self._experiment_id = opened.client, opened.experiment_id
        return self._client

    @property
    def experiment_id(self) -> str:
        """The experiment's number, as a text; a `UserError` if the store can't be opened."""
        return self._experiment_id or (self.client and self._experiment_id)

    def ui_command(self, port: int = 5000) -> str | None:
        """The command that shows this store in the MLflow UI; None if a server shows it already."""
        if is_server(self.uri):
            return None
        program = "mlflow" if shutil.which("mlflow") else f"{shlex.quote(sys.executable)} -m mlflow"
        return f"{program} ui --backend-store-uri {shlex.quote(redact(self.uri))} --host 127.0.0.1 --port {port}"

    def base(self, port: int = 5000) -> str:
        """The address of the UI: the server's, or that of `ui_command`."""
        return (redact(self.uri) if self.ui_command() is None else f"http://127.0.0.1:{port}").rstrip("/")

    def link(self, page: str, port: int = 5000) -> str:
        """The address of a page of the UI, such as ``runs/<id>``, in the view for training runs."""
        return f"{self.base(port)}/#/experiments/{self.experiment_id}/{page}?workflowType=machine_learning"


def check_uri(uri: str, experiment: str | None = None) -> None:
    """Check whether there can be a store, within seconds; nothing is made.

    Raises
    ------
    UserError
        If it is neither a database nor a server, the server does not answer, the database file can't be used, or the
        experiment was deleted there.
    """
    if is_sqlite(uri) and str(database_file(uri)) not in (".", ":memory:"):
        check_file(path := database_file(uri))
        deleted = None if experiment is None else database.deleted_experiment(path, experiment)
    else:
        deleted = check_address(uri, experiment)
    if experiment is not None and deleted is not None:
        raise _deleted(uri, experiment, deleted)


def open_store(uri: str, experiment: str) -> Store:
    """Open a store and select an experiment, creating both if need be.

    Raises
    ------
    UserError
        If the store can't be reached, opened or written, is newer than the installed MLflow, or the experiment
        was deleted.
    """
    for name, value in HTTP.items():
        os.environ.setdefault(name, value)
    check_uri(uri)
    if not is_sqlite(uri):
        with tables_made_once(uri):
            return _open(uri, experiment, None)
    path = database_file(uri)

    def open_file() -> Store:
        _set_up()
        # Of several processes that open a missing database at once, all but one die in its migration.
        prepare(path)
        return _open(uri, experiment, (path.parent / "mlartifacts").as_uri())

    found: Store = locked(path, open_file)
    return found


def checked_store(uri: str, experiment: str) -> Store:
    """A store that can be opened, as far as that is seen without MLflow: it is open if that takes MLflow.

    Raises
    ------
    UserError
        As `open_store`.
    """
    check_uri(uri, experiment)
    if is_server(uri) or (is_sqlite(uri) and database.is_current(database_file(uri))):
        return Store(None, uri, "", experiment)
    return open_store(uri, experiment)


def check_now(uri: str, *, failed_before: bool, just_worked: bool = False) -> None:
    """Check quickly, before MLflow tries for long, whether a store that was open can be written now.

    Raises
    ------
    UserError
        If a database file is gone, locked or read-only, or the server no longer accepts connections.
    """
    if is_sqlite(uri):
        path = database_file(uri)
        if not path.exists():
            raise UserError(f"there is no tracking database {path} any more")
        if not just_worked or path.is_dir():
            check_file(path, database.SHORT_PATIENCE)
    elif failed_before and is_server(uri):
        check_server(uri)


def existing_store(uri: str) -> Store:
    """A store that is there already, with no experiment selected; nothing is created.

    Raises
    ------
    UserError
        If there is none, or it can't be used.
    """
    try:
        check_uri(uri)
    except ReadOnly as error:
        copy = f"cp {shlex.quote(str(database_file(uri)))} copy.db"
        hint = f"to read it, copy it to a folder where you may write: {copy}; tracking.uri=sqlite:///copy.db"
        raise UserError(error.problem, hint) from None
    if is_sqlite(uri):
        path, hint = database_file(uri), "name the database: sqlite:///where/it/is.db"
        if not path.exists():
            hint = f"start from the folder where the runs were recorded, or {hint}"
            raise UserError(f"there is no tracking database {path}", hint)
        _set_up()
        if database.is_half_made(path):
            raise UserError(f"there is no run in the tracking database {path} yet, whose making was cut off", hint)
        if database.lacks_tables(path):
            locked(path, lambda: prepare(path))
    with tables_made_once(uri):
        return Store(_client(uri), uri, "", "")


def _set_up() -> None:
    """Import MLflow, which reads these settings once. A stray run id would hijack the next run."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # which costs a call, too
    import mlflow  # noqa: F401

    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for noisy in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # what they log is raised as well
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def _client(uri: str, *, holds_lock: bool = False) -> Any:
    _set_up()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if is_sqlite(uri):
        relax_sqlite()
        checkpoint_at_exit(database_file(uri))
    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        if not (is_sqlite(uri) and OUTDATED in str(error)):
            raise store_error(error, uri) from None
    try:  # it had every table already
        path = database_file(uri)
        upgrade(path) if holds_lock else locked(path, lambda: upgrade(path))
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise store_error(error, uri) from None


def _open(uri: str, name: str, artifacts: str | None) -> Store:
    client = _client(uri, holds_lock=artifacts is not None)
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment_by_name(name)
        if found is None:
            # By default MLflow puts artifacts under the working directory, whatever the database.
            location = None if artifacts is None else f"{artifacts}/{quote(experiment_folder(name), safe='')}"
            try:
                return Store(client, uri, client.create_experiment(name, artifact_location=location), name)
            except MlflowException:
                if (found := client.get_experiment_by_name(name)) is None:
                    raise  # nobody else was faster
    except MlflowException as error:
        raise store_error(error, uri) from None
    if found.lifecycle_stage == "deleted":
        raise _deleted(uri, name, found.experiment_id)
    return Store(client, uri, found.experiment_id, name)


def _deleted(uri: str, name: str, number: str) -> UserError:
    return UserError(
        f"tracking.experiment must be an experiment that was not deleted, got {name}",
        f"restore it: MLFLOW_TRACKING_URI={redact(uri)} mlflow experiments restore --experiment-id {number}; "
        "or give another name: tracking.experiment=...",
    )


def store_error(error: Exception, uri: str) -> UserError:
    """The `UserError` for an error of MLflow's, without the password of a URI."""
    if isinstance(error, UserError):
        return error
    text = redact_text(str(error), uri)
    if OUTDATED in text or "Can't locate revision" in text:
        return another_version(redact(uri))
    return UserError(
        f"the tracking store {redact(uri)} can't be used: {(text.splitlines() or [type(error).__name__])[0]}"
    )

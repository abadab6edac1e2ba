"""The address of a tracking store: as configured, as the path of a file, and whether a server answers there."""

import contextlib
import os
import re
import socket
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rnnexp.checks import UserError
from rnnexp.machine import free_space
from rnnexp.process import reach_this_machine_directly
from rnnexp.redaction import reason_of, redact, redact_text

SQLITE = "sqlite:///"
#: The same for paths that must be quoted: MLflow takes the other form for a path as it is, and makes its folders.
QUOTED = "sqlite+pysqlite:///"
#: Kinds of databases that MLflow can use, with their ports.
DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
#: Packages of drivers, where the name differs.
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
#: Where a password is, if not in the address.
PASSWORDS = {"postgresql": ", which may be in PGPASSWORD or in ~/.pgpass as well"}
#: Seconds that a server may take to answer the first question.
PATIENCE = 5
#: Status of an answer that asks for a login.
REFUSALS = (401, 403, 407)
#: What MLflow answers with 403 to an address that is not among its ``--allowed-hosts``.
UNKNOWN_HOST = "Invalid Host header"
#: Stands for an answer that is no object.
NOTHING: dict[str, Any] = {}
#: Bytes that are too few for a database to be written.
NO_ROOM = 2**20
ELSEWHERE = "record somewhere else: tracking.uri=sqlite:///other.db"
HERE = "start it, or record in a file here: tracking.uri=sqlite:///mlflow.db"


class ReadOnly(UserError):
    """A database that this process may not write, though it may read it."""


def unusable(path: Path, error: Exception) -> UserError:
    """The error for a database file that the system or SQLite refuses; SQLite has several words for a full disk."""
    if isinstance(error, sqlite3.Error) and _is_full(path):
        hint = f"free some there, or record on another disk: tracking.uri={SQLITE}/where/there/is/room/mlflow.db"
        return UserError(f"the tracking database {path} can't be used: no space is left on its disk", hint)
    why = getattr(error, "strerror", None) or error
    return UserError(f"the tracking database {path} can't be used: {why}", elsewhere())


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return free_space(path.parent) < NO_ROOM
    return False


def elsewhere() -> str:
    """Where to record instead: nowhere in this folder if it can't be written, which a run needs as well."""
    return ELSEWHERE if os.access(Path.cwd(), os.W_OK) else "start from a folder where you may write"


def tracking_uri(configured: str | None, folder: Path) -> str:
    """The tracking URI: as configured, else MLFLOW_TRACKING_URI, else ``mlflow.db`` in `folder`.

    A relative path of a database file is resolved against `folder`, in which the command was started. From here on no
    proxy stands between the process and a server on this machine.
    """
    reach_this_machine_directly()
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return sqlite_uri(folder / "mlflow.db")
    scheme, colon, rest = uri.strip().partition(":")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):  # which may be in capitals
        uri = f"{scheme.lower()}{colon}{rest}"
    if is_sqlite(uri):
        path, mark, query = _path_of(uri).partition("?")
        if path not in ("", ":memory:"):
            return f"{sqlite_uri(folder / unquote(path))}{mark}{query}"
    return uri


def is_server(uri: str) -> bool:
    """Whether the address is that of an MLflow server."""
    return uri.startswith(("http://", "https://"))


def is_sqlite(uri: str) -> bool:
    """Whether the address is that of a database file."""
    return uri.startswith((SQLITE, QUOTED))


def sqlite_uri(path: Path) -> str:
    """The address of a database file: only signs that would mean something else in it are quoted."""
    quoted = re.sub(r"[%?\x00-\x1f\x7f]", lambda sign: f"%{ord(sign[0]):02X}", str(path))
    return f"{SQLITE if quoted == str(path) else QUOTED}{quoted}"


def database_file(uri: str) -> Path:
    """The file of an SQLite database, given by its URI."""
    return Path(unquote(_path_of(uri).partition("?")[0]))


def _path_of(uri: str) -> str:
    return uri.removeprefix(SQLITE).removeprefix(QUOTED)


def check_address(uri: str, experiment: str | None = None) -> str | None:
    """Check whether there can be a tracking store at an address that is not a file's, within seconds.

    Returns
    -------
    str or None
        The number of the experiment if it was deleted on a server.

    Raises
    ------
    UserError
        If it is neither a database nor a server, or the server does not answer.
    """
    scheme = uri.partition(":")[0]
    if is_server(uri):
        return check_server(uri, experiment)
    if scheme.startswith("sqlite"):
        if is_sqlite(uri):
            raise UserError(f"tracking.uri must name a file, got {uri}", ELSEWHERE)
        name = uri.partition(":")[2].lstrip("/") or "mlflow.db"
        problem = f"tracking.uri must have three slashes before the path of a database file, got {uri}"
        raise UserError(problem, f"try tracking.uri={SQLITE}{name}")
    if "://" not in uri or scheme.partition("+")[0] not in DATABASES:
        hint = "MLflow no longer writes to plain folders: try tracking.uri=sqlite:///mlflow.db"
        if re.match(r"[\w.-]+:\d+(/|$)", uri):
            hint = f"try tracking.uri=http://{redact(uri)}"
        elif "://" in uri and scheme != "file":
            hint = f"try http, https, sqlite, {', '.join(DATABASES)}, as in tracking.uri=sqlite:///mlflow.db"
        raise UserError(f"tracking.uri must be a database or a server, got {redact(uri)}", hint)
    _check_database_server(uri)
    return None


def _check_database_server(uri: str) -> None:
    """Check that a database's driver is installed, and that the database can be opened; MLflow tries for minutes."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(uri)
        url.get_dialect().import_dbapi()
    except ImportError as error:
        package = DRIVERS.get(str(error.name), str(error.name))
        missing = f"the tracking store {redact(uri)} needs the Python package {error.name}, which is not installed"
        raise UserError(missing, f"pip install '{package}'") from None
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        why = redact_text(str(error), uri).splitlines()[0]
        raise UserError(f"tracking.uri must be a database or a server, got {redact(uri)}", why) from None
    try:
        if url.host and not url.host.startswith("/"):
            port = url.port or DATABASES[url.get_backend_name()]
            socket.create_connection((url.host, port), timeout=PATIENCE).close()
        create_engine(url, poolclass=NullPool).connect().close()
    except OSError as error:
        raise UserError(
            f"the tracking database {redact(uri)} does not answer: {error.strerror or error}", HERE
        ) from None
    except Exception as error:
        problem = f"the tracking database {redact(uri)} can't be opened: {reason_of(error, uri)}"
        hint = "check its name, user and password"
        raise UserError(problem, f"{hint}{PASSWORDS.get(url.get_backend_name(), '')}") from None


def check_server(uri: str, experiment: str | None = None) -> str | None:
    """Ask an MLflow server once, over the same way as MLflow will (proxies, certificates, login).

    Returns
    -------
    str or None
        The number of the experiment if it was deleted there.

    Raises
    ------
    UserError
        If the address is not one, or it is not an MLflow server that answers.
    """
    form = "tracking.uri must be an address such as http://host:5000"
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:  # whose text may be a part of a password
        raise UserError(form, "the signs / : @ in a password are written as %2F %3A %40") from None
    if not host:
        raise UserError(f"{form}, got {redact(uri)}", HERE)
    server = f"the tracking server {redact(uri)}"
    try:
        # Without MLflow, whose import takes seconds, where it would add nothing to the question.
        status, reason, found = _ask_through_mlflow(uri, experiment) if _has_login() else _ask(uri, experiment)
        if status in REFUSALS and reason != UNKNOWN_HOST and not _has_login():
            status, reason, found = _ask_through_mlflow(uri, experiment)  # which may have a plugin that logs in
    except Exception as error:
        raise UserError(f"{server} does not answer: {_root_reason(error, uri)}", HERE) from None
    if reason == UNKNOWN_HOST:
        hint = f"it has to be started with --allowed-hosts '{parts.netloc.rpartition('@')[2]}' (a list, with commas)"
        raise UserError(f"{server} does not know itself by this address ({status} {reason})", hint)
    if status in REFUSALS:
        hint = "give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        raise UserError(f"{server} refuses access ({status} {reason})", hint)
    if status >= 500:
        raise UserError(f"{server} does not answer: {status} {reason}", HERE)
    unknown = experiment is not None and status == 404 and found.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
    if not unknown and (status != 200 or found is NOTHING):
        problem = f"{redact(uri)} is not an MLflow server: it answers {status} {reason}"
        raise UserError(problem, f"check the address, or {ELSEWHERE}")
    there = found.get("experiment", NOTHING)
    return str(there["experiment_id"]) if there.get("lifecycle_stage") == "deleted" else None


def _has_login() -> bool:
    """Whether MLflow is given more than an address: a login, certificates, a workspace."""
    given = (name for name in os.environ if name.startswith(("MLFLOW_TRACKING_", "MLFLOW_WORKSPACE")))
    return any(name != "MLFLOW_TRACKING_URI" for name in given) or Path("~/.mlflow/credentials").expanduser().exists()


def _question(experiment: str | None) -> tuple[str, str, dict[str, Any]]:
    """Method, path and contents of a question that every MLflow server answers."""
    path = "/api/2.0/mlflow/experiments/"
    if experiment is None:  # for each of its users
        return "POST", f"{path}search", {"json": {"max_results": 1}}
    return "GET", f"{path}get-by-name", {"params": {"experiment_name": experiment}}


def _ask(uri: str, experiment: str | None) -> tuple[int, str, dict[str, Any]]:
    """Status, its words, and the object that is answered; `NOTHING` if it is none."""
    import requests

    method, path, contents = _question(experiment)
    return _read(requests.request(method, uri.rstrip("/") + path, timeout=PATIENCE, **contents))


def _ask_through_mlflow(uri: str, experiment: str | None) -> tuple[int, str, dict[str, Any]]:
    from mlflow.utils import credentials, rest_utils

    login: Any = credentials.get_default_host_creds
    ask: Any = rest_utils.http_request
    method, path, contents = _question(experiment)
    short = {"timeout": PATIENCE, "max_retries": 0, "raise_on_status": False}
    return _read(ask(login(uri.rstrip("/")), path, method, **short, **contents))


def _read(answer: Any) -> tuple[int, str, dict[str, Any]]:
    try:
        found = answer.json()
    except ValueError:
        found = NOTHING
    reason = UNKNOWN_HOST if answer.status_code == 403 and UNKNOWN_HOST in answer.text else answer.reason
    return answer.status_code, reason, found if isinstance(found, dict) else NOTHING


def _root_reason(error: BaseException, uri: str) -> str:
    """What the system said, below all that libraries made of it."""
    seen: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        one = queue.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            queue += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    said = [one.strerror for one in seen if isinstance(one, OSError) and one.strerror]
    slow = [one for one in seen if "timeout" in type(one).__name__.lower()]
    if said:
        return redact_text(str(said[-1]), uri)
    if slow:
        return f"nothing came in {PATIENCE} seconds"
    return redact_text(str(seen[-1]), uri).splitlines()[0][:200] if str(seen[-1]) else type(seen[-1]).__name__

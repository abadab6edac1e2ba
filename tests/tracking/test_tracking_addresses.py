"""A store that can't be used is refused in two lines, within seconds, and before anything is made."""

import os
import shutil
import sqlite3
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rnnexp.checks import UserError
from rnnexp.redaction import redact
from rnnexp.tracking import addresses
from rnnexp.tracking.addresses import database_file, sqlite_uri, tracking_uri
from rnnexp.tracking.store import check_uri, checked_store, existing_store

LONG = "x" * 300
REFUSED = [
    ("sqlite://mlflow.db", "three slashes", "tracking.uri=sqlite:///mlflow.db"),
    ("sqlite:mlflow.db", "three slashes", "tracking.uri=sqlite:///mlflow.db"),
    ("sqlite:/x/y.db", "three slashes", "tracking.uri=sqlite:///x/y.db"),
    ("SQLITE://mlflow.db", "three slashes", "tracking.uri=sqlite:///mlflow.db"),
    ("sqlite://", "three slashes", "tracking.uri=sqlite:///mlflow.db"),
    ("sqlite:///", "must name a file", "tracking.uri=sqlite:///"),
    ("sqlite:///:memory:", "must name a file", "tracking.uri=sqlite:///"),
    ("sqlite:///link.db", "is a link to", "tracking.uri=sqlite:///"),
    ("sqlite:///loop.db", "is a link to", "tracking.uri=sqlite:///"),
    ("sqlite:///folder", "is a folder", "tracking.uri=sqlite:///"),
    ("sqlite:///pipe", "is not a file", "tracking.uri=sqlite:///"),
    ("sqlite:////dev/null", "is not a file", "tracking.uri=sqlite:///"),
    ("sqlite:///text.db", "not a database", "tracking.uri=sqlite:///"),
    ("sqlite:///text.db/mlflow.db", "Not a directory", "tracking.uri=sqlite:///"),
    (f"sqlite:///{LONG}.db", "File name too long", "tracking.uri=sqlite:///"),
    (f"sqlite:///{LONG}/mlflow.db", "File name too long", "tracking.uri=sqlite:///"),
    ("sqlite:///a%00b.db", "can't be used", "tracking.uri=sqlite:///"),
    ("sqlite:////proc/mlflow.db", "/proc/mlflow.db can't be used", "tracking.uri=sqlite:///"),
    ("sqlite:////proc/new/mlflow.db", "/proc/new/mlflow.db can't be used", "tracking.uri=sqlite:///"),
    ("HTTP://127.0.0.1:9", "http://127.0.0.1:9 does not answer: Connection refused", "tracking.uri=sqlite:///"),
    ("https://127.0.0.1:9", "does not answer", "tracking.uri=sqlite:///"),
    ("http://nowhere.invalid:5000", "does not answer", "tracking.uri=sqlite:///"),
    ("http://", "an address such as http://host:5000", "tracking.uri=sqlite:///"),
    ("http://127.0.0.1:99999", "an address such as http://host:5000", ""),
    ("http:/127.0.0.1:9", "a database or a server", "tracking.uri="),
    ("127.0.0.1:5000", "a database or a server", "tracking.uri=http://127.0.0.1:5000"),
    ("localhost:5000/prefix", "a database or a server", "tracking.uri=http://localhost:5000/prefix"),
    ("ftp://host/x", "a database or a server", "http, https, sqlite"),
    ("oracle://host/x", "a database or a server", "http, https, sqlite"),
    ("file:///tmp/mlruns", "a database or a server", "tracking.uri=sqlite:///mlflow.db"),
    ("mlflow.db", "a database or a server", "tracking.uri=sqlite:///mlflow.db"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)
    Path("link.db").symlink_to("nowhere.db")
    Path("loop.db").symlink_to("loop.db")
    Path("folder").mkdir()
    Path("text.db").write_text("not a database, but long enough to look like something" * 20)
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
@pytest.mark.parametrize(("uri", "problem", "hint"), REFUSED, ids=[uri[:30] for uri, _, _ in REFUSED])
def test_it_is_told_what_is_wrong_and_nothing_is_made(folder, uri, problem, hint):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError) as refused:
        check_uri(tracking_uri(uri, folder))
    assert problem in refused.value.problem and hint in refused.value.hint
    assert len(str(refused.value).splitlines()) == 2
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "uri", ["sqlite:///new.db", "SQLite:///new.db", "sqlite:///new/folder/new.db", " sqlite:///n.db"]
)
def test_a_database_that_can_be_made_is_allowed_and_not_made_yet(folder, uri):
    before = sorted(folder.rglob("*"))
    check_uri(tracking_uri(uri, folder))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_database_that_can_only_be_read_is_refused(folder, monkeypatch, place):
    """Read-only, immutable (for root, too), or on a disk that is mounted so: the system says it."""
    path, access = folder / "mlflow.db", os.access
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table runs (run_uuid text, experiment_id text, lifecycle_stage text)")
    locked = path if place == "file" else folder
    monkeypatch.setattr(
        os, "access", lambda one, mode: not (mode & os.W_OK and Path(one) == locked) and access(one, mode)
    )
    with pytest.raises(UserError, match=f"{locked} is read-only") as recording:
        check_uri(sqlite_uri(path))
    with pytest.raises(UserError, match=f"{locked} is read-only") as reading:
        existing_store(sqlite_uri(path))
    here = {"file": "record somewhere else", "folder": "start from a folder where you may write"}  # which is this one
    assert recording.value.hint.startswith(here[place]) and f"cp {path} copy.db" in reading.value.hint


@pytest.mark.parametrize("said", ["disk I/O error", "database or disk is full", "unable to open database file"])
def test_whatever_sqlite_says_of_a_full_disk_it_is_called_so(folder, monkeypatch, said):
    path, used = folder / "new" / "mlflow.db", shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: used._replace(free=4096))
    told = addresses.unusable(path, sqlite3.OperationalError(said))
    assert told.problem.endswith("no space is left on its disk") and "sqlite:////where" in told.hint
    assert addresses.unusable(path, PermissionError(13, "Permission denied")).problem.endswith("Permission denied")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: used._replace(free=2**30))
    assert said in addresses.unusable(path, sqlite3.OperationalError(said)).problem


@pytest.mark.parametrize("name", ["a b", "p%20q", "a#b", "a?b", "한글", "100%", "a\tb", "plain"])
def test_a_path_becomes_an_address_and_back(tmp_path, monkeypatch, name):
    from sqlalchemy.engine import make_url

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / name / f"{name}.db"
    uri = sqlite_uri(path)
    assert database_file(uri) == path and make_url(uri).database == str(path)
    assert tracking_uri(uri, Path("/elsewhere")) == uri
    assert database_file(tracking_uri(None, path.parent)) == path.parent / "mlflow.db"


class Server(BaseHTTPRequestHandler):
    """Answers everything alike, also as a proxy, and remembers what it was asked."""

    status, content, asked = 200, b'{"experiments": []}', []

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def do_GET(self):
        self.do_POST()

    def log_message(self, *given):
        pass


@contextmanager
def answering(status=200, content=b'{"experiments": []}'):
    kind = type("Kind", (Server,), {"status": status, "content": content, "asked": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", kind.asked
        server.shutdown()
        thread.join()


def test_a_server_that_only_a_proxy_reaches_is_reached(folder, monkeypatch):
    with answering() as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        check_uri("http://tracking.invalid:5000")
        assert asked[0][0].startswith("http://tracking.invalid:5000/api/")
        monkeypatch.setenv("NO_PROXY", "tracking.invalid")
        with pytest.raises(UserError, match="does not answer"):
            check_uri("http://tracking.invalid:5000")
        assert len(asked) == 1


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_a_proxy_that_is_not_there_is_told_and_none_is_asked_for_this_machine(folder, monkeypatch, name):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, "intranet")
    with answering() as (uri, _):
        assert tracking_uri(uri, folder) == uri
        check_uri(uri)
    assert os.environ[name] == "intranet,localhost,127.0.0.1,::1"
    with pytest.raises(UserError, match="does not answer: Connection refused"):
        check_uri("http://tracking.invalid:5000")


@pytest.mark.parametrize(("proxy", "given"), [("", "intranet"), ("http://127.0.0.1:9", "*")])
def test_what_the_environment_says_of_proxies_stays_where_nothing_is_missing(folder, monkeypatch, proxy, given):
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", given)
    tracking_uri(None, folder)
    assert os.environ["no_proxy"] == given


def test_the_login_goes_with_the_question(folder, monkeypatch):
    with answering() as (uri, asked):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        check_uri(f"{uri}/prefix/")
    assert asked[0][0] == "/prefix/api/2.0/mlflow/experiments/search" and asked[0][1].startswith("Basic ")


@pytest.mark.parametrize(
    ("status", "content", "problem"),
    [
        (404, b"<html>", "is not an MLflow server: it answers 404"),
        (200, b"<html>", "is not an MLflow server: it answers 200"),
        (200, b"[]", "is not an MLflow server"),
        (405, b"", "is not an MLflow server"),
        (401, b"{}", "refuses access"),
        (403, b"{}", "refuses access"),
        (403, b"Invalid Host header - possible DNS rebinding attack detected", "does not know itself by this address"),
        (502, b"Bad gateway", "does not answer: 502"),
        (503, b"{}", "does not answer: 503"),
    ],
)
@pytest.mark.parametrize("experiment", [None, "lab"])
def test_what_answers_otherwise_is_refused(folder, status, content, problem, experiment):
    with answering(status, content) as (uri, asked):
        with pytest.raises(UserError, match=problem) as refused:
            check_uri(uri, experiment)
        # Where a login is asked for, MLflow may have one of a plugin.
        login = "MLFLOW_TRACKING_USERNAME" in refused.value.hint
        assert len(asked) == 1 + login and login == ("refuses access" in problem)
        if b"Host" in content:
            assert f"--allowed-hosts '{uri.removeprefix('http://')}'" in refused.value.hint


DELETED = b'{"experiment": {"experiment_id": "7", "name": "lab", "lifecycle_stage": "deleted"}}'


@pytest.mark.parametrize("login", [False, True])
def test_a_server_is_asked_for_the_experiment_and_mlflow_only_if_there_is_a_login(folder, monkeypatch, login):
    """MLflow's import takes seconds."""
    by_mlflow, ask = [], addresses._ask_through_mlflow
    monkeypatch.setattr(addresses, "_ask_through_mlflow", lambda *given: by_mlflow.append(given) or ask(*given))
    monkeypatch.setenv("HOME", str(folder))
    if login:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with answering(content=DELETED) as (uri, asked):
        with pytest.raises(UserError, match="was not deleted, got lab") as refused:
            check_uri(uri, "lab")
        assert "--experiment-id 7" in refused.value.hint
    with answering(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}') as (uri, _):
        assert not checked_store(uri, "new").is_open
    assert asked[0][0] == "/api/2.0/mlflow/experiments/get-by-name?experiment_name=lab"
    assert asked[0][1] == ("Bearer secret" if login else None)
    assert len(by_mlflow) == (2 if login else 0)


def test_a_database_server_that_does_not_answer_is_refused_before_mlflow_tries_for_minutes(folder, monkeypatch):
    """With a driver that is there: SQLite's stands for it."""
    from sqlalchemy.dialects.postgresql import psycopg

    monkeypatch.setattr(psycopg.PGDialect_psycopg, "import_dbapi", classmethod(lambda cls: sqlite3))
    with pytest.raises(UserError, match=r"postgresql://ann:\*\*\*@127.0.0.1:9/x does not answer: Connection refused"):
        check_uri("postgresql+psycopg://ann:secret@127.0.0.1:9/x".replace("+psycopg", ""))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://ann:secret@host:5432/runs", "postgresql://ann:***@host:5432/runs"),
        ("postgresql+psycopg://ann:se/cr@et@host/runs", "postgresql+psycopg://ann:***@host/runs"),
        ("mysql+pymysql://ann@host/runs", "mysql+pymysql://ann@host/runs"),
        ("https://ann:secret@host", "https://***@host"),
        ("https://token@host/path", "https://***@host/path"),
        ("postgresql:///runs?user=ann&password=secret&host=db", "postgresql:///runs?user=ann&password=***&host=db"),
    ],
)
def test_an_address_is_shown_without_its_password_but_with_the_user_of_a_database(uri, shown):
    assert redact(uri) == shown

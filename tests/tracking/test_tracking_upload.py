"""A store that fails in the middle of a run disturbs nobody, and gets the whole record later, every point once."""

import errno
import os
import shutil
import socket
import sqlite3
from collections import Counter, defaultdict
from contextlib import contextmanager

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from rnnexp.checks import UserError
from rnnexp.history import Point
from rnnexp.tracking import database, dead_runs, mlflow_run, store, sync
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.run_log import RUN_LOG, RunLog, is_complete

DATASET = {"name": "recall", "digest": "1", "source_type": "drawn", "source": "{}", "profile": '{"steps": 9}'}
PARAMS = {f"key{number}": number for number in range(120)}  # more than one call takes


@pytest.fixture
def opened(tmp_path, migrated, monkeypatch):
    """An open store, whose failures are noticed soon."""
    monkeypatch.setattr(mlflow_run, "pauses", defaultdict(mlflow_run.Pause))
    monkeypatch.setattr(mlflow_run, "TRUST", 0.0)
    for name in ("PATIENCE", "SHORT_PATIENCE"):
        monkeypatch.setattr(database, name, 0.1)
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return store.open_store(f"sqlite:///{tmp_path}/mlflow.db", "lab")


@pytest.fixture
def begin(opened, tmp_path):
    def begin(name="run", **options):
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True, exist_ok=True)
        return MLflowRun(opened, name, PARAMS, "the command", {"rnnexp.kind": "run"}, folder=folder, **options)

    return begin


@pytest.fixture
def upload(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *folders, uri=None: sync.sync_folders(folders, uri)


@contextmanager
def broken(tmp_path):
    """The database is away, and a folder stands in its place."""
    path, aside = tmp_path / "mlflow.db", tmp_path / "aside.db"
    path.rename(aside)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        aside.rename(path)


@contextmanager
def locked(tmp_path):
    holder = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    holder.execute("begin exclusive")
    try:
        yield
    finally:
        holder.close()


def points(step, count=7):
    return [Point(f"train/metric{number}", step + number / 8, step) for number in range(count)]


def stored(tmp_path, run):
    """How often every (metric, step, value) of a run is in the database."""
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        found = database.execute("select key, step, value from metrics where run_uuid = ?", (run,)).fetchall()
    database.close()
    return Counter(found)


def expected(steps, count=7):
    return Counter((point.name, point.step, point.value) for step in steps for point in points(step, count))


def pending(run):
    """What the file says that MLflow has not accepted, of some kinds."""
    return [kind for entry in RunLog(run.folder, resumed=True).pending for kind in entry]


def waiting(tmp_path):
    return sorted(path.parent.name for path in tmp_path.rglob(RUN_LOG) if not is_complete(path))


@pytest.mark.parametrize("failure", [broken, locked])
def test_what_came_while_the_store_failed_is_uploaded_at_the_end(begin, opened, tmp_path, capsys, failure):
    run = begin()
    run.add(points(1))
    run.flush()
    with failure(tmp_path):
        for step in (2, 3, 4):
            run.add(points(step))
            run.flush()
            assert pending(run).count("metrics") == step - 1
        assert waiting(tmp_path) == ["run"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("rnnexp: MLflow is not accepting data (the tracking database ")
    assert told[0].endswith("); training continues and the rest is uploaded later")
    assert "python -m rnnexp.tracking sync" in told[1]
    run.artifact(run.folder / "missing.txt")
    assert run.end("FINISHED", {"note": "whole"}) == ""
    assert waiting(tmp_path) == []
    assert stored(tmp_path, run.id) == expected((1, 2, 3, 4))
    record = opened.client.get_run(run.id)
    assert record.info.status == "FINISHED"
    assert record.data.params == {key: str(value) for key, value in PARAMS.items()}
    assert record.data.tags["note"] == "whole"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("failure", [broken, locked])
def test_what_is_missing_at_the_end_is_uploaded_by_sync(begin, opened, upload, tmp_path, capsys, failure):
    run = begin()
    run.add(points(1))
    run.flush()
    (run.folder / "table.csv").write_text("a,b\n")
    with failure(tmp_path):
        run.add(points(2))
        run.flush()
        run.add(points(3, count=2500))
        run.artifact(run.folder / "table.csv")
        assert run.end("FAILED", {"error": "of its own"}) == ""
        assert run.undelivered
        capsys.readouterr()
        assert upload() == 1
        told = capsys.readouterr().err
        assert told.startswith("rnnexp: ") and "not uploaded" in told
        assert waiting(tmp_path) == ["run"]
    assert upload() == 0
    assert capsys.readouterr().out.splitlines() == [
        f"outputs/run: uploaded 2507 points, 1 file to run {run.id}, FAILED"
    ]
    assert waiting(tmp_path) == []
    assert stored(tmp_path, run.id) == expected((1, 2)) + expected((3,), 2500)
    record = opened.client.get_run(run.id)
    assert record.info.status == "FAILED"
    assert record.info.end_time >= record.info.start_time
    assert record.data.tags["error"] == "of its own"
    assert [file.path for file in opened.client.list_artifacts(run.id)] == ["table.csv"]
    assert upload() == 0
    assert "nothing to upload" in capsys.readouterr().out


def test_an_answer_that_is_lost_doubles_nothing(begin, opened, upload, tmp_path, monkeypatch):
    run = begin()

    def lost(call):
        def answer(*arguments, **named):
            call(*arguments, **named)
            raise MlflowException("timed out")

        return answer

    run.put(inputs=[DATASET])
    for name in ("log_inputs", "log_batch"):
        monkeypatch.setattr(opened.client, name, lost(getattr(opened.client, name)))
    for step in (1, 2):
        run.add(points(step))
        run.flush()
    run.end("FINISHED", {})
    assert waiting(tmp_path) == ["run"]
    assert upload() == 0
    assert stored(tmp_path, run.id) == expected((1, 2))
    kept = opened.client.get_run(run.id)
    assert kept.info.status == "FINISHED"
    (given,) = kept.inputs.dataset_inputs
    assert {name: getattr(given.dataset, name) for name in DATASET} == DATASET


def test_a_dataset_that_another_process_enters_at_the_same_time_is_an_input_all_the_same(begin, opened, monkeypatch):
    run, tries = begin(), []
    log_inputs = opened.client.log_inputs

    def taken(*arguments):
        tries.append(arguments)
        if len(tries) == 1:
            raise MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)
        log_inputs(*arguments)

    monkeypatch.setattr(opened.client, "log_inputs", taken)
    run.put(inputs=[DATASET])
    run.end("FINISHED", {})
    assert not run.pending and not run.refused and len(tries) == 2
    assert len(opened.client.get_run(run.id).inputs.dataset_inputs) == 1


def test_a_run_that_could_not_be_created_is_created_once(begin, opened, upload, tmp_path, monkeypatch):
    with broken(tmp_path):
        late = begin("late", later=True)
        assert late.id is None
    late.add(points(1))
    mlflow_run.pauses[opened.uri].works()
    assert late.end("FINISHED", {}) == ""
    assert stored(tmp_path, late.id) == expected((1,))

    create_run = opened.client.create_run

    def lost(*arguments, **named):
        create_run(*arguments, **named)
        raise MlflowException("timed out")

    monkeypatch.setattr(opened.client, "create_run", lost)
    doubtful = begin("doubtful", later=True)
    doubtful.add(points(2))
    assert doubtful.end("FINISHED", {}) == ""
    assert waiting(tmp_path) == ["doubtful"]
    assert upload() == 0
    names = {run.info.run_name: run for run in opened.client.search_runs([opened.experiment_id])}
    assert sorted(names) == ["doubtful", "late"]
    assert len(opened.client.search_runs([opened.experiment_id])) == 2
    assert names["doubtful"].info.status == "FINISHED"
    assert stored(tmp_path, names["doubtful"].info.run_id) == expected((2,))


def test_a_run_that_is_resumed_before_it_could_be_created_is_created_with_all_of_it(begin, opened, tmp_path):
    with broken(tmp_path):
        first = begin(later=True)
        first.add(points(1))
        assert first.end("KILLED", {"error": "stopped by Ctrl-C"}) == ""
    mlflow_run.pauses.clear()
    again = begin(resumed=True)
    record = opened.client.get_run(again.id)
    assert record.info.status == "RUNNING" and "error" not in record.data.tags
    again.add(points(1))
    again.add(points(2))
    assert again.end("FINISHED", {}) == ""
    assert len(opened.client.search_runs([opened.experiment_id])) == 1
    assert stored(tmp_path, again.id) == expected((1, 2))
    assert waiting(tmp_path) == []


def test_a_short_run_costs_three_calls(begin, opened, monkeypatch):
    dead_runs.end_dead_runs(opened)  # for which the first one of a process has looked
    called = []
    for name in [name for name in dir(opened.client) if not name.startswith("_")]:
        if callable(method := getattr(opened.client, name)):
            count = lambda *given, name=name, method=method, **more: called.append(name) or method(*given, **more)  # noqa: E731
            monkeypatch.setattr(opened.client, name, count)
    run = begin()
    run.add(points(1))
    run.flush_if_due()
    (run.folder / "table.csv").write_text("a,b\n")
    run.artifact(run.folder / "table.csv")
    assert run.end("FINISHED", {"note": "whole"}) == ""
    assert called == ["create_run", "log_batch", "set_terminated"]


def test_a_run_that_can_not_be_created_now_is_refused(begin, tmp_path):
    with broken(tmp_path), pytest.raises(UserError, match="is a folder"):
        begin()


def test_a_deleted_run_is_reported_and_uploaded_when_it_is_back(begin, opened, upload, tmp_path, capsys):
    deleted, other = begin("deleted"), begin("other")
    opened.client.delete_run(deleted.id)
    for run in (deleted, other):
        run.add(points(1))
        run.flush()
        run.end("FINISHED", {})
    assert waiting(tmp_path) == ["deleted"]  # the store is not to blame
    assert upload() == 1
    assert f"mlflow runs restore --run-id {deleted.id}" in capsys.readouterr().err
    opened.client.restore_run(deleted.id)
    assert upload() == 0
    assert stored(tmp_path, deleted.id) == expected((1,))


def test_a_full_disk_as_well_is_what_end_returns(begin, tmp_path, monkeypatch):
    run = begin()
    run.add(points(1))

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with broken(tmp_path), monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert run.end("FINISHED", {}) == "No space left on device"


def test_the_log_of_a_killed_process_ends_its_run(begin, opened, upload, tmp_path, monkeypatch):
    monkeypatch.setattr(
        mlflow_run, "process_tags", lambda: {"host": socket.gethostname(), "pid": "1", "process_start": "0"}
    )
    run = begin()
    with broken(tmp_path):
        run.add(points(1))
        run.flush()
    with (run.folder / RUN_LOG).open("a") as file:
        file.write('{"metrics":[["train/metr')  # it was killed at this moment
    assert upload() == 0
    record = opened.client.get_run(run.id)
    assert record.info.status == "KILLED"
    assert record.data.tags["error"] == dead_runs.DIED_SILENTLY
    assert stored(tmp_path, run.id) == expected((1,))


def test_the_log_of_a_run_that_is_still_running_is_left_to_it(begin, upload, tmp_path, capsys):
    run = begin()
    with broken(tmp_path):
        run.add(points(1))
        run.flush()
    capsys.readouterr()
    assert upload() == 0
    assert "still running" in capsys.readouterr().out
    assert waiting(tmp_path) == ["run"]
    assert run.end("FINISHED", {}) == ""
    assert stored(tmp_path, run.id) == expected((1,))


def test_no_files_from_elsewhere_are_uploaded(begin, opened, upload, tmp_path, capsys):
    run = begin()
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(ValueError, match="secret"):
        run.artifact(tmp_path / "secret.txt")
    with broken(tmp_path):
        run.put(artifacts=["../../secret.txt"])
        run.end("FINISHED", {})
    assert upload() == 1
    assert "outside of its folder" in capsys.readouterr().err
    assert opened.client.list_artifacts(run.id) == []


@pytest.mark.parametrize(
    "text",
    ["", "no json\n", "[1]\n", '{"metrics":[]}\n', '{"begin":{}}\n', '{"begin":{"uri":"sqlite:///x.db"}}\n[1]\n'],
)
def test_a_file_that_is_not_a_run_log_is_reported(upload, tmp_path, text, capsys):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / RUN_LOG).write_text(text)
    assert upload() == 1
    assert "is not a run log" in capsys.readouterr().err


def test_what_an_earlier_version_left_is_reported_and_left(upload, tmp_path, capsys):
    (tmp_path / "outputs").mkdir()
    outbox = tmp_path / "outputs" / "outbox.jsonl"
    outbox.write_text('{"run":null,"uri":"sqlite:///x.db"}\n')
    assert upload() == 1
    problem, hint = capsys.readouterr().err.splitlines()
    assert problem == "rnnexp: outputs: not uploaded: outbox.jsonl was written by an earlier version of rnnexp"
    assert "outbox.jsonl" in hint and outbox.exists()


def test_no_password_is_written_or_printed(begin, opened, upload, tmp_path, capsys, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        uri = f"http://ann:pa55word@{address}"
        there = store.Store(opened.client, uri, opened.experiment_id, "lab")
        folder = tmp_path / "outputs" / "http"
        folder.mkdir(parents=True)
        run = MLflowRun(there, "http", PARAMS, "the command", {}, folder=folder)

        def failing(*arguments, **named):
            raise MlflowException(f"API request to {uri}/api failed with pa55word")

        monkeypatch.setattr(opened.client, "log_batch", failing)
        run.add(points(1))
        run.flush()
        run.end("FINISHED", {})
        assert "pa55word" not in (folder / RUN_LOG).read_text()
        assert RunLog(folder, resumed=True).creator["uri"] == f"http://***@{address}"
        assert upload() == 1
        assert upload(uri=uri) == 1
    told = capsys.readouterr()
    assert "pa55word" not in told.err + told.out
    assert f"--uri http://user:password@{address}" in told.err
    assert "does not answer" in told.err


def test_pauses_grow_to_a_limit(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(mlflow_run.time, "monotonic", lambda: now[0])
    pause, lengths = mlflow_run.Pause(), []
    assert pause.over and not pause.failing
    for _ in range(9):
        pause.failed(took=0.0)
        assert pause.failing
        begin = now[0]
        while not pause.over:
            now[0] += 5.0
        lengths.append(now[0] - begin)
    assert lengths == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    pause.works()
    assert pause.just_worked and not pause.failing
    pause.failed(took=20.0)
    assert not pause.just_worked
    now[0] += 75
    assert not pause.over
    now[0] += 6
    assert pause.over


def test_a_server_that_listens_and_never_answers_is_given_up(tmp_path, monkeypatch, capsys):
    from mlflow import MlflowClient

    monkeypatch.setattr(mlflow_run, "pauses", defaultdict(mlflow_run.Pause))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        there = store.Store(MlflowClient(tracking_uri=uri), uri, "1", "lab")
        run = MLflowRun(there, "run", PARAMS, "the command", {}, folder=tmp_path, later=True)
        run.add(points(1))
        run.flush()
        assert run.end("FINISHED", {}) == ""
    assert run.id is None
    assert len(capsys.readouterr().err.splitlines()) == 2
    log = RunLog(tmp_path, resumed=True)
    assert log.id is None and log.creator["run_name"] == "run"
    assert log.ended[0] == "FINISHED"
    assert [kind for entry in log.pending for kind in entry] == ["begin", "params", "metrics", "end"]
    assert sum(len(entry.get("metrics", ())) for entry in log.pending) == 7

"""What a store refuses for good costs nothing but itself: it is named, all else arrives, and the run ends."""

import errno
import os
import shutil
from collections import defaultdict

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from rnnexp.history import Point
from rnnexp.tracking import mlflow_run, store, sync, upload
from rnnexp.tracking.mlflow_run import MLflowRun
from rnnexp.tracking.run_log import RUN_LOG, RunLog, is_complete

PARAMS = {"cell": "rnn", "task.weights.k@1": 1, "task.weights.k%1": 2, "huge": 10**5000, "long": "x" * 9000}


@pytest.fixture
def opened(tmp_path, migrated, monkeypatch):
    monkeypatch.setattr(mlflow_run, "pauses", defaultdict(mlflow_run.Pause))
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return store.open_store(f"sqlite:///{tmp_path}/mlflow.db", "lab")


@pytest.fixture
def begin(opened, tmp_path):
    def begin(**options):
        (tmp_path / "outputs").mkdir(exist_ok=True)
        tags = {"rnnexp.kind": "run", "odd@tag": "a\0b", "long": "x" * 9000}
        return MLflowRun(opened, "ru\x1bn\ud800", PARAMS, "the command", tags, folder=tmp_path / "outputs", **options)

    return begin


@pytest.fixture
def refusing(opened, monkeypatch):
    """Let the store refuse every batch with something of a name, with a code."""

    def refuse(name, code=INVALID_PARAMETER_VALUE):
        log_batch, calls = opened.client.log_batch, []

        def log(run_id, metrics=(), params=(), tags=()):
            calls.append(len(metrics) + len(params) + len(tags))
            if any(name in each.key for each in [*metrics, *params, *tags]):
                raise MlflowException(f"{name} can't be\nTraceback", code)
            log_batch(run_id, metrics=metrics, params=params, tags=tags)

        monkeypatch.setattr(opened.client, "log_batch", log)
        return calls

    return refuse


def points(*names):
    return [Point(name, float(number), 1) for number, name in enumerate(names)]


def test_a_users_names_arrive_without_a_word(begin, opened, tmp_path, capsys):
    run = begin()
    run.add(points("eval/loss", "eval/map@3", "eval/map%3", "eval/정확도", "../x", "/"))
    assert run.end("FINISHED", {"no@te": "\ud800"}) == ""
    data = opened.client.get_run(run.id).data
    assert sorted(data.metrics.values()) == [0, 1, 2, 3, 4, 5]
    assert data.params["cell"] == "rnn" and len(data.params) == len(PARAMS)
    assert "refused" not in data.tags
    assert is_complete(tmp_path / "outputs" / RUN_LOG)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["bad", "task.lag", "note"], ids=["metric", "param", "tag"])
def test_one_that_is_refused_costs_itself_alone(begin, opened, refusing, tmp_path, capsys, name):
    refusing(name)
    run = begin()
    run.put(params={"task.lag": "8", "task": "recall"})
    run.add(points("bad", *(f"m{number}" for number in range(1500))))
    (tmp_path / "outputs" / "table.csv").write_text("a,b\n")
    run.artifact(tmp_path / "outputs" / "table.csv")
    assert run.end("FINISHED", {"note": "whole", "other": "there"}) == ""
    record = opened.client.get_run(run.id)
    assert record.info.status == "FINISHED"
    kept = {**record.data.metrics, **record.data.params, **record.data.tags}
    wanted = {"bad", "task.lag", "note", "task", "other", *(f"m{number}" for number in range(1500))}
    assert wanted - kept.keys() == {name}
    assert name in kept["refused"]
    assert [file.path for file in opened.client.list_artifacts(run.id)] == ["table.csv"]
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("rnnexp: MLflow refuses for good, and ") and name in told and "can't be" in told
    log = RunLog(tmp_path / "outputs", resumed=True)
    assert log.pending == [] and len(log.refused) == 1 and is_complete(log.path)


def test_the_same_again_is_not_told_twice_nor_by_the_process_that_resumes(begin, refusing, capsys):
    refusing("bad")
    run = begin()
    for step in (1, 2, 3):
        run.add([Point("bad", 0.0, step), Point("good", 0.0, step)])
        run.flush()
    run.end("KILLED", {})
    again = begin(resumed=True)
    again.add([Point("bad", 0.0, 4), Point("worse bad", 0.0, 4)])
    again.end("FINISHED", {})
    told = capsys.readouterr().err.splitlines()
    assert [line.partition("keeps: ")[2].partition(" (")[0] for line in told] == ["metric bad", "metric worse bad"]
    assert again.store.client.get_run(run.id).data.tags["refused"].splitlines()[:2] == [
        "metric bad",
        "metric worse bad",
    ]


@pytest.mark.parametrize("code", [TEMPORARILY_UNAVAILABLE, RESOURCE_DOES_NOT_EXIST])
def test_a_store_that_fails_now_loses_nothing(begin, refusing, tmp_path, code):
    calls = refusing("bad", code)
    run = begin()
    run.add(points("bad", "good"))
    run.end("FINISHED", {})
    assert len(calls) <= 2, "it was sent in parts"
    log = RunLog(tmp_path / "outputs", resumed=True)
    assert [kind for entry in log.pending for kind in entry][:1] == ["params"] and log.refused == []


def test_of_a_deleted_run_nothing_is_set_aside(begin, opened, tmp_path):
    run = begin()
    opened.client.delete_run(run.id)
    run.add(points("good"))
    run.end("FINISHED", {})
    log = RunLog(tmp_path / "outputs", resumed=True)
    assert log.pending and log.refused == []


class Folder:
    """A repository of files that fails for one of them."""

    def __init__(self, repository, error):
        self.repository, self.error = repository, error

    def log_artifact(self, path):
        if path.endswith("bad.png"):
            raise self.error
        self.repository.log_artifact(path)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long"), True),
        (MlflowException("Invalid artifact path", INVALID_PARAMETER_VALUE), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (MlflowException("unreachable", TEMPORARILY_UNAVAILABLE), False),
        (RuntimeError("some driver's"), False),
    ],
    ids=str,
)
def test_a_file_that_can_not_be_stored_keeps_back_neither_the_others_nor_the_end(
    begin, opened, tmp_path, monkeypatch, capsys, error, refused
):
    open_run = upload.open_run
    monkeypatch.setattr(
        mlflow_run,
        "open_run",
        lambda *given, **named: (lambda run, files: (run, Folder(files, error)))(*open_run(*given, **named)),
    )
    run = begin()
    for name in ("a.csv", "bad.png", "z.csv"):
        (tmp_path / "outputs" / name).write_text(name)
        run.artifact(tmp_path / "outputs" / name)
    assert run.end("FINISHED", {}) == ""
    record = opened.client.get_run(run.id)
    assert record.info.status == "FINISHED"
    assert [file.path for file in opened.client.list_artifacts(run.id)] == ["a.csv", "z.csv"]
    told = capsys.readouterr().err
    assert "bad.png" in told and run.undelivered is not refused
    assert ("refused" in record.data.tags) is refused
    if not refused:  # it is uploaded when that is possible
        assert sync.sync_folders([os.fspath(tmp_path)], None) == 0
        assert len(opened.client.list_artifacts(run.id)) == 3
        assert opened.client.get_run(run.id).info.status == "FINISHED"


@pytest.mark.parametrize("name", ["가" * 90, "..", "a/b", "x" * 500])
def test_files_of_an_experiment_of_any_name_arrive_in_a_folder_of_its_own(opened, tmp_path, name):
    there = store.open_store(opened.uri, name)
    (tmp_path / "outputs").mkdir()
    run = MLflowRun(there, "run", {}, "the command", {}, folder=tmp_path / "outputs")
    (tmp_path / "outputs" / "table.csv").write_text("a,b\n")
    run.artifact(tmp_path / "outputs" / "table.csv")
    assert run.end("FINISHED", {}) == ""
    assert [file.path for file in there.client.list_artifacts(run.id)] == ["table.csv"]
    (found,) = tmp_path.rglob(f"{run.id}/artifacts/table.csv")
    assert found.parents[3] == tmp_path / "mlartifacts"
    assert there.client.get_run(run.id).info.status == "FINISHED"

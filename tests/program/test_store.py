"""A tracking store that can't be used is told in two lines, whatever is wrong with it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest


def refused(done, *words):
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("rnnexp: "), done.stderr
    for word in words:
        assert word in done.stderr


def test_a_file_that_is_no_database(tmp_path, command):
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to look like something" * 20)
    refused(command(tmp_path, "steps=5"), "mlflow.db", "not a database", "tracking.uri=")


def test_a_folder_in_the_place_of_the_database(tmp_path, command):
    (tmp_path / "mlflow.db").mkdir()
    refused(command(tmp_path, "steps=5"), "mlflow.db", "is a folder")


def test_somebody_elses_database(tmp_path, command):
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("create table flowers (name text)")
    database.close()
    refused(command(tmp_path, "steps=5"), "mlflow.db", "not made by MLflow")


def test_a_database_of_a_newer_mlflow(folder, command, recorded):
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    database.close()
    refused(command(folder, "steps=5"), "another version of MLflow", "tracking.uri=")


def test_a_read_only_place(command, tmp_path):
    refused(command(tmp_path, "steps=5", "tracking.uri=sqlite:////proc/mlflow.db"), "/proc/mlflow.db")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_folder_without_write_permission(tmp_path, command):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    try:
        refused(command(tmp_path, "steps=5"), "written")
    finally:
        tmp_path.chmod(0o700)


def test_a_locked_database(folder, command):
    holder = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    holder.execute("begin exclusive")
    try:
        refused(command(folder, "steps=5"), "mlflow.db", "locked")
    finally:
        holder.close()


def test_a_deleted_experiment_gets_both_remedies(folder, command, recorded):
    assert command(folder, "steps=5").returncode == 0
    from mlflow import MlflowClient

    reader = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    reader.delete_experiment(reader.get_experiment_by_name("rnnexp").experiment_id)
    before = sorted(folder.rglob("*"))
    refused(command(folder, "steps=5"), "rnnexp", "restore", "tracking.experiment=")
    assert sorted(folder.rglob("*")) == before
    assert command(folder, "steps=5", "tracking.experiment=another").returncode == 0
    assert len(recorded(folder, "another")) == 1


def test_a_server_that_does_not_answer_and_no_password_in_the_answer(tmp_path, command):
    done = command(tmp_path, "steps=5", "tracking.uri=http://ann:secret@127.0.0.1:9")
    refused(done, "127.0.0.1:9", "does not answer")
    assert "secret" not in done.stderr + done.stdout


def test_a_relative_database_is_meant_from_where_the_command_started(tmp_path, migrated_database, command, recorded):
    shutil.copy(migrated_database, tmp_path / "lab.db")
    done = command(tmp_path, "steps=5", "tracking.uri=sqlite:///lab.db", "hydra.job.chdir=true")
    assert done.returncode == 0, done.stderr
    assert len(recorded(tmp_path, database="lab.db")) == 1


@pytest.mark.thorough
def test_the_database_file_alone_is_whole_when_a_command_has_ended(tmp_path):
    """What a person copies or sends; a write-ahead log beside it holds nothing that is not in it."""
    for arguments, runs in ((["steps=2"], 1), (["-m", "seed=0,1", "steps=2"], 4)):
        command = [sys.executable, "-m", "rnnexp", *arguments, "tracking.figures=false"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        shutil.copy(tmp_path / "mlflow.db", tmp_path / "copied.db")
        with closing(sqlite3.connect(tmp_path / "copied.db")) as copied:
            assert copied.execute("select count(*) from runs where status = 'FINISHED'").fetchone() == (runs,)
            losses = copied.execute("select count(*) from metrics where key = 'final/eval/loss'").fetchone()
        assert losses == ((1,) if runs == 1 else (3,))

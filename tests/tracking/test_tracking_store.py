"""A new database keeps a write-ahead log where that is safe; one that is there already stays as it is."""

import sqlite3
from contextlib import closing

import pytest

from rnnexp.tracking.sqlite_log import on_local_disk
from rnnexp.tracking.store import open_store


def mode(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute("pragma journal_mode").fetchone()[0]


@pytest.mark.parametrize(
    ("kind", "local"), [("ext4", True), ("xfs", True), ("nfs4", False), ("lustre", False), ("fuse.sshfs", False)]
)
def test_the_innermost_mount_decides(tmp_path, kind, local):
    mounts = tmp_path / "mounts"
    other = "nfs" if local else "ext4"
    mounts.write_text(f"/dev/a / {other} rw 0 0\nhost:/b {tmp_path} {kind} rw 0 0\n", encoding="utf-8")
    assert on_local_disk(tmp_path / "runs" / "mlflow.db", mounts) is local
    assert on_local_disk(tmp_path.parent / "mlflow.db", mounts) is not local


def test_without_a_list_of_mounts_a_disk_counts_as_shared(tmp_path):
    assert not on_local_disk(tmp_path / "mlflow.db", tmp_path / "none")


@pytest.mark.parametrize("local", [True, False])
def test_a_new_database_on_a_local_disk_keeps_a_log(tmp_path, monkeypatch, local):
    monkeypatch.setattr("rnnexp.tracking.database.on_local_disk", lambda path: local)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    open_store(uri, "first")
    assert mode(tmp_path / "mlflow.db") == ("wal" if local else "delete")


def test_an_older_database_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnexp.tracking.database.on_local_disk", lambda path: False)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    open_store(uri, "first")
    monkeypatch.setattr("rnnexp.tracking.database.on_local_disk", lambda path: True)
    open_store(uri, "second")
    assert mode(tmp_path / "mlflow.db") == "delete"

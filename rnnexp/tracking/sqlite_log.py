"""How an SQLite database waits for the disk: with a write-ahead log where that is safe, and not at each commit."""

import atexit
import sqlite3
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

#: Seconds to wait for another process that is writing.
PATIENCE = 5
#: Kinds of file systems, as Linux names them, that no other machine can write to.
LOCAL_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "tmpfs")
#: Pages of 4 KiB that a write-ahead log may grow to before it goes into the database; at the end of a process it does.
LOG_PAGES = 10_000
#: What the name of a database ends with that is being made.
DRAFT = ".new"


def write_ahead(path: Path) -> None:
    """Give a new database a write-ahead log, permanently: a commit then costs a third, and readers never wait."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        database.execute("pragma journal_mode = wal")


@cache
def relax_sqlite() -> None:
    """Wait for the disk only when a write-ahead log is moved into its database, not at each commit; do that rarely.

    A crash of the program loses nothing; a power failure may lose the last commits, never the database. One that is
    being made waits for nothing: it is not in its place yet.
    """
    import sqlalchemy

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def relax(connection: Any, _record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        with closing(connection.cursor()) as cursor:
            if cursor.execute("pragma database_list").fetchone()[2].endswith(DRAFT):
                cursor.execute("pragma synchronous = off")
            elif cursor.execute("pragma journal_mode").fetchone() == ("wal",):
                cursor.execute("pragma synchronous = normal")
                cursor.execute(f"pragma wal_autocheckpoint = {LOG_PAGES}")


@cache
def checkpoint_at_exit(path: Path) -> None:
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

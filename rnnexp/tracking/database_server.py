"""A tracking database on a server: its tables are made by one process at a time, whichever machine it is on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rnnexp.checks import UserError
from rnnexp.redaction import reason_of, redact
from rnnexp.tracking.database import LOCK_PATIENCE, newest_version

#: The number of the lock, which must be the same in all processes and that of nothing else: "rnnexp" in ASCII.
LOCK = int.from_bytes(b"rnnexp", "big")


@contextmanager
def tables_made_once(uri: str) -> Iterator[None]:
    """Within, no other process that asks makes MLflow's tables: of two that do, one dies. Only PostgreSQL can be asked.

    Nothing is locked if the tables are there. The lock ends with the process that holds it, however that ends.

    Raises
    ------
    UserError
        If another process holds the lock for too long, or the server is gone.
    """
    if not uri.startswith("postgresql"):
        yield
        return
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.pool import NullPool

    engine = create_engine(uri, poolclass=NullPool)
    with ExitStack() as held:
        try:
            if not _are_there(engine):
                connection = held.enter_context(engine.begin())
                connection.execute(text(f"set local lock_timeout = '{LOCK_PATIENCE}s'"))
                connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": LOCK})
        except OperationalError as error:
            problem = f"the tracking database {redact(uri)} stays locked or is gone: {reason_of(error, uri)}"
            raise UserError(problem, "if another process makes its tables, try again when it has ended") from None
        yield


def _are_there(engine: Any) -> bool:
    """Whether the tables of the installed MLflow are there, which notes its version in the same transaction."""
    from sqlalchemy import inspect, text

    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return newest_version() in connection.execute(text("select version_num from alembic_version")).scalars().all()

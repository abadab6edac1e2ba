"""What comes after training may fail: that is reported in a line, and the run stays what it is."""

import contextlib
from collections.abc import Iterator

from rnnexp.process import say
from rnnexp.redaction import reason_of


@contextlib.contextmanager
def attempt(what: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Report an error of the block in a line on stderr, and continue after it; interruptions and some errors pass."""
    try:
        yield
    except passing:
        raise
    except Exception as error:
        report_failure(what, error)


def report_failure(what: str, error: Exception) -> None:
    """Say that something is left out, and why."""
    say(f"rnnexp: {what} is left out: {type(error).__name__}: {reason_of(error)}", error=True)

"""What the companion commands share: a parser, and errors in the same two lines as those of settings."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rnnexp import process
from rnnexp.checks import UserError

#: MLflow's run statuses.
STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")
FILTER = "a filter is written as in metrics.`final/eval/loss` < 0.5 and params.task = 'echo'"


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in two lines and exits with code 1; so do its subparsers."""

    def error(self, message: str) -> NoReturn:
        """Exit with the two lines."""
        hint = f"{self.prog} --help shows the options"
        raise SystemExit(UserError(f"cannot parse the command line: {message}", hint).message())


@contextmanager
def command_frame() -> Iterator[None]:
    """Let output outlive its readers, and turn a `UserError` into SystemExit with its two lines.

    They name the tracking setting by its option.
    """
    process.outlive_readers()
    try:
        yield
    except KeyboardInterrupt:
        process.say("rnnexp: stopped", error=True)
        raise SystemExit(128 + signal.SIGINT) from None
    except UserError as error:
        message = error.message().replace("tracking.uri=", "--uri ").replace("tracking.uri", "--uri")
        raise SystemExit(message) from None

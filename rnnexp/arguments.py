"""What the companion commands share: a parser, and errors in the same two lines as those of settings."""

import argparse
import os
import signal
from collections.abc import Iterator, Mapping
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


#: What messages call a setting, and the option of a command that it is there.
OPTIONS = {"tracking.uri=": "--uri ", "tracking.uri": "--uri"}


@contextmanager
def command_frame(options: Mapping[str, str] = OPTIONS) -> Iterator[None]:
    """Let output outlive its readers, and turn a `UserError` into SystemExit with its two lines.

    They name a setting by its option.
    """
    process.outlive_readers()
    os.environ["MPLBACKEND"] = "agg"  # figures are files, whatever screen the environment names
    try:
        yield
    except KeyboardInterrupt:
        process.say("rnnexp: stopped", error=True)
        raise SystemExit(128 + signal.SIGINT) from None
    except UserError as error:
        message = error.message()
        for name, option in options.items():
            message = message.replace(name, option)
        raise SystemExit(message) from None

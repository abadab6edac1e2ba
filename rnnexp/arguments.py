"""The arguments of the companion commands; errors take the same two lines as those of settings."""

import argparse
from typing import NoReturn

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


def with_options(error: UserError) -> UserError:
    """The error with the tracking setting named by its option here."""
    told = [
        text.replace("tracking.uri=", "--uri ").replace("tracking.uri", "--uri") for text in (error.problem, error.hint)
    ]
    return UserError(*told)

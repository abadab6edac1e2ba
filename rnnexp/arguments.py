"""The arguments of the companion commands, refused in the same two lines as settings are."""

import argparse
from typing import NoReturn

from rnnexp.checks import UserError

#: MLflow's words for how a run ended or stands.
STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")
FILTER = "a filter is written as in metrics.`final/eval/loss` < 0.5 and params.task = 'echo'"


class Parser(argparse.ArgumentParser):
    """A parser, and so the parsers of its commands, that tells a mistake in two lines and ends with code 1."""

    def error(self, message: str) -> NoReturn:
        """Refuse what can't be read."""
        hint = f"{self.prog} --help shows the options"
        raise SystemExit(UserError(f"cannot parse the command line: {message}", hint).message())


def with_options(error: UserError) -> UserError:
    """The error with the store's setting called as it is here: an option."""
    told = [
        text.replace("tracking.uri=", "--uri ").replace("tracking.uri", "--uri") for text in (error.problem, error.hint)
    ]
    return UserError(*told)

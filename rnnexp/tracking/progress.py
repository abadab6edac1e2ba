"""What the terminal shows during a run: a progress bar, else one line per evaluation; of a sweep's jobs less."""

import sys
import time
from typing import Any

from rnnexp.checks import printable
from rnnexp.process import is_quiet
from rnnexp.training import Report

#: Seconds between two lines about a job of a sweep.
BETWEEN = 30.0


class Quiet:
    """Shows nothing: each job of a sweep prints one line, at its end."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def show(self, report: Report) -> None:
        """Show a report."""


class Pulse:
    """A line on stderr now and then, for jobs of a sweep, which print nothing else before their end.

    Parameters
    ----------
    name : str
        Of what is trained; no line is printed without one.
    step, steps : int
        Where training begins, and ends.
    """

    def __init__(self, name: str, step: int, steps: int) -> None:
        self._name, self._first, self._steps = name, step, steps
        self._began = self._printed = time.monotonic()

    def show(self, step: int) -> None:
        """Print how far training is, and how long it will take, if the last line is long ago."""
        now = time.monotonic()
        if now - self._printed < BETWEEN or step >= self._steps or not self._name or is_quiet():
            return
        self._printed = now
        left = (now - self._began) / max(1, step - self._first) * (self._steps - step)
        text = f"{self._name}: update {step} of {self._steps}, {duration(left)} left"
        print(printable(text), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{hours} h"


class Lines(Quiet):
    """One line per evaluation on stderr."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def show(self, report: Report) -> None:
        """Print the losses if there was an evaluation."""
        if report.evaluation is None:
            return
        training = "" if report.train_loss is None else f"  training loss {report.train_loss:.4f}"
        text = f"step {report.step}/{self._steps}  evaluation loss {report.evaluation.loss:.4f}{training}"
        print(text, file=sys.stderr, flush=True)


class Bar(Quiet):
    """A progress bar on stderr."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))
        self._bar = Progress(TextColumn("training"), *columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=steps, loss="")
        self._refresh = max(1, steps // 500)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def show(self, report: Report) -> None:
        """Move the bar; show the loss after an evaluation."""
        if report.evaluation is not None:
            loss = f"evaluation loss {report.evaluation.loss:.4f}"
            self._bar.update(self._task, completed=report.step, loss=loss)
        elif report.step % self._refresh == 0:
            self._bar.update(self._task, completed=report.step)


def progress_display(steps: int) -> Quiet:
    """A bar if stderr is a terminal, else lines."""
    return Bar(steps) if sys.stderr.isatty() else Lines(steps)

"""What the terminal shows during a run: a progress bar, else one line per evaluation."""

import sys
from typing import Any

from rnnexp.training import Report


class Quiet:
    """Shows nothing: each job of a sweep prints one line, at its end."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def show(self, report: Report) -> None:
        """Show a report."""


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

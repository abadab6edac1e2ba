"""What a person sees while a run goes on: a bar on a terminal, else one line an evaluation."""

import sys
from types import TracebackType
from typing import Any, Protocol

from rnnexp.training import Report


class Progress(Protocol):
    """A context manager that is told of every report."""

    def __enter__(self) -> "Progress":
        """Begin to show."""
        ...

    def __exit__(self, *error: Any) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, report: Report) -> None:
        """Show a report."""
        ...


class Bar:
    """A progress bar on stderr."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=steps, loss="")
        self._refresh = max(1, steps // 500)

    def __enter__(self) -> "Bar":
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def show(self, report: Report) -> None:
        """Move the bar; name the loss after an evaluation."""
        if report.evaluation is not None:
            loss = f"evaluation loss {report.evaluation.loss:.4f}"
            self._bar.update(self._task, completed=report.step, loss=loss)
        elif report.step % self._refresh == 0:
            self._bar.update(self._task, completed=report.step)


class Quiet:
    """Nothing: the jobs of a sweep say one line each, at their end."""

    def __enter__(self) -> "Quiet":
        """Begin."""
        return self

    def __exit__(self, *error: Any) -> None:
        """End."""

    def show(self, report: Report) -> None:
        """Say nothing."""


class Lines:
    """One line an evaluation on stderr."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __enter__(self) -> "Lines":
        """Begin to show."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Nothing to leave."""

    def show(self, report: Report) -> None:
        """Print the losses if there was an evaluation."""
        if report.evaluation is None:
            return
        training = "" if report.train_loss is None else f"  training loss {report.train_loss:.4f}"
        print(
            f"step {report.step}/{self._steps}  evaluation loss {report.evaluation.loss:.4f}{training}",
            file=sys.stderr,
            flush=True,
        )


def progress_display(steps: int) -> Progress:
    """A bar if stderr is a terminal, else lines."""
    return Bar(steps) if sys.stderr.isatty() else Lines(steps)

"""When training ends before its planned steps: asked after every evaluation."""

import math
from abc import ABC, abstractmethod
from typing import Any

from rnnexp.checks import InvalidValue, integer, number
from rnnexp.components import Component
from rnnexp.state import Maybe, State, matching
from rnnexp.tasks import Task


class Stopping(Component, ABC):
    """A rule that ends training.

    What a rule keeps from one evaluation to the next it gives out by ``state()`` and takes back by ``restore(state)``,
    so that a resumed run stops where it would have stopped.
    """

    @abstractmethod
    def __call__(self, report: Any) -> str:
        """Why training ends with this report, in words; empty if it goes on.

        Parameters
        ----------
        report : Report
            With an evaluation whose loss is finite.
        """


class NoStopping(Stopping):
    """All planned updates are made."""

    def __call__(self, report: Any) -> str:
        """Empty."""
        return ""


class Patience(Stopping):
    """Stop after so many evaluations in a row without a lower evaluation loss. Prechelt 1998, "Early stopping".

    Parameters
    ----------
    evaluations : int
        >= 1. The first evaluation, before the first update, is one to improve on.
    min_improvement : float
        By how much a loss must be lower than the lowest before to count, >= 0.
    """

    def __init__(self, evaluations: int = 5, min_improvement: float = 0.0) -> None:
        self.evaluations = integer("evaluations", evaluations, at_least=1)
        self.min_improvement = number("min_improvement", min_improvement, at_least=0)
        self._best: float | None = None
        self._best_step, self._waited = 0, 0

    def __call__(self, report: Any) -> str:
        """Count the evaluations since the lowest loss."""
        loss = float(report.evaluation.loss)
        if loss < (math.inf if self._best is None else self._best - self.min_improvement):
            self._best, self._best_step, self._waited = loss, report.step, 0
        else:
            self._waited += 1
        if self._waited < self.evaluations:
            return ""
        times = f"{self._waited} evaluation{'s' if self._waited > 1 else ''}"
        return f"no improvement in {times} since step {self._best_step}"

    def state(self) -> State:
        """The lowest loss, its step, and how many evaluations came after it."""
        return {"best": self._best, "best_step": self._best_step, "waited": self._waited}

    def restore(self, state: State) -> None:
        """Continue from what `state` gave; a `UserError` if it is something else."""
        fit = matching({"best": Maybe(0.0), "best_step": 0, "waited": 0}, state, "stopping")
        self._best, self._best_step, self._waited = fit["best"], fit["best_step"], fit["waited"]


class Solved(Stopping):
    """Stop at the first evaluation that meets the task's published rule, `Task.solved`.

    Parameters
    ----------
    task : Task
        One that has a rule.
    """

    def __init__(self, task: Task) -> None:
        if not (task.solved_below or type(task).solved is not Task.solved):
            allowed = f"none or patience for task {type(task).__name__}, which has no published rule"
            raise InvalidValue("stopping", "solved", allowed, "try stopping=patience")
        self.task = task

    def __call__(self, report: Any) -> str:
        """What was asked for, once that is reached."""
        if not self.task.solved(report):
            return ""
        return f"solved: {self.task.success}" if self.task.success else "solved"

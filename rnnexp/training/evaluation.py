"""The loss on held-out sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.components import Shown
from rnnexp.layers import CRITERIA, Network
from rnnexp.layers.fit import check_batch
from rnnexp.tasks import Baseline, Batch, Task

#: Steps computed at once, to bound the memory; the state is carried, so the result is the same.
WINDOW = 100


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """The result of an evaluation.

    Attributes
    ----------
    loss : float
        Mean over the scored steps of all sequences, in nats or as a squared error.
    accuracy : float or None
        Share of scored steps whose largest output is the target; None for real-valued targets.
    error : float or None
        Share of wrong steps, or of sequences with a wrong step, by the task's rule; None without a rule.
    absolute_error : float or None
        Mean of |output - target| over the values of the scored steps; None for classes.
    task : Task or None
        What was evaluated, if `evaluate` was told.
    """

    loss: float
    accuracy: float | None
    error: float | None = None
    absolute_error: float | None = None
    task: Task | None = field(default=None, compare=False)

    @property
    def baseline(self) -> Baseline | None:
        """The task's trivial predictor; None without a task."""
        return None if self.task is None else self.task.baseline

    @property
    def solved(self) -> bool | None:
        """Whether the task is solved by its published rule; None without a task or a rule."""
        return None if self.task is None else self.task.solved(SimpleNamespace(evaluation=self))

    def metrics(self) -> dict[str, float]:
        """All numbers by name, those of the task's further units included."""
        names = ("loss", "accuracy", "error", "absolute_error")
        found = {name: float(value) for name in names if (value := getattr(self, name)) is not None}
        return found | ({} if self.task is None else self.task.further_metrics(self.loss))

    def __repr__(self) -> str:
        parts = [f"{name}={value:.6g}" for name, value in self.metrics().items()]
        if (baseline := self.baseline) is not None:
            parts.append(f"baseline={baseline.loss:.6g} ({baseline.predictor})")
        if (solved := self.solved) is not None:
            parts.append("solved" if solved else "not solved")
        return f"Evaluation({', '.join(parts)})"


def scored_part(mask: NDArray[Any]) -> tuple[Any, NDArray[Any] | None]:
    """Index of the scored steps of a mask (T, N), and the mask at these; None if that is all true."""
    if np.logical_and.reduce(mask, axis=None):
        return slice(None), None
    steps = scored_steps(mask)
    part = mask[steps]
    return steps, None if np.logical_and.reduce(part, axis=None) else part


def scored_steps(mask: NDArray[Any]) -> Any:
    """The steps of a mask (T, N) that are scored in any sequence, as an index into the time axis."""
    any_scored = np.logical_or.reduce(mask, axis=-1)
    return slice(None) if any_scored.all() else np.flatnonzero(any_scored)


class Score:
    """Accumulates the scores of a network's outputs, window by window.

    Parameters
    ----------
    batch : Batch
        The whole sequences.
    target_kind : {"classes", "values"}
    task : Task, optional
        Provides the rule for wrong outputs.
    """

    def __init__(self, batch: Batch, target_kind: str, task: Task | None) -> None:
        self.task, self.classes = task, target_kind == "classes"
        self.per = None if task is None else task.error_per
        self.criterion = CRITERIA[target_kind]()
        self.loss, self.off, self.right, self.count, self.wrong_steps = 0.0, 0.0, 0, 0, 0
        self.any_scored = np.logical_or.reduce(batch.mask, axis=0)
        self.failed: NDArray[Any] = np.zeros_like(self.any_scored)

    def add(self, outputs: NDArray[Any], window: Batch) -> None:
        """Add the outputs (S, N, O) of a window's scored steps, and these steps of the batch."""
        here = int(window.mask.sum())
        if not here:
            return
        self.loss += here * float(self.criterion.forward(outputs, window.targets, window.mask))
        self.count += here
        if self.classes:
            self.right += int(((outputs.argmax(axis=-1) == window.targets) & window.mask).sum())
        else:
            self.off += float(np.abs(outputs - window.targets).mean(axis=-1)[window.mask].sum(dtype=np.float64))
        if self.task is not None and self.per is not None:
            wrong = self.task.wrong(outputs, window) & window.mask
            self.wrong_steps += int(wrong.sum())
            self.failed |= wrong.any(axis=0)

    def result(self) -> Evaluation:
        """The means over everything added."""
        if not self.count:
            raise ValueError("no step of these sequences is scored")
        by_sequence = float(self.failed[self.any_scored].mean())
        error = self.wrong_steps / self.count if self.per == "step" else by_sequence
        return Evaluation(
            self.loss / self.count,
            self.right / self.count if self.classes else None,
            None if self.per is None else error,
            None if self.classes else self.off / self.count,
            self.task,
        )


def evaluate(network: Network, batch: Batch, target_kind: str, task: Task | None = None) -> Evaluation:
    """Run whole sequences through a network, from a zero state, and score them.

    Parameters
    ----------
    network : Network
        Its state is overwritten; pass a `Network.replica` to keep it.
    batch : Batch
        Sequences (T, N, ...).
    target_kind : {"classes", "values"}
    task : Task, optional
        Provides the rule for wrong outputs, the baseline, and the rule for a solved task.
    """
    check_batch(network, batch, target_kind)
    network.reset_state()
    score = Score(batch, target_kind, task)
    for start in range(0, len(batch.inputs), WINDOW):
        window = batch.steps(start, start + WINDOW)
        scored = scored_steps(window.mask)
        outputs = network.forward(window.inputs, scored=scored)
        score.add(outputs, window.at(scored))
    network.reset_state()
    return score.result()


def evaluate_copies(
    network: Network, batches: Sequence[Batch], target_kind: str, tasks: Sequence[Task]
) -> list[Evaluation]:
    """`evaluate` for stacked networks, each on its own sequences: the same numbers as one by one.

    Parameters
    ----------
    network : Network
        K copies.
    batches : sequence of K Batches
        With equal numbers of steps and sequences, and the same scored steps.
    target_kind : {"classes", "values"}
    tasks : sequence of K Tasks
    """
    network.reset_state()
    scores = [Score(batch, target_kind, task) for batch, task in zip(batches, tasks, strict=True)]
    for start in range(0, len(batches[0].inputs), WINDOW):
        windows = [batch.steps(start, start + WINDOW) for batch in batches]
        scored = scored_steps(windows[0].mask)
        outputs = network.forward(np.stack([window.inputs for window in windows], axis=1), scored=scored)
        for copy, (score, window) in enumerate(zip(scores, windows, strict=True)):
            score.add(outputs[:, copy], window.at(scored))
    network.reset_state()
    return [score.result() for score in scores]

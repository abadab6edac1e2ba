"""The loss on held-out sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp import memory
from rnnexp.components import Shown
from rnnexp.layers import CRITERIA, Network
from rnnexp.layers.base import mean_over_scored
from rnnexp.layers.fit import check_batch
from rnnexp.tasks import Baseline, Batch, Task

#: Numbers that stay in the cache, of the windows of all copies that are computed together.
OF_COPIES = 2**18


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


@dataclass(frozen=True)
class Plan:
    """The parts in which a network runs through a batch: bounded in memory, and the same whatever runs beside it.

    Attributes
    ----------
    sequences : list of slice
        Computed at once.
    window : int
        Steps computed at once.
    copies : int
        Of the network, that are worth to be computed at once.
    """

    sequences: list[slice]
    window: int
    copies: int

    @classmethod
    def of(cls, network: Network, steps: int, sequences: int) -> "Plan":
        """For a network, or one of many copies, and a batch (T, N)."""
        widest = max(shape[-1] for shape in network.parameters.shapes.values())
        window, each = memory.evaluated_at_once(steps, sequences, widest)
        parts = [slice(start, min(sequences, start + each)) for start in range(0, sequences, each)]
        return cls(parts, window, max(1, OF_COPIES // (each * widest * window)))


def layout(network: Network, batch: Batch) -> tuple[Any, ...]:
    """What batches must have in common to be evaluated together: their shapes, and which steps are scored."""
    parts = Plan.of(network, *batch.mask.shape).sequences
    scored = [np.logical_or.reduce(batch.mask[:, some], axis=-1) for some in parts]
    return batch.inputs.shape, batch.targets.shape, np.stack(scored).tobytes()


class Score:
    """Accumulates the scores of outputs, window by window, of one network or of each of K copies.

    Parameters
    ----------
    target_kind : {"classes", "values"}
    tasks : sequence of Tasks or None
        One for each network, which provides the rule for its wrong outputs.
    """

    def __init__(self, target_kind: str, tasks: Sequence[Any]) -> None:
        self.tasks, self.task, self.classes = tasks, tasks[0], target_kind == "classes"
        self.per = None if self.task is None else self.task.error_per
        self.criterion = CRITERIA[target_kind]()
        names = ("loss", "off", "right", "count", "wrong_steps", "wrong_sequences", "sequences")
        self.sums = {name: np.zeros(len(tasks)) for name in names}
        self.failed: NDArray[Any] = np.zeros(0, bool)

    def begin(self, mask: NDArray[Any]) -> None:
        """Begin with the sequences of a mask (T, ..., N)."""
        scored = np.logical_or.reduce(mask, axis=0)
        self.sums["sequences"] += scored.sum(axis=-1)
        self.failed = np.zeros_like(scored)

    def add(self, outputs: NDArray[Any], window: Batch) -> None:
        """Add the outputs (S, ..., N, O) of a window's scored steps, and these steps of the batch."""
        mask, sums = window.mask, self.sums
        here = mask.sum(axis=(0, -1))
        if not np.any(here):
            return
        sums["loss"] += here * np.asarray(self.criterion.forward(outputs, window.targets, mask), np.float64)
        sums["count"] += here
        wrong = None
        if self.task is not None and self.per is not None:
            wrong = self._wrong(outputs, window) & mask
            sums["wrong_steps"] += wrong.sum(axis=(0, -1))
            self.failed |= wrong.any(axis=0)
        if not self.classes:
            off = np.abs(outputs - window.targets).mean(axis=-1)
            sums["off"] += mean_over_scored(np.where(mask, off, 0.0), 1.0)
        elif wrong is not None and type(self.task).wrong is Task.wrong and window.allowed is None:
            sums["right"] += here - wrong.sum(axis=(0, -1))
        else:
            sums["right"] += ((outputs.argmax(axis=-1) == window.targets) & mask).sum(axis=(0, -1))

    def _wrong(self, outputs: NDArray[Any], window: Batch) -> NDArray[Any]:
        """`Task.wrong`, of each copy by its own task."""
        if window.mask.ndim == 2:
            wrong: NDArray[Any] = self.tasks[0].wrong(outputs, window)
            return wrong
        copies = [(slice(None), copy) for copy in range(len(self.tasks))]
        own = [task.wrong(outputs[at], window.at(at)) for task, at in zip(self.tasks, copies, strict=True)]
        return np.stack(own, axis=1)

    def end(self) -> None:
        """End these sequences."""
        self.sums["wrong_sequences"] += self.failed.sum(axis=-1)

    def results(self) -> list[Evaluation]:
        """The means over everything added, for each network."""
        if not self.sums["count"].all():
            raise ValueError("no step of these sequences is scored")
        own = [dict(zip(self.sums, numbers, strict=True)) for numbers in np.stack([*self.sums.values()]).T.tolist()]
        return [self._result(sums, task) for sums, task in zip(own, self.tasks, strict=True)]

    def _result(self, sums: dict[str, float], task: Task | None) -> Evaluation:
        by_step, by_sequence = sums["wrong_steps"] / sums["count"], sums["wrong_sequences"] / sums["sequences"]
        error = by_step if self.per == "step" else by_sequence
        return Evaluation(
            sums["loss"] / sums["count"],
            sums["right"] / sums["count"] if self.classes else None,
            None if self.per is None else error,
            None if self.classes else sums["off"] / sums["count"],
            task,
        )


def joined(arrays: Sequence[NDArray[Any]], network: Network) -> NDArray[Any]:
    """Arrays (T, ...) of all copies as one (T, K, ...); of a single network its own."""
    return np.stack(arrays, axis=1) if network.parameters.copies else arrays[0]


def together(windows: Sequence[Batch], network: Network) -> Batch:
    """The same of batches."""
    if not network.parameters.copies:
        return windows[0]
    names = ("inputs", "targets", "mask", *(() if windows[0].allowed is None else ("allowed",)))
    return Batch(*(np.stack([getattr(window, name) for window in windows], axis=1) for name in names))


def evaluate(network: Network, batch: Batch, target_kind: str, task: Task | None = None) -> Evaluation:
    """Run whole sequences through a network, from a zero state, and score them.

    The memory taken is bounded, however many and long they are.

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
    return evaluate_copies(network, [batch], target_kind, [task])[0]


def evaluate_copies(
    network: Network, batches: Sequence[Batch], target_kind: str, tasks: Sequence[Task | None]
) -> list[Evaluation]:
    """`evaluate` for stacked networks, each on its own sequences: the same numbers as one by one.

    Parameters
    ----------
    network : Network
        K copies, or a single one.
    batches : sequence of K Batches
        Of the same `layout`.
    target_kind : {"classes", "values"}
    tasks : sequence of K Tasks
    """
    score, first = Score(target_kind, tasks), batches[0].mask
    plan = Plan.of(network, *first.shape)
    for some in plan.sequences:
        parts = [batch.at((slice(None), some)) for batch in batches]
        steps = np.logical_or.reduce(parts[0].mask, axis=-1)
        network.reset_state()
        score.begin(joined([part.mask for part in parts], network))
        for start in range(0, len(steps) - int(steps[::-1].argmax()), plan.window):
            windows = [part.steps(start, start + plan.window) for part in parts]
            scored = scored_steps(windows[0].mask)
            outputs = network.forward(joined([each.inputs for each in windows], network), scored=scored)
            score.add(outputs, together([each.at(scored) for each in windows], network))
        score.end()
    network.reset_state()
    return score.results()

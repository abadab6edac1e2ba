"""The loss on held-out sequences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import LOSSES, Network
from rnnexp.tasks import Batch, Task

#: Steps that are computed at once, to bound the memory; the state is carried, so the result is the same.
WINDOW = 100


@dataclass(frozen=True)
class Evaluation:
    """What came out.

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
    """

    loss: float
    accuracy: float | None
    error: float | None = None
    absolute_error: float | None = None


def scored_part(mask: NDArray[Any]) -> tuple[Any, NDArray[Any] | None]:
    """Index of the steps of a mask (T, N) that any sequence scores, and the mask of these; None if that is all true."""
    if np.logical_and.reduce(mask, axis=None):
        return slice(None), None
    steps = scored_steps(mask)
    part = mask[steps]
    return steps, None if np.logical_and.reduce(part, axis=None) else part


def scored_steps(mask: NDArray[Any]) -> Any:
    """Steps of a mask (T, N) that any sequence scores, as an index into the time axis."""
    any_scored = np.logical_or.reduce(mask, axis=-1)
    return slice(None) if any_scored.all() else np.flatnonzero(any_scored)


def evaluate(network: Network, batch: Batch, target_kind: str, task: Task | None = None) -> Evaluation:
    """Run whole sequences through a network, from a zero state, and score them.

    Parameters
    ----------
    network : Network
        Its state is lost; give a `Network.replica` to keep it.
    batch : Batch
        Sequences (T, N, ...).
    target_kind : {"classes", "values"}
    task : Task, optional
        Says what is wrong by its paper's rule.
    """
    network.reset_state()
    criterion = LOSSES[target_kind]()
    per = None if task is None else task.error_per
    total, right, off, count, wrong_steps = 0.0, 0, 0.0, 0, 0
    failed = np.zeros(batch.mask.shape[1], bool)
    for start in range(0, len(batch.inputs), WINDOW):
        window = batch.steps(start, start + WINDOW)
        scored = scored_steps(window.mask)
        outputs = network.forward(window.inputs, scored=scored)
        window = window.at(scored)
        here = int(window.mask.sum())
        if not here:
            continue
        total += here * float(criterion.forward(outputs, window.targets, window.mask))
        count += here
        if target_kind == "classes":
            right += int(((outputs.argmax(axis=-1) == window.targets) & window.mask).sum())
        else:
            off += float(np.abs(outputs - window.targets).mean(axis=-1)[window.mask].sum(dtype=np.float64))
        if task is not None and per is not None:
            wrong = task.wrong(outputs, window) & window.mask
            wrong_steps += int(wrong.sum())
            failed |= wrong.any(axis=0)
    network.reset_state()
    if not count:
        raise ValueError("no step of these sequences is scored")
    error = wrong_steps / count if per == "step" else float(failed[batch.mask.any(axis=0)].mean())
    classes = target_kind == "classes"
    return Evaluation(
        total / count,
        right / count if classes else None,
        None if per is None else error,
        None if classes else off / count,
    )

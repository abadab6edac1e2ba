"""The loss on held-out sequences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import LOSSES, Network
from rnnexp.tasks import Batch

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
    """

    loss: float
    accuracy: float | None


def scored_steps(mask: NDArray[Any]) -> Any:
    """Steps of a mask (T, N) that any sequence scores, as an index into the time axis."""
    any_scored = mask.any(axis=-1)
    return slice(None) if any_scored.all() else np.flatnonzero(any_scored)


def evaluate(network: Network, batch: Batch, target_kind: str) -> Evaluation:
    """Run whole sequences through a network, from a zero state, and score them.

    Parameters
    ----------
    network : Network
        Its state is lost; give a `Network.replica` to keep it.
    batch : Batch
        Sequences (T, N, ...).
    target_kind : {"classes", "values"}
    """
    network.reset_state()
    criterion = LOSSES[target_kind]()
    total, right, count = 0.0, 0, 0
    for start in range(0, len(batch.inputs), WINDOW):
        window = batch.steps(start, start + WINDOW)
        scored = scored_steps(window.mask)
        outputs = network.forward(window.inputs, scored=scored)
        mask = window.mask[scored]
        here = int(mask.sum())
        if not here:
            continue
        targets = window.targets[scored]
        total += here * float(criterion.forward(outputs, targets, mask))
        count += here
        if target_kind == "classes":
            right += int(((outputs.argmax(axis=-1) == targets) & mask).sum())
    network.reset_state()
    if not count:
        raise ValueError("no step of these sequences is scored")
    return Evaluation(total / count, right / count if target_kind == "classes" else None)

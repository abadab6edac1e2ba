"""How much of the held-out data an evaluation reads, and which part of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnexp.algorithms import Algorithm
from rnnexp.checks import InvalidValue
from rnnexp.components import Shown
from rnnexp.layers import Network
from rnnexp.tasks import Batch, StreamTask, Task
from rnnexp.training.streams import Streams

#: A limit that follows from the work of training.
AUTO = "auto"
ALLOWED = "a whole number >= 1, auto, or null"
#: The automatic limit: all evaluations together take this share of the work of training. A step of an update is three
#: forward steps, one of an evaluation is one; scoring it costs more than another one, in small networks.
SHARE, SCORING = 1 / 8, 1.25
#: Evaluations of a run: before training, after each twentieth of it, perhaps at the end, and two on the test set.
EVALUATIONS = 24
#: Updates that are counted at least: a short run is evaluated like one of so many.
UPDATES = 1000
#: Work of an update beside its steps, and of one unit's activation, in multiplications.
BESIDE, ACTIVATION = 100_000, 45
#: Steps that are read of a sequence that is not read whole, from its first scored one on, before more sequences are.
SHORTEST = 200


@dataclass(frozen=True, repr=False)
class EvalLimit(Shown):
    """The most steps that an evaluation reads, and what it reads of a larger set.

    Whole sequences are left out, and those that stay are fixed by the seed: the first ones of a random order, so that a
    lower limit reads a part of what a higher one does. Of sequences that are `Task.divisible` only the first steps are
    read where that gives more of them: at least 200 from the first scored one on.

    Attributes
    ----------
    steps : int or None
        Of all sequences together, also those that are not scored; None for no limit. One sequence is always read.
    seed : int
    divisible : bool
    """

    steps: int | None = None
    seed: int = 0
    divisible: bool = False

    def of(self, batch: Batch) -> Batch:
        """What is read of a set of sequences; the set itself if that is all."""
        longest, count = batch.mask.shape
        if self.steps is None or self.steps >= longest * count:
            return batch
        scored = np.logical_or.reduce(batch.mask, axis=0)
        read = self.steps // longest
        if self.divisible:
            first = int(batch.mask.argmax(axis=0).max())
            read = self.steps // min(longest, first + SHORTEST)
        order = Streams(self.seed).part.permutation(count)
        chosen = order[scored[order] if scored.any() else slice(None)][: max(1, read)]
        steps = longest
        if self.divisible:
            steps = min(longest, max(first + 1, self.steps // len(chosen)))
        return batch.at((slice(steps), np.sort(chosen)))


def check_limit(value: Any) -> None:
    """Refuse what is no limit."""
    if value is None or value == AUTO or (type(value) is int and value >= 1):
        return
    raise InvalidValue("eval_limit", value, ALLOWED, "auto follows from the work of training, null reads all")


def check_within(value: Any, whole: Batch) -> None:
    """Refuse a number beyond the evaluation set."""
    if isinstance(value, int) and value > whole.mask.size:
        steps, count = whole.mask.shape
        allowed = f"at most {whole.mask.size}, which the evaluation set has ({count} x {steps} steps)"
        raise InvalidValue("eval_limit", value, allowed, "null reads all of it")


def automatic(
    network: Network, task: Task, whole: Batch, algorithm: Algorithm, *, batch_size: int, updates: int
) -> int | None:
    """The limit that follows from the work of training; None if the whole set is within it.

    Parameters
    ----------
    network : Network
    task : Task
    whole : Batch
        The evaluation set.
    algorithm : Algorithm
        Before the first update.
    batch_size, updates : int
    """
    count = whole.mask.shape[1]
    steps = steps_of_update(algorithm, whole, isinstance(task, StreamTask))
    if not algorithm.windowed:  # the least that a step's Jacobian takes
        steps *= network.recurrent.state_size
    update = 3 * batch_size * steps + BESIDE / forward_work(network)
    most = SHARE * max(UPDATES, updates) * update / EVALUATIONS / (1 + SCORING * float(whole.mask.mean()))
    # A step of few sequences costs as much as one of half a batch.
    most *= min(1.0, 2 * count / batch_size)
    return None if most >= whole.mask.size else max(1, int(most))


def forward_work(network: Network) -> int:
    """Work of one step of one sequence in multiplications: those of the matrices, and the activations."""
    tokens = network.design.input_kind == "tokens" and not network.tied
    return sum(
        int(np.prod(shape)) if len(shape) > 1 else ACTIVATION * shape[0]
        for name, shape in network.parameters.shapes.items()
        if not (tokens and name == "embedding.W")
    )


def steps_of_update(algorithm: Algorithm, whole: Batch, stream: bool) -> float:
    """Steps of each sequence that an update computes: forward once, and back as much as two steps forward."""
    longest = len(whole.mask)
    new, back = algorithm.stride or algorithm.length, algorithm.length if algorithm.windowed else algorithm.stride
    if stream:
        return ((new or 1) + 2 * max(new or 1, back or 1)) / 3
    ends = longest - whole.mask[::-1].argmax(axis=0)
    if new is None:
        return float(ends.mean())
    # An update follows each window with a scored step; the others are read on the way.
    windows = np.logical_or.reduceat(whole.mask.any(axis=1), np.arange(0, longest, new))
    each = longest / max(1, int(windows.sum()))
    return (each + 2 * min(longest, back or longest // 2 + 1)) / 3

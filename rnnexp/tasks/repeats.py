"""How many of the evaluation sequences occur in training, too: where there are few different ones, most do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.tasks.base import Batch, EpisodeTask, Task

#: Training sequences that are drawn to count; of a longer training the count is a lower bound.
MOST = 20_000
#: Of a task that repeats nothing in so many sequences, no more are drawn.
ENOUGH = 1_000
#: Sequences drawn at once, at least.
TOGETHER = 200


def repeated_share(task: Task, evaluation: Batch, drawn: int, batch_size: int = TOGETHER) -> float:
    """Share of the evaluation sequences that also occur among `drawn` training sequences, with the same targets.

    They are drawn as training draws them, at most 20,000, but by a seed of its own: training itself is not replayed.
    Sequences are compared up to their last scored step. 0 for a stream, which is no set of sequences.

    Parameters
    ----------
    task : Task
    evaluation : Batch
    drawn : int
        Sequences that training draws, >= 0.
    batch_size : int
        Drawn together in training, which matters where a batch has one length.
    """
    if not isinstance(task, EpisodeTask):
        return 0.0
    rng, wanted = np.random.default_rng(0), _contents(evaluation)
    missing, seen, limit = set(wanted), 0, min(drawn, MOST)
    while missing and seen < limit:
        count = min(max(batch_size, TOGETHER), limit - seen)
        missing.difference_update(_contents(task.sample(count, rng=rng)))
        seen += count
        if seen >= ENOUGH and len(missing) == len(set(wanted)):
            break
    return sum(content not in missing for content in wanted) / len(wanted) if wanted else 0.0


def _contents(batch: Batch) -> list[bytes]:
    """Inputs up to the last scored step and the scored targets of each sequence."""
    # Values are compared in one dtype, whatever that of the network.
    inputs, targets = (part.astype(np.float32) for part in (batch.inputs, batch.targets))
    if (batch.mask == batch.mask[:, :1]).all():
        return _of_equal(inputs, targets, batch.mask[:, 0])
    columns = [slice(at, at + 1) for at in range(batch.mask.shape[1])]
    return [_of_equal(inputs[:, at], targets[:, at], batch.mask[:, at.start])[0] for at in columns]


def _of_equal(inputs: NDArray[Any], targets: NDArray[Any], mask: NDArray[Any]) -> list[bytes]:
    """The contents of sequences of which the same steps are scored, those of `mask` (T,)."""
    scored = np.flatnonzero(mask)
    steps, count = int(scored[-1]) + 1 if len(scored) else len(mask), inputs.shape[1]
    rows = [part.swapaxes(0, 1).reshape(count, -1) for part in (inputs[:steps], targets[scored])]
    data, end = np.concatenate(rows, axis=1), scored.tobytes()
    width = data.shape[1] * data.itemsize
    whole = data.tobytes()
    return [whole[at * width : (at + 1) * width] + end for at in range(count)]

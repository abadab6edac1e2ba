"""How many of the evaluation sequences occur in training, too: where there are few different ones, most do."""

from collections.abc import Iterator

import numpy as np

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
    rng, wanted = np.random.default_rng(0), list(_contents(evaluation))
    missing, seen, limit = set(wanted), 0, min(drawn, MOST)
    while missing and seen < limit:
        count = min(max(batch_size, TOGETHER), limit - seen)
        missing.difference_update(_contents(task.sample(count, rng=rng)))
        seen += count
        if seen >= ENOUGH and len(missing) == len(set(wanted)):
            break
    return sum(content not in missing for content in wanted) / len(wanted) if wanted else 0.0


def _contents(batch: Batch) -> Iterator[bytes]:
    """Inputs up to the last scored step and the scored targets of each sequence."""
    # Values are compared in one dtype, whatever that of the network.
    inputs, targets = (part.astype(np.float32) for part in (batch.inputs, batch.targets))
    for sequence in range(batch.mask.shape[1]):
        scored = np.flatnonzero(batch.mask[:, sequence])
        steps = int(scored[-1]) + 1 if len(scored) else len(batch.mask)
        yield b"|".join(part.tobytes() for part in (inputs[:steps, sequence], targets[scored, sequence], scored))

"""The gradient of training on one independent batch after the other, at the same weights."""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from rnnexp.algorithms.base import Algorithm, Truncation
from rnnexp.components import checked
from rnnexp.gradients import Window, windowed_gradient
from rnnexp.layers import Network
from rnnexp.layers.base import Array
from rnnexp.tasks import Batch, DataIterator, EpisodeTask, Task

#: Windows of a stream among which one with a scored step is looked for.
WINDOWS = 100


@checked
def training_gradients(
    network: Network, task: Task, algorithm: Algorithm, *, batch_size: int, count: int, run_in: int, rng: Generator
) -> Iterator[Array]:
    """Gradients (P,) as training takes them, before regularizer and clipping.

    Of episodes, of the mean loss of a whole batch, cut into windows by `algorithm`; of streams, of one update's losses,
    after the state has run in.

    Parameters
    ----------
    network
        Its state and gradient are overwritten.
    task : Task
    algorithm : Algorithm
    batch_size, count : int
        Sequences of a batch, and batches.
    run_in : int
        Steps of a stream before the update's.
    rng : numpy Generator
        Draws batches and random cuts.
    """
    data: DataIterator | None = None
    for _ in range(count):
        before = rng.bit_generator.state
        begun = DataIterator(task, batch_size, rng=rng, dtype=network.dtype)
        # Streams that always begin in the same place (those of a file) are read on instead.
        if data is None or isinstance(task, EpisodeTask) or rng.bit_generator.state != before:
            data = begun
        if isinstance(task, EpisodeTask):
            batch, _ = data.next(None)
            if batch.mask.any():
                yield algorithm.gradient(network, batch, task.target_kind, rng=rng)
        else:
            batch, window = _one_update(data, algorithm, run_in, rng)
            if batch.mask.any():
                if isinstance(algorithm, Truncation):
                    gradient = windowed_gradient(network, batch, task.target_kind, [window])
                else:
                    gradient = algorithm.gradient(network, batch, task.target_kind, rng=rng)
                yield gradient * algorithm.scale(int(batch.mask.sum()), data)


def _one_update(data: DataIterator, algorithm: Algorithm, run_in: int, rng: Generator) -> tuple[Batch, Window]:
    """Steps of streams whose newest, the only scored ones, make an update; and how far back their losses go."""
    inputs = data.next(max(run_in, algorithm.length or 0))[0].inputs
    for _ in range(WINDOWS):
        segment = algorithm.segment(rng=rng)
        new, _ = data.next(segment.new)
        newest, inputs = len(inputs), np.concatenate([inputs, new.inputs])
        if new.mask.any():
            break
    targets, mask = (np.zeros((len(inputs), *each.shape[1:]), each.dtype) for each in (new.targets, new.mask))
    targets[newest:], mask[newest:] = new.targets, new.mask
    back = segment.back(len(new.inputs))
    return Batch(inputs, targets, mask), Window(newest - (back or 0), newest, len(inputs), segment.step_weights)

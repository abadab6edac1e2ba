"""The training data as a sequence of chunks, whether it comes as episodes or as a stream."""

from numpy.random import Generator
from numpy.typing import DTypeLike

from rnnexp.tasks import Batch, EpisodeTask, Place, StreamTask, Task


class Cursor:
    """Where training has got to in its data.

    Parameters
    ----------
    task : EpisodeTask or StreamTask
    batch_size : int
    rng : numpy Generator
        Draws the data.
    dtype : dtype
        Of real-valued inputs and targets.

    Attributes
    ----------
    place : Place or None
        Of a stream.
    batch, position : Batch or None, int
        The current episodes and the step they have got to.
    """

    def __init__(self, task: Task, batch_size: int, *, rng: Generator, dtype: DTypeLike) -> None:
        self.task, self.batch_size, self.rng, self.dtype = task, batch_size, rng, dtype
        self.place: Place | None = None
        self.batch: Batch | None = None
        self.position = 0
        if isinstance(task, StreamTask):
            self.place = task.begin(batch_size, rng=rng)

    def scored_per_update(self, length: int) -> float:
        """Scored steps, of all sequences together, that an update has, about, with windows of `length` steps."""
        if self.batch is None:
            return float(length * self.batch_size)
        mask = self.batch.mask
        updates = min(int(mask.any(axis=1).sum()), len(mask) / length)
        return float(mask.sum() / max(1.0, updates))

    def next(self, steps: int | None) -> tuple[Batch, bool]:
        """At most `steps` further steps (None: to the episode's end), and whether they begin a new sequence."""
        if isinstance(self.task, StreamTask):
            assert self.place is not None and steps is not None
            fresh = self.position == 0
            chunk = self.task.read(self.place, steps, rng=self.rng).cast(self.dtype)
            self.position += len(chunk.inputs)
            return chunk, fresh
        assert isinstance(self.task, EpisodeTask)
        if self.batch is None or self.position >= len(self.batch.inputs):
            self.batch, self.position = self.task.sample(self.batch_size, rng=self.rng).cast(self.dtype), 0
        start = self.position
        chunk = self.batch.steps(start, len(self.batch.inputs) if steps is None else start + steps)
        self.position = start + len(chunk.inputs)
        return chunk, start == 0

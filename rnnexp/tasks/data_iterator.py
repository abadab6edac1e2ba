"""The training data, read chunk by chunk from episodes or from a stream."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

from rnnexp.state import array_like, copied, entry, expected, generator_state, like, restored_generator, unfit
from rnnexp.tasks.base import Batch, Place, StreamTask, Task


class DataIterator:
    """The position of training in its data.

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
        The current episodes and the next step to read.
    """

    def __init__(self, task: Task, batch_size: int, *, rng: Generator, dtype: DTypeLike) -> None:
        self.task, self.batch_size, self.rng, self.dtype = task, batch_size, rng, dtype
        self.place: Place | None = None
        self.batch: Batch | None = None
        self.position = 0
        if isinstance(task, StreamTask):
            self.place = task.begin(batch_size, rng=rng)

    @property
    def fresh(self) -> bool:
        """Whether the next chunk begins a new sequence."""
        if self.place is not None:
            return self.position == 0
        return self.batch is None or self.position >= len(self.batch.inputs)

    def scored_per_update(self, length: int) -> float:
        """Approximate number of scored steps per update, over the whole batch, with windows of `length` steps."""
        if self.batch is None:
            return float(length * self.batch_size)
        mask = self.batch.mask
        updates = min(int(mask.any(axis=1).sum()), len(mask) / length)
        return float(mask.sum() / max(1.0, updates))

    def next(self, steps: int | None) -> tuple[Batch, bool]:
        """Up to `steps` further steps (None: to the end of the episode), and whether they begin a new sequence."""
        task: Any = self.task
        if self.place is not None:
            fresh = self.fresh
            chunk = task.read(self.place, steps, rng=self.rng).cast(self.dtype)
            self.position += len(chunk.inputs)
            return chunk, fresh
        if self.batch is None or self.fresh:
            self.batch, self.position = task.sample(self.batch_size, rng=self.rng).cast(self.dtype), 0
        start = self.position
        chunk = self.batch.steps(start, len(self.batch.inputs) if steps is None else start + steps)
        self.position = start + len(chunk.inputs)
        return chunk, start == 0

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes; episodes read to their end are left out.

        Raises
        ------
        TypeError
            If a stream's place holds more than arrays, plain values and generators.
        """
        batch = None
        if self.batch is not None and not self.fresh:
            batch = {name: copied(getattr(self.batch, name)) for name in ("inputs", "targets", "mask", "allowed")}
        place = None if self.place is None else copied(vars(self.place), "place")
        return {"rng": generator_state(self.rng), "position": self.position, "place": place, "batch": batch}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`, including the state of `rng`.

        Raises
        ------
        UserError
            If it does not fit the task and the batch size; then nothing is changed.
        """
        self.checked(state)()

    def checked(self, state: Any) -> Callable[[], None]:
        """The assignments of `restore`, after checking that everything fits."""
        rng = restored_generator(self.rng, entry(state, "rng", "data"), "data/rng")
        position = expected(entry(state, "position", "data"), "data/position", int, at_least=0)
        saved_place, saved_batch = entry(state, "place", "data"), entry(state, "batch", "data")
        if (saved_place is None) != (self.place is None):
            raise unfit("one of the two tasks is a stream, the other is not")
        # Arrays of another shape belong to another task, where they mean something else.
        place = None if self.place is None else like(vars(self.place), saved_place, "place")
        batch = None if saved_batch is None or place is not None else self._checked_batch(saved_batch, position)

        def put_back() -> None:
            self.rng, self.position, self.batch = rng, position, batch
            if self.place is not None and place is not None:
                vars(self.place).update(place)

        return put_back

    def _checked_batch(self, saved: Any, position: int) -> Batch:
        task, count = self.task, self.batch_size
        inputs = self.checked_inputs(entry(saved, "inputs", "batch"), "batch/inputs")
        steps = len(inputs)
        if not position < steps:
            raise unfit(f"data/position is {position} in episodes of {steps} steps")
        mask = array_like(entry(saved, "mask", "batch"), "batch/mask", (steps, count), "b")
        targets = entry(saved, "targets", "batch")
        if task.target_kind == "classes":
            targets = array_like(targets, "batch/targets", (steps, count), "iu")
            check_range(targets[mask], task.output_size, "batch/targets")
        else:
            targets = array_like(targets, "batch/targets", (steps, count, task.output_size), self._kinds(targets))
        allowed = entry(saved, "allowed", "batch")
        if allowed is not None:
            allowed = array_like(allowed, "batch/allowed", (steps, count, task.output_size), "b")
        return Batch(inputs, targets, mask, allowed)

    def checked_inputs(self, saved: Any, where: str) -> NDArray[Any]:
        """A copy of inputs, of any length, that fit the task and the batch size."""
        if self.task.input_kind == "tokens":
            tokens = array_like(saved, where, (None, self.batch_size), "iu")
            check_range(tokens, self.task.input_size, where)
            return tokens
        return array_like(saved, where, (None, self.batch_size, self.task.input_size), self._kinds(saved))

    def _kinds(self, saved: Any) -> Any:
        """The dtype of real numbers here; integers are not cast."""
        whole = isinstance(saved, np.ndarray) and saved.dtype.kind in "biu"
        return "biu" if whole else np.dtype(self.dtype)


def check_range(tokens: NDArray[Any], size: int, where: str) -> None:
    """Refuse tokens or classes that are not from 0 to size - 1."""
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        raise unfit(f"{where} holds {tokens.min()} to {tokens.max()}, here they are from 0 to {size - 1}")

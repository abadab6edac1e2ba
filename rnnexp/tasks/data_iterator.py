"""The training data, read chunk by chunk from episodes or from a stream."""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

from rnnexp.components import Component
from rnnexp.state import Maybe, Shaped, copied, generator_state, matching, unfit
from rnnexp.tasks.base import Batch, Place, StreamTask, Task


class DataIterator(Component):
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
            batch = {name: copied(getattr(self.batch, name)) for name in Batch.__slots__}
        place = None if self.place is None else copied(vars(self.place), "place")
        return {"rng": generator_state(self.rng), "position": self.position, "place": place, "batch": batch}

    def restore(self, state: Any, where: str = "data") -> None:
        """Continue from `state`, including the state of `rng`.

        Raises
        ------
        UserError
            If it does not fit the task and the batch size; then nothing is changed.
        """
        own = {"rng": self.rng, "position": 0, "place": None, "batch": Maybe(self._batch_template())}
        fit = matching(own, state, where)
        place, batch = fit["place"], None if fit["batch"] is None else Batch(**fit["batch"])
        if (place is None) != (self.place is None):
            raise unfit("one of the two tasks is a stream, the other is not")
        if self.place is not None:
            # Arrays of another shape belong to another task, where they mean something else.
            place = matching(vars(self.place), place, f"{where}/place")
        if fit["position"] < 0:
            raise unfit(f"{where}/position is {fit['position']}")
        if batch is not None:
            self._check_batch(batch, fit["position"], f"{where}/batch")

        self.rng, self.position, self.batch = fit["rng"], fit["position"], batch
        if self.place is not None:
            vars(self.place).update(place)

    def input_template(self) -> Shaped:
        """What inputs of any number of steps must match."""
        if self.task.input_kind == "tokens":
            return Shaped((None, self.batch_size), np.integer)
        return Shaped((None, self.batch_size, self.task.input_size), np.integer, np.bool_, self.dtype)

    def _batch_template(self) -> dict[str, Any]:
        """What the arrays of a batch must match; integers are not cast."""
        steps, values = (None, self.batch_size), (None, self.batch_size, self.task.output_size)
        classes = self.task.target_kind == "classes"
        return {
            "inputs": self.input_template(),
            "targets": Shaped(steps, np.integer) if classes else Shaped(values, np.integer, np.bool_, self.dtype),
            "mask": Shaped(steps, np.bool_),
            "allowed": Maybe(Shaped(values, np.bool_)),
        }

    def _check_batch(self, batch: Batch, position: int, where: str) -> None:
        """Refuse values that no template knows."""
        steps = len(batch.inputs)
        if any(array is not None and len(array) != steps for array in (batch.targets, batch.mask, batch.allowed)):
            raise unfit(f"the arrays of {where} differ in their number of steps")
        if position >= steps:
            raise unfit(f"data/position is {position} in episodes of {steps} steps")
        self.check_inputs(batch.inputs, f"{where}/inputs")
        if self.task.target_kind == "classes":
            check_range(batch.targets[batch.mask], self.task.output_size, f"{where}/targets")

    def check_inputs(self, inputs: NDArray[Any], where: str) -> None:
        """Refuse tokens that the task does not have."""
        if self.task.input_kind == "tokens":
            check_range(inputs, self.task.input_size, where)


def check_range(tokens: NDArray[Any], size: int, where: str) -> None:
    """Refuse tokens or classes that are not from 0 to size - 1."""
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        raise unfit(f"{where} holds {tokens.min()} to {tokens.max()}, here they are from 0 to {size - 1}")

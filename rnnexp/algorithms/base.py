"""The interface of all algorithms: the next steps of a sequence, and how far back their gradient goes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from rnnexp.components import Component
from rnnexp.gradients import Window
from rnnexp.layers import Network
from rnnexp.state import matching
from rnnexp.tasks import DataIterator, Task


@dataclass(frozen=True)
class Segment:
    """The next segment of a sequence.

    Attributes
    ----------
    new : int or None
        Steps to read, whose losses make the update; None is all that remain.
    length : int or None
        Steps through which the losses are backpropagated, including the new ones; None is all.
    step_weights : list of `new` floats, or None
        A factor for the gradient that each new step passes to the previous one; 1 when None. With factors, no older
        step is reached.
    """

    new: int | None
    length: int | None
    step_weights: list[float] | None = None

    def back(self, new: int) -> int | None:
        """The number of older steps reached by the losses of `new` new ones; None is all."""
        if self.step_weights is not None:
            return 0
        return None if self.length is None else max(0, self.length - new)


class Truncation(Component, ABC):
    """How a sequence is cut into segments, which `train` requests one by one.

    Attributes
    ----------
    length, stride : int or None
        The current h (k2) and h' (k1); None is the whole sequence, and `length`, respectively.
    varies : bool
        Whether the length changes between updates.
    """

    length: int | None
    stride: int | None
    varies = False

    @abstractmethod
    def segment(self, *, rng: Generator) -> Segment:
        """The next segment; `rng` draws its random parts."""

    def begin(self, network: Network, task: Task, *, rng: Generator) -> None:
        """Prepare for a network and a task, before the first update."""

    def adapt(self, step: int) -> None:
        """Adapt to the network before update `step`, if needed."""

    def scale(self, scored: int, data: DataIterator) -> float:
        """A factor for the mean loss over `scored` steps of the last segment."""
        return 1.0

    def state(self) -> dict[str, Any]:
        """Everything that has changed since `begin`, as arrays and plain values; empty unless overridden."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`, after `begin`.

        Raises
        ------
        UserError
            If it does not fit; then nothing is changed.
        """
        matching({}, state, "algorithm")

    def windows(self, steps: int, *, rng: Generator) -> list[Window]:
        """The current cuts of a sequence of `steps` steps."""
        cut: list[Window] = []
        newest = 0
        while newest < steps:
            segment = self.segment(rng=rng)
            end = steps if segment.new is None else min(steps, newest + segment.new)
            back = segment.back(end - newest)
            start = 0 if back is None else max(0, newest - back)
            cut.append(Window(start, newest, end, segment.step_weights and segment.step_weights[: end - newest]))
            newest = end
        return cut

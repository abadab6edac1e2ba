"""What every algorithm shares: which steps come next of a sequence, and how far back their gradient goes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from rnnexp.gradients import Window
from rnnexp.layers import Network
from rnnexp.state import matching
from rnnexp.tasks import DataIterator, Task


@dataclass(frozen=True)
class Segment:
    """What comes next of a sequence.

    Attributes
    ----------
    new : int or None
        Steps to read, whose losses make the update; None is all that are left.
    length : int or None
        Steps that the losses go back, the new ones included; None is all there are.
    step_weights : list of `new` floats, or None
        A factor for what each new step hands back to the one before it; 1 when None. With factors, no older step is
        reached.
    """

    new: int | None
    length: int | None
    step_weights: list[float] | None = None

    def back(self, new: int) -> int | None:
        """How many older steps the losses of `new` new ones reach; None is all."""
        if self.step_weights is not None:
            return 0
        return None if self.length is None else max(0, self.length - new)


class Truncation(ABC):
    """How a sequence is cut; `train` asks for one segment after another.

    Attributes
    ----------
    length, stride : int or None
        The present h (k2) and h' (k1); None is the whole sequence, and `length`, respectively.
    varies : bool
        The length is not the same at every update.
    """

    length: int | None
    stride: int | None
    varies = False

    @abstractmethod
    def segment(self, *, rng: Generator) -> Segment:
        """The next segment; `rng` draws what is random about it."""

    def begin(self, network: Network, task: Task, *, rng: Generator) -> None:  # noqa: B027
        """Get to know what is trained on, before the first update."""

    def adapt(self, step: int) -> None:  # noqa: B027
        """Look at the network before update `step`, if need be."""

    def scale(self, scored: int, data: DataIterator) -> float:
        """A factor for the mean loss over `scored` steps of the last segment."""
        return 1.0

    def state(self) -> dict[str, Any]:
        """What it has learnt or drawn since `begin`, as arrays and plain values; nothing, unless overridden."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from where `state` was taken, after `begin`.

        Raises
        ------
        UserError
            If it does not fit; nothing may have changed then.
        """
        matching({}, state, "bptt")

    def windows(self, steps: int, *, rng: Generator) -> list[Window]:
        """How a sequence of so many steps would be cut now."""
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

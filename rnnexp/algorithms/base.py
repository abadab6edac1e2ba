"""The interface of all algorithms: which steps come next, and the gradient of their losses."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.random import Generator

from rnnexp.components import Component
from rnnexp.gradients import Window, truncated_gradient
from rnnexp.layers import Network
from rnnexp.layers.base import Array
from rnnexp.state import matching
from rnnexp.tasks import Batch, DataIterator, Task


@dataclass(frozen=True)
class Segment:
    """The next segment of a sequence.

    Attributes
    ----------
    new : int or None
        Steps to read, whose losses make the update; None is all that remain.
    length : int or None
        Steps through which the losses are backpropagated, including the new ones; None is all, and 0 for an algorithm
        that takes in each step once.
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


class Algorithm(Component, ABC):
    """How the gradient is had: `train` asks for one segment of the sequence after the other, and for its gradient.

    After the forward pass through the segment, and the older steps of its window, `train` calls `backward` if a step
    was scored, and `advance` if none was.

    Attributes
    ----------
    length, stride : int or None
        The current window (k2), None being the whole sequence, and steps between updates (k1).
    varies : bool
        Whether the length changes between updates.
    windowed : bool
        Whether there is a window, beyond which the past has no influence on the gradient.
    random, exact : bool
        Whether the gradient depends on random draws, and whether it is, with unchanged weights, the full one.
    """

    length: int | None
    stride: int | None
    varies = False
    windowed: ClassVar[bool] = True
    random: ClassVar[bool] = False
    exact: ClassVar[bool] = False

    @abstractmethod
    def segment(self, *, rng: Generator) -> Segment:
        """The next segment; `rng` draws its random parts."""

    def check(self, network: Network) -> None:
        """Raise a `UserError` if it can't train such a network."""

    def begin(self, network: Network, task: Task, *, rng: Generator) -> None:
        """Prepare for a network and a task, before the first update."""

    def adapt(self, step: int) -> None:
        """Adapt to the network before update `step`, if needed."""

    def advance(self, network: Network, *, rng: Generator) -> None:
        """Take in the steps of the network's last window, none of which was scored."""

    def backward(self, network: Network, slope: Array, segment: Segment, *, rng: Generator) -> Array:
        """The gradient of the last window's loss; the network's gradient vector (..., P), which it is written into.

        Parameters
        ----------
        network : Network
            It has just computed the window, and its outputs at the scored steps.
        slope : array (S, ..., N, O)
            The loss's gradient in these outputs.
        segment : Segment
        rng : numpy Generator
            For random parts.
        """
        return network.backward(slope, step_weights=segment.step_weights)

    def scale(self, scored: int, data: DataIterator) -> float:
        """A factor for the mean loss over `scored` steps of the last segment."""
        return 1.0

    @abstractmethod
    def gradient(self, network: Network, batch: Batch, target_kind: str, *, rng: Generator) -> Array:
        """The gradient (P,) of the mean loss over all scored steps of whole sequences, the weights unchanged.

        Training is not affected; the network's state and gradient are overwritten.
        """

    def staleness(self, network: Network, inputs: Array, start: Sequence[Array] | None) -> float | None:
        """How far what is carried forward is from what the present weights would have made of it.

        Parameters
        ----------
        network : Network
            A replica, whose state is overwritten.
        inputs : array (T, N, ...)
            The steps so far.
        start : tuple of arrays (N, H), or None
            The state before them; None is a sequence's beginning.
        """
        return None

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


class Truncation(Algorithm):
    """Backpropagation through time in windows: only `segment` says how far back."""

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

    def gradient(self, network: Network, batch: Batch, target_kind: str, *, rng: Generator) -> Array:
        """Each window's newest losses, sent back through it only."""
        return truncated_gradient(network, batch, target_kind, self.windows(len(batch.inputs), rng=rng))

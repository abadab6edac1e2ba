"""What all rules share that carry the influence of the parameters forward, step by step, in place of a window.

With s_t (S,) the whole recurrent state of a sequence, after step t, and theta (P,) the parameters that it depends on::

    J_t = D_t J_{t-1} + M_t          D_t = ds_t/ds_{t-1}, M_t = the direct ds_t/dtheta of step t
    dL/dtheta = sum_t dL/ds_t J_t    dL/ds_t from the output layer, at each scored step

J_t (S, P) is the influence. It begins with the sequence, at zero, or at the identity for a learned initial state. The
rules of this package differ in what they keep of J, and of D. Each sequence of a batch has its own.

All derivatives are those of the weights with which step t was computed: where the weights change from step to step, J
mixes old derivatives with new ones, which is what these rules do, and not the gradient at any one weight vector.
"""

import copy
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator

from rnnexp.algorithms.base import Algorithm, Segment
from rnnexp.algorithms.influencing import Influencing
from rnnexp.checks import integer
from rnnexp.gradients.passes import WINDOW
from rnnexp.layers import CRITERIA, Network
from rnnexp.layers.base import Array
from rnnexp.layers.fit import check_batch
from rnnexp.tasks import Batch, Task


class CarriedForward(Algorithm):
    """A rule without a window: an update after every `stride` steps, from the losses of these steps.

    A subclass gives `start`, `step` and `read`, and keeps the influence in `influence`, arrays by name whose first axis
    is the batch.

    Parameters
    ----------
    stride : int or None
        Steps between updates, >= 1; None is 1.

    Attributes
    ----------
    influence : dict of str to array (N, ...), or None
        None before the first step.
    """

    windowed: ClassVar[bool] = False
    length = None
    stride: int

    def __init__(self, stride: int | None = None) -> None:
        self.stride = 1 if stride is None else integer("bptt_stride", stride, at_least=1)
        self.influence: dict[str, Array] | None = None
        self.begun = False

    def begin(self, network: Network, task: Task | None, *, rng: Generator) -> None:
        """Look at the network's parameters; there is no influence yet."""
        self.layout, self.influence, self.begun = Influencing(network), None, True

    def segment(self, *, rng: Generator) -> Segment:
        """The next `stride` steps, and none before them: the influence has taken those in, also at an episode's end."""
        return Segment(self.stride, 0)

    @abstractmethod
    def start(self, count: int, dtype: Any, *, rng: Generator) -> None:
        """The influence on the initial states of `count` sequences."""

    @abstractmethod
    def step(self, network: Network, t: int, *, rng: Generator) -> None:
        """The influence after step t of the network's last window, from that before it (see `derivatives_at`)."""

    @abstractmethod
    def read(self, dstate: Array) -> Array:
        """dL/ds_t J_t (P,), summed over the batch, from dL/ds_t (N, S)."""

    def advance(self, network: Network, *, rng: Generator) -> None:
        """Carry the influence through the last window; there is no loss."""
        self._through(network, None, rng)

    def backward(self, network: Network, slope: Array, segment: Segment, *, rng: Generator) -> Array:
        """Carry the influence through the last window, and read the gradient at every scored step."""
        dhs = network.back_to_states(slope)
        dstates = np.concatenate(network.recurrent.after_each_step(dhs), axis=-1)
        found = self._through(network, dstates, rng)
        network.parameters.gradient[: len(found)] = found
        return network.finish_backward()

    def _through(self, network: Network, dstates: Array | None, rng: Generator) -> Array:
        """Step through the last window; the sum of what is read from dL/ds_t (T, N, S)."""
        layer, (steps, count) = network.recurrent, network.inputs.shape[:2]
        if layer.from_start or self.influence is None:
            self.start(count, network.dtype, rng=rng)
            for array in self.influence.values() if self.influence and not layer.from_start else ():
                array[...] = 0.0  # somewhere within a sequence, not at its initial states
        total = np.zeros(self.layout.count, network.dtype)
        for t in range(steps):
            self.step(network, t, rng=rng)
            if dstates is not None and np.count_nonzero(dstates[t]):
                total += self.read(dstates[t])
        return total

    def gradient(self, network: Network, batch: Batch, target_kind: str, *, rng: Generator) -> Array:
        """From whole sequences, the influence beginning with them, the weights unchanged; a copy."""
        check_batch(network, batch, target_kind)
        apart, criterion, total = copy.copy(self), CRITERIA[target_kind](), batch.mask.sum()
        apart.influence, gradient = None, np.zeros_like(network.parameters.gradient)
        if not apart.begun:
            apart.begin(network, None, rng=rng)
        network.reset_state()
        for start in range(0, len(batch.inputs), WINDOW):
            part = batch.steps(start, start + WINDOW)
            outputs = network.forward(part.inputs)
            if part.mask.any():
                criterion.forward(outputs, part.targets, part.mask)
                slope = criterion.backward() * (part.mask.sum() / total).astype(network.dtype)
                gradient += apart.backward(network, slope, self.segment(rng=rng), rng=rng)
            else:
                apart.advance(network, rng=rng)
        network.reset_state()
        return gradient

    def state(self) -> dict[str, Any]:
        """The influence."""
        return {"influence": None if self.influence is None else dict(self.influence)}

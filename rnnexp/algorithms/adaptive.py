"""Truncation that follows the decay of the gradient."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.algorithms.base import Segment, Truncation
from rnnexp.checks import InvalidValue, integer, number
from rnnexp.gradients import AdaptiveWindow, adaptive_window, norms_by_lag
from rnnexp.layers import Network
from rnnexp.state import Maybe, copied, matching, unfit
from rnnexp.tasks import DataIterator, EpisodeTask, Task


class AdaptiveBPTT(Truncation):
    """The window follows the decay of the gradient: the shortest whose estimated relative bias is small enough.

    After every `every` updates, the norms of the gradient in the whole state by lag are measured on `sequences` fresh
    sequences; they determine the window (Aicher, Foti & Fox 2019, "Adaptively truncating backpropagation through time
    to control gradient bias", section 4; `adaptive_window` says in what it differs from their code). Where the norms do
    not decay, no window is sufficient, and the longest is used.

    Parameters
    ----------
    length : int
        K, the window until the first measurement, >= 1.
    stride : int or None
        Steps between updates; None is the current window.
    tolerance : float
        Relative bias that is accepted (delta in the paper), > 0.
    every : int
        Updates between measurements, >= 1.
    max_length : int
        The longest window, and the steps of a stream that are measured, >= `length`; episodes are measured whole.
    sequences : int
        Sequences measured, >= 1.

    Attributes
    ----------
    estimate : AdaptiveWindow or None
        The result of the last measurement.
    """

    varies = True

    def __init__(
        self,
        length: int | None = 20,
        stride: int | None = None,
        *,
        tolerance: float = 0.1,
        every: int = 100,
        max_length: int = 100,
        sequences: int = 20,
    ) -> None:
        hint = "it is the first window of algorithm=adaptive_bptt; only algorithm=bptt takes null"
        self.length: int = integer("bptt_length", length, at_least=1, hint=hint)
        self.fixed_stride = None if stride is None else integer("bptt_stride", stride, at_least=1)
        self.tolerance = number("tolerance", tolerance, above=0)
        self.every = integer("every", every, at_least=1)
        self.max_length = integer("max_length", max_length, at_least=1)
        self.sequences = integer("sequences", sequences, at_least=1)
        if self.max_length < self.length:
            raise InvalidValue("max_length", max_length, f">= bptt_length, which is {length}")
        if self.fixed_stride is not None and self.fixed_stride > self.length:
            raise InvalidValue("bptt_stride", stride, f"<= bptt_length, which is {length}")
        self.first_length = self.length
        self.estimate: AdaptiveWindow | None = None

    @property
    def stride(self) -> int:  # type: ignore[override]
        """The current number of steps between updates."""
        return self.length if self.fixed_stride is None else self.fixed_stride

    def configuration(self) -> dict[str, Any]:
        """The arguments given, of which the window has moved on."""
        return super().configuration() | {"length": self.first_length, "stride": self.fixed_stride}

    def begin(self, network: Network, task: Task, *, rng: Generator) -> None:
        """Keep a replica of the network and a separate data iterator, drawn by `rng`; start with the first window."""
        self.length, self.estimate = self.first_length, None
        self._network, self._task = network.replica(), task
        self._data = DataIterator(task, self.sequences, rng=rng, dtype=network.dtype)

    def adapt(self, step: int) -> None:
        """Measure the decay and update the window, if due."""
        if step == 1 or (step - 1) % self.every:
            return
        batch, _ = self._data.next(None if isinstance(self._task, EpisodeTask) else self.max_length)
        if not batch.mask.any():
            return
        norms: NDArray[Any] = norms_by_lag(self._network, batch, self._task.target_kind, whole_state=True).common
        self.estimate = adaptive_window(norms, self.tolerance)
        shortest = self.fixed_stride or 1
        # Without decay no window is long enough: use the longest.
        found = self.max_length if self.estimate.window is None else self.estimate.window
        self.length = int(np.clip(found, shortest, self.max_length))

    def segment(self, *, rng: Generator) -> Segment:
        """The current window."""
        return Segment(self.stride, self.length)

    def state(self) -> dict[str, Any]:
        """The current window, the estimate behind it, and the position in the measured data."""
        estimate = None if self.estimate is None else copied(asdict(self.estimate))
        return {"length": int(self.length), "estimate": estimate, "data": self._data.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with that window and position; `UserError` if they do not fit."""
        fit = matching({"length": 0, "estimate": Maybe(AdaptiveWindow), "data": None}, state, "algorithm")
        length, estimate = fit["length"], fit["estimate"]
        if not (self.fixed_stride or 1) <= length <= self.max_length:
            raise unfit(f"algorithm/length is {length}, here it is from {self.fixed_stride or 1} to {self.max_length}")
        self._data.restore(fit["data"], "algorithm/data")
        self.length, self.estimate = length, estimate

"""Truncated backpropagation through time: which steps make a window, and how far back its gradient goes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, integer, number
from rnnexp.gradients import AdaptiveWindow, Window, adaptive_window, norms_by_lag
from rnnexp.layers import Network
from rnnexp.tasks import EpisodeTask, Task
from rnnexp.training.cursor import Cursor
from rnnexp.training.state import array_like, entry, expected, unfit


@dataclass(frozen=True)
class Stretch:
    """What comes next of a sequence.

    Attributes
    ----------
    new : int or None
        Steps to read, whose losses make the update; None is all that are left.
    length : int or None
        Steps that the losses go back, the new ones included; None is all there are.
    carry : list of `new` floats, or None
        A factor for what each new step hands back to the one before it; 1 when None. With factors, no older step is
        reached.
    """

    new: int | None
    length: int | None
    carry: list[float] | None = None

    def back(self, new: int) -> int | None:
        """How many older steps the losses of `new` new ones reach; None is all."""
        if self.carry is not None:
            return 0
        return None if self.length is None else max(0, self.length - new)


class Truncation(ABC):
    """How a sequence is cut; `train` asks for one stretch after another.

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
    def stretch(self, *, rng: Generator) -> Stretch:
        """The next stretch; `rng` draws what is random about it."""

    def begin(self, network: Network, task: Task, *, rng: Generator) -> None:  # noqa: B027
        """Get to know what is trained on, before the first update."""

    def adapt(self, step: int) -> None:  # noqa: B027
        """Look at the network before update `step`, if need be."""

    def scale(self, scored: int, cursor: Cursor) -> float:
        """A factor for the mean loss over `scored` steps of the last stretch."""
        return 1.0

    def state(self) -> dict[str, Any]:
        """What it has learnt or drawn since `begin`, as arrays and plain values; nothing, unless overridden."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken, after `begin`.

        Raises
        ------
        UserError
            If it does not fit; nothing may have changed then.
        """
        if state:
            raise unfit(f"another kind of bptt than {type(self).__name__} wrote it")

    def windows(self, steps: int, *, rng: Generator) -> list[Window]:
        """How a sequence of so many steps would be cut now."""
        cut: list[Window] = []
        newest = 0
        while newest < steps:
            stretch = self.stretch(rng=rng)
            end = steps if stretch.new is None else min(steps, newest + stretch.new)
            back = stretch.back(end - newest)
            start = 0 if back is None else max(0, newest - back)
            cut.append(Window(start, newest, end, stretch.carry and stretch.carry[: end - newest]))
            newest = end
        return cut


class TruncatedBPTT(Truncation):
    """BPTT(h; h') of Williams & Peng 1990: every h' steps, the newest h' losses go back through the last h steps.

    With h = h' (the default) a sequence is cut into windows, the state is carried and the gradient stops at the
    window's edge, as in most frameworks. Earlier steps of a longer window keep the states they were computed with,
    as in the paper; only the weights used on the way back are the present ones.

    Parameters
    ----------
    length : int or None
        h (k2), steps that the gradient travels back, >= 1; None is the whole sequence.
    stride : int or None
        h' (k1), steps between updates, from 1 to `length`; None is `length`.

    Raises
    ------
    InvalidValue
        With the keys `bptt_length` and `bptt_stride`, as the command line calls them.
    """

    def __init__(self, length: int | None = 20, stride: int | None = None) -> None:
        self.length = None if length is None else integer("bptt_length", length, at_least=1)
        self.stride = self.length if stride is None else integer("bptt_stride", stride, at_least=1)
        if self.length is not None and self.stride is not None and self.stride > self.length:
            raise InvalidValue(
                "bptt_stride",
                stride,
                f"<= bptt_length, which is {length}",
                "a loss further back than bptt_length steps would never send a gradient to the step it belongs to",
            )
        self._stretch = Stretch(self.stride, self.length)

    def stretch(self, *, rng: Generator) -> Stretch:
        """The next h' steps, and h steps back; nothing is random about them."""
        return self._stretch


class RandomizedBPTT(Truncation):
    """ARTBP: truncate at random, and make up for it, so that the gradient is right on average.

    After each step the sequence is cut with a probability c; each time it is not, what goes back over that step's
    boundary is multiplied by 1 / (1 - c). The update after a cut uses the losses since the last one. Its gradient is
    their sum over a constant, about the number that an update has on average, not over their own number: so the
    expectation over the cuts is the whole sequence's gradient (Tallec & Ollivier 2017, "Unbiasing truncated
    backpropagation through time", section 4).

    With d steps since the last cut, c = (alpha - 1) / ((alpha - 2) L0 + d): windows have L0 steps on average, and the
    factors grow like a power of the lag, not exponentially as with a constant c (section 5).

    Parameters
    ----------
    length : int
        L0, the mean window, >= 2.
    stride : None
        An update follows every cut: there is nothing to choose.
    alpha : float
        Exponent, > 2: the probability of a window longer than x falls as x^(1 - alpha), the factors grow as
        x^(alpha - 1).
    """

    varies = True

    def __init__(self, length: int | None = 20, stride: int | None = None, *, alpha: float = 6.0) -> None:
        hint = "it is the mean of the random windows with bptt=randomized; bptt=windows takes 1 and null"
        self.length: int = integer("bptt_length", length, at_least=2, hint=hint)
        if stride is not None:
            hint = "an update follows every cut, wherever it falls"
            raise InvalidValue("bptt_stride", stride, "null with bptt=randomized", hint)
        self.stride = None
        self.alpha = number("alpha", alpha, above=2)

    def stretch(self, *, rng: Generator) -> Stretch:
        """Steps up to the next cut."""
        scale = (self.alpha - 2.0) * self.length
        carry = [1.0]
        while rng.random() >= (cut := (self.alpha - 1.0) / (scale + len(carry))):
            carry.append(1.0 / (1.0 - cut))
        return Stretch(len(carry), len(carry), carry)

    def scale(self, scored: int, cursor: Cursor) -> float:
        """Losses count alike in a short window and in a long one."""
        return scored / cursor.scored_per_update(self.length)


class AdaptiveBPTT(Truncation):
    """The window follows the decay of the gradient: the shortest whose estimated relative bias is small enough.

    After every `every` updates, the norms of the gradient by lag are measured on `sequences` fresh sequences;
    from them follows the window (`adaptive_window`; Aicher, Foti & Fox 2019, "Adaptively truncating
    backpropagation through time to control gradient bias", section 4). Where the norms do not decay there is no such
    window, and the longest is used.

    Parameters
    ----------
    length : int
        K, the window until the first measurement, >= 1.
    stride : int or None
        Steps between updates; None is the window, whatever it has become.
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
        What the last measurement gave.
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
        hint = "it is where the window begins with bptt=adaptive; bptt=windows takes null"
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
        """Steps between updates, now."""
        return self.length if self.fixed_stride is None else self.fixed_stride

    def begin(self, network: Network, task: Task, *, rng: Generator) -> None:
        """Keep a replica of the network and a place in data of its own, drawn by `rng`; begin with the first window."""
        self.length, self.estimate = self.first_length, None
        self._network, self._task = network.replica(), task
        self._cursor = Cursor(task, self.sequences, rng=rng, dtype=network.dtype)

    def adapt(self, step: int) -> None:
        """Measure and choose anew, when it is due."""
        if step == 1 or (step - 1) % self.every:
            return
        batch, _ = self._cursor.next(None if isinstance(self._task, EpisodeTask) else self.max_length)
        if not batch.mask.any():
            return
        norms: NDArray[Any] = norms_by_lag(self._network, batch, self._task.target_kind).common
        self.estimate = adaptive_window(norms, self.tolerance)
        shortest = self.fixed_stride or 1
        # Without decay no window is long enough: the longest there is.
        found = self.max_length if self.estimate.window is None else self.estimate.window
        self.length = int(np.clip(found, shortest, self.max_length))

    def stretch(self, *, rng: Generator) -> Stretch:
        """The present window."""
        return Stretch(self.stride, self.length)

    def state(self) -> dict[str, Any]:
        """The present window, what it follows from, and the place in the data that are measured."""
        found = self.estimate
        estimate = None
        if found is not None:
            window = None if found.window is None else int(found.window)
            bias = found.relative_bias.copy()
            estimate = {"beta": float(found.beta), "relative_bias": bias, "window": window}
        return {"length": int(self.length), "estimate": estimate, "cursor": self._cursor.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with that window and from that place; `UserError` if they do not fit."""
        length = expected(entry(state, "length", "bptt"), "bptt/length", int, at_least=self.fixed_stride or 1)
        if length > self.max_length:
            raise unfit(f"bptt/length is {length}, here the longest is {self.max_length}")
        saved, estimate = entry(state, "estimate", "bptt"), None
        if saved is not None:
            where, window = "bptt/estimate", entry(saved, "window", "bptt/estimate")
            if window is not None:
                expected(window, f"{where}/window", int, at_least=1)
            beta = float(expected(entry(saved, "beta", where), f"{where}/beta", (int, float)))
            bias = array_like(entry(saved, "relative_bias", where), f"{where}/relative_bias", (None,), np.dtype(float))
            estimate = AdaptiveWindow(beta, bias, window)
        self._cursor.restore(entry(state, "cursor", "bptt"))
        self.length, self.estimate = length, estimate

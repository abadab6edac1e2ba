"""Unbiased randomized truncation: ARTBP."""

from typing import ClassVar

from numpy.random import Generator

from rnnexp.algorithms.base import Segment, Truncation
from rnnexp.checks import InvalidValue, integer, number
from rnnexp.tasks import DataIterator


class RandomizedBPTT(Truncation):
    """ARTBP: truncate at random and reweight, so that the gradient is unbiased.

    After each step the sequence is cut with probability c; if not, the gradient passed back across that boundary is
    multiplied by 1 / (1 - c). The update after a cut uses the losses since the previous one. Their sum is divided by a
    constant, roughly the mean number of losses per update, not by their own number, so that the expectation over the
    cuts is the full gradient (Tallec & Ollivier 2017, "Unbiasing truncated
    backpropagation through time", section 4).

    With d steps since the last cut, c = (alpha - 1) / ((alpha - 2) L0 + d): windows have L0 steps on average, and the
    factors grow like a power of the lag, not exponentially as with a constant c (section 5).

    Parameters
    ----------
    length : int
        L0, the mean window, >= 2.
    stride : None
        Always None: an update follows every cut.
    alpha : float
        Exponent, > 2: the probability of a window longer than x falls as x^(1 - alpha), the factors grow as
        x^(alpha - 1).
    """

    varies = True
    random: ClassVar[bool] = True

    def __init__(self, length: int | None = 20, stride: int | None = None, *, alpha: float = 6.0) -> None:
        hint = "it is the mean window of algorithm=artbp; only algorithm=bptt takes 1 and null"
        self.length: int = integer("bptt_length", length, at_least=2, hint=hint)
        if stride is not None:
            hint = "an update follows every cut, wherever it falls"
            raise InvalidValue("bptt_stride", stride, "null with algorithm=artbp", hint)
        self.stride = None
        self.alpha = number("alpha", alpha, above=2)

    def segment(self, *, rng: Generator) -> Segment:
        """Steps up to the next cut."""
        scale = (self.alpha - 2.0) * self.length
        step_weights = [1.0]
        while rng.random() >= (cut := (self.alpha - 1.0) / (scale + len(step_weights))):
            step_weights.append(1.0 / (1.0 - cut))
        return Segment(len(step_weights), len(step_weights), step_weights)

    def scale(self, scored: int, data: DataIterator) -> float:
        """Give a loss the same weight in short and long windows."""
        return scored / data.scored_per_update(self.length)

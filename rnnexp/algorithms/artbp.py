"""Randomized truncation that is unbiased: ARTBP."""

from numpy.random import Generator

from rnnexp.algorithms.base import Segment, Truncation
from rnnexp.checks import InvalidValue, integer, number
from rnnexp.tasks import DataIterator


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

    def segment(self, *, rng: Generator) -> Segment:
        """Steps up to the next cut."""
        scale = (self.alpha - 2.0) * self.length
        step_weights = [1.0]
        while rng.random() >= (cut := (self.alpha - 1.0) / (scale + len(step_weights))):
            step_weights.append(1.0 / (1.0 - cut))
        return Segment(len(step_weights), len(step_weights), step_weights)

    def scale(self, scored: int, data: DataIterator) -> float:
        """Losses count alike in a short window and in a long one."""
        return scored / data.scored_per_update(self.length)

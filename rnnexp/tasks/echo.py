"""Delayed echo: the sharpest test of a truncation length."""

from rnnexp.checks import integer
from rnnexp.tasks.base import Array
from rnnexp.tasks.bit_stream import BitStream


class Echo(BitStream):
    """Say at every step which bit came `lag` steps ago.

    A stream, for lag = 3::

        step     0  1  2  3  4  5  6 ...
        input    1  0  0  1  1  0  1 ...
        target            1  0  0  1 ...

    Bits are fair coin flips. Every step from step `lag` of the stream on is scored, by cross-entropy over the two
    values; the best loss is 0. A window of truncated BPTT holds both the bit and its echo only if it is at least
    lag + 1 steps long: in a shorter one no gradient connects them, and the network can only learn to read out traces
    of old bits that the recurrent weights happen to preserve. The task is the one of E. Hallstrom's tutorial "How
    to build a recurrent neural network in TensorFlow" (2016), with an endless stream instead of 50,000 bits.

    Parameters
    ----------
    lag : int
        Steps between a bit and its echo, >= 1.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    scored = "every step from step `lag` on"
    paper = "E. Hallstrom 2016, a tutorial"
    success = "a loss below 0.05 (this project's own rule)"
    solved_below = (("loss", 0.05),)
    error_per = "step"
    floor = 0.0

    def __init__(self, *, lag: int = 3, eval_streams: int = 20, eval_steps: int = 500) -> None:
        self.lag = integer("lag", lag, at_least=1)
        self.asked = [(self.lag, self.lag)]
        hint = "fewer leave no step to score: it is lag + 1"
        super().__init__(self.lag, eval_streams, eval_steps, hint=hint)

    def targets(self, bits: Array, steps: int) -> Array:
        """The tokens of `lag` steps before."""
        return bits[:steps]

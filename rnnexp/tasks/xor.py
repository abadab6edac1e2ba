"""Delayed XOR: two past bits have to be kept and compared."""

from rnnexp.checks import integer
from rnnexp.tasks.base import Array
from rnnexp.tasks.bit_stream import BitStream


class Xor(BitStream):
    """Say at every step whether the bits of `lag` and of twice `lag` steps ago differ.

    A stream, for lag = 2::

        step     0  1  2  3  4  5  6 ...
        input    1  0  0  1  1  0  1 ...
        target               1  1  1 ...

    Bits are fair coin flips. Every step from step 2 * lag of the stream on is scored, by cross-entropy over the two
    values. Either bit alone says nothing about the target, so nothing can be learned before both are
    remembered. Engelken 2023, "Gradient flossing", where the target is |s_{t - d} - s_{t - 2 d}|, and the delay d is
    raised until learning fails; there sequences have an end, and steps without a second bit have the target 0.

    Parameters
    ----------
    lag : int
        d, steps back to the nearer of the two bits, >= 1.
    eval_streams, eval_steps : int
        Streams in the evaluation set and steps in each.
    """

    scored = "every step from step 2 * `lag` on"
    paper = 'Engelken 2023, "Gradient flossing"'
    success = "fewer than 1 in 100 steps wrong (this project's own rule)"
    solved_below = (("error", 0.01),)
    error_per = "step"
    floor = 0.0

    def __init__(self, *, lag: int = 3, eval_streams: int = 20, eval_steps: int = 500) -> None:
        self.lag = integer("lag", lag, at_least=1)
        self.asked = [(self.lag, self.lag), (2 * self.lag, 2 * self.lag)]
        hint = "fewer leave no step to score: it is 2 * lag + 1"
        super().__init__(2 * self.lag, eval_streams, eval_steps, hint=hint)

    def targets(self, bits: Array, steps: int) -> Array:
        """Whether the tokens of `lag` and of 2 * `lag` steps before differ."""
        differ: Array = bits[self.lag :][:steps] ^ bits[:steps]
        return differ

"""Truncated backpropagation through time by windows: BPTT(h; h')."""

from numpy.random import Generator

from rnnexp.algorithms.base import Segment, Truncation
from rnnexp.checks import InvalidValue, integer


class TruncatedBPTT(Truncation):
    """BPTT(h; h') of Williams & Peng 1990: every h' steps, the last h' losses go back through h steps.

    With h = h' (the default) a sequence is cut into windows, the state is carried and the gradient stops at the
    window's edge, as in most frameworks. The older steps of a longer window keep the states computed at the time,
    as in the paper; only the backward pass uses the current weights.

    Parameters
    ----------
    length : int or None
        h (k2), steps that the gradient travels back, >= 1; None is the whole sequence.
    stride : int or None
        h' (k1), steps between updates, from 1 to `length`; None is `length`.

    Raises
    ------
    InvalidValue
        With the keys of the command line, `bptt_length` and `bptt_stride`.
    """

    def __init__(self, length: int | None = 20, stride: int | None = None) -> None:
        self.length = None if length is None else integer("bptt_length", length, at_least=1)
        self.stride = self.length if stride is None else integer("bptt_stride", stride, at_least=1)
        if self.length is not None and self.stride is not None and self.stride > self.length:
            hint = "the gradient of a loss more than bptt_length steps back would not even reach its own step"
            raise InvalidValue("bptt_stride", stride, f"<= bptt_length, which is {length}", hint)
        self._segment = Segment(self.stride, self.length)

    def segment(self, *, rng: Generator) -> Segment:
        """The next h' steps, and h steps back."""
        return self._segment

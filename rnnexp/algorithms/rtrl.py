"""Real-time recurrent learning: the exact gradient, carried forward."""

from typing import ClassVar

import numpy as np

from rnnexp.algorithms.influence import InfluenceMatrix
from rnnexp.algorithms.influencing import Pattern


class RTRL(InfluenceMatrix):
    """Williams & Zipser 1989, "A learning algorithm for continually running fully recurrent neural networks".

    ::

        J_t = D_t J_{t-1} + M_t

    J_t (N, S, P) has the influence of all P parameters on all S units of each of N sequences. With unchanged weights
    the gradient is that of backpropagation through the whole sequence, whatever its length.

    A step costs N S^2 P multiplications and 2 N S P numbers of memory: with S = H and P = H^2, H^4 and H^3 a sequence,
    against H^2 each for a step of BPTT.

    Parameters
    ----------
    stride : int or None
        Steps between updates, >= 1; None is 1.
    """

    exact: ClassVar[bool] = True

    def pattern(self, direct: Pattern, onward: Pattern) -> Pattern:
        """Everything."""
        return np.ones_like(direct)

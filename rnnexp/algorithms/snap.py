"""The sparse n-step approximation: the influence matrix without what takes more than n steps."""

import numpy as np

from rnnexp.algorithms.influence import InfluenceMatrix
from rnnexp.algorithms.influencing import Pattern
from rnnexp.checks import integer


class SnAp(InfluenceMatrix):
    """SnAp-n of Menick et al. 2020, "Practical real time recurrent learning with a sparse approximation", section 3.

    ::

        J_t = mask_n(D_t J_{t-1} + M_t)

    mask_n keeps the entries of the units that a parameter reaches within n steps: those where M is not zero, and what
    D leads to from there in n - 1 steps. So the influence of a weight on units that are farther away is left out, and
    so is what would come back from there. h and c of an LSTM's unit are kept together.

    With n = 1 and a single layer, a weight acts on its own unit only. All units that the embedding, or a lower layer,
    reaches within the step are kept. In a dense network n = 2 reaches everything and
    is `RTRL`; larger n mean something where the recurrence is sparse and stays so (``keep_zeros``). From the diameter
    of its graph + 1 on, it is `RTRL` again.

    A step costs N r^2 P multiplications and 2 N r P numbers of memory for r kept units a parameter, and N S^2 for D
    (S^3 in a stack, or of a cell without formulas).

    Parameters
    ----------
    order : int
        n, >= 1.
    stride : int or None
        Steps between updates, >= 1; None is 1.
    """

    def __init__(self, order: int = 1, stride: int | None = None) -> None:
        super().__init__(stride)
        self.order = integer("order", order, at_least=1)

    def pattern(self, direct: Pattern, onward: Pattern) -> Pattern:
        """What is reached within n steps."""
        of_unit = [np.flatnonzero(self.layout.units == unit) for unit in self.layout.units]
        step, reached = (np.array([part[units].any(axis=0) for units in of_unit]) for part in (onward, direct))
        for _ in range(self.order - 1):
            if (further := reached | (step.astype(np.float32) @ reached > 0)).sum() == reached.sum():
                break
            reached = further
        return reached

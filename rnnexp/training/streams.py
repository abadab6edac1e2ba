"""One seed, separate random streams."""

import numpy as np

from rnnexp.checks import integer
from rnnexp.components import Component


class Streams(Component):
    """Independent generators, one for each purpose.

    In this order: initialisation, training data, evaluation data, sampling, test data, batches to measure, and the part
    of the held-out data that is read. The draws of one do not depend on those of another, so that a change of the
    hidden size leaves the data unchanged.

    Parameters
    ----------
    seed : int
        >= 0.
    """

    def __init__(self, seed: int) -> None:
        self.seed = integer("seed", seed, at_least=0)
        # A further stream is a further child: those before it draw what they drew without it.
        children = (np.random.default_rng(child) for child in np.random.SeedSequence(self.seed).spawn(7))
        self.init, self.data, self.evaluation, self.sampling, self.test, self.batches, self.part = children

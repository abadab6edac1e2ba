"""One seed, separate random streams."""

import numpy as np

from rnnexp.checks import integer


class Streams:
    """Independent generators for initialisation, training data, evaluation data, sampling, and batches to measure.

    The draws of one do not depend on those of another, so that a change of the hidden size leaves the data
    unchanged.

    Parameters
    ----------
    seed : int
        >= 0.
    """

    def __init__(self, seed: int) -> None:
        root = np.random.SeedSequence(integer("seed", seed, at_least=0))
        generators = (np.random.default_rng(child) for child in root.spawn(5))
        self.init, self.data, self.evaluation, self.sampling, self.batches = generators

"""The adding problem, in the four variants found in the literature."""

from rnnexp.tasks.base import NONE, Array, Baseline
from rnnexp.tasks.marked import MarkedNumbers

#: For each variant: its paper, and its rule for a solved task.
VARIANTS = {
    "arjovsky": ("Arjovsky, Shah & Bengio 2016, section 4.2", "a loss below 0.01 (this project's own rule)"),
    "hochreiter": (
        "Hochreiter & Schmidhuber 1997, section 5.4",
        "no sequence wrong (error >= 0.04), and a mean absolute error below 0.01",
    ),
    "pascanu": (
        "Pascanu, Mikolov & Bengio 2013, section 4.1",
        "fewer than 1% of the sequences wrong (squared error > 0.04)",
    ),
    "uniform": ("Bai, Kolter & Koltun 2018", "a loss below 0.01 (this project's own rule)"),
}


class Adding(MarkedNumbers):
    """Add the two marked numbers of a long sequence.

    One trial of the default variant, for length 6::

        step     0    1    2    3    4    5
        value   .31  .72  .05  .90  .44  .18
        marker   0    1    0    0    1    0
        target                           1.16

    Only the last step is scored, by the squared error. The variants differ in everything else; T is `length`, steps
    count from 0, and x and y are the two marked numbers.

    ``arjovsky``: Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks", section 4.2 (lengths 100,
        200, 400 and 750 there). T steps; values (channel 0) uniform on [0, 1); one marker (channel 1) falls uniformly
        in each half, the first of which has T // 2 steps; the target is x + y.
    ``hochreiter``: Hochreiter & Schmidhuber 1997, "Long short-term memory", section 5.4 (T = 100, 500 and 1000 there).
        T to T + T // 10 steps, drawn uniformly for each sequence; values (channel 0) uniform on [-1, 1); a first
        marker falls on one of the first ten steps, a second one on one of the first T // 2 - 1 steps that are still
        unmarked; the marker (channel 1) is 1 there, -1 at the first and last step if unmarked, 0 elsewhere. If the
        first step is marked, its value is 0: the paper then sets "X1" to 0, taken here to be the number at the first
        step, whichever of the two draws marked it. The target is 0.5 + (x + y) / 4. A sequence is wrong if the
        error is 0.04 or more.
    ``pascanu``: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", section 4.1,
        as in its authors' code. T to T + T // 10 - 1 steps (T, if T // 10 is 1), drawn uniformly, one
        length per training batch, one per sequence in the evaluation set; markers are channel 0 and values, uniform on
        [0, 1), channel 1; of L steps, the first marker falls on one of the first L // 10, the second on one of the
        4L // 10 after these; the target is (x + y) / 2. A sequence is wrong if the squared error is above 0.04.
    ``uniform``: Bai, Kolter & Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks for
        sequence modeling", as in its authors' code (lengths 200, 400 and 600); Le, Jaitly & Hinton 2015 have lengths
        150 to 400 (this detail from memory). As ``arjovsky``, but with markers on any two different steps.

    Parameters
    ----------
    variant : {"arjovsky", "hochreiter", "pascanu", "uniform"}
    length : int
        T, steps in the shortest sequence: >= 2, or >= 11 (hochreiter), >= 10 (pascanu).
    eval_sequences : int
        Sequences in the evaluation set.
    """

    variants = VARIANTS

    def __init__(self, *, variant: str = "arjovsky", length: int = 100, eval_sequences: int = 500) -> None:
        super().__init__(variant, length, eval_sequences)
        # Hochreiter & Schmidhuber: over the latest 2000 sequences of training; the average error is taken as
        # absolute. Pascanu et al.: over 10,000 fresh sequences.
        bounds = {"hochreiter": (("error", NONE), ("absolute_error", 0.01)), "pascanu": (("error", 0.01),)}
        self.solved_below = bounds.get(self.variant, (("loss", 0.01),))
        self.lowest = -1.0 if self.variant == "hochreiter" else 0.0

    @property
    def baseline(self) -> Baseline:
        """Always the mean: its loss is the variance of the target.

        The variance of a uniform number is 1/12 on [0, 1], 1/3 on [-1, 1]: that of x + y is 1/6; of (x + y) / 2, 1/24;
        of (x + y) / 4 with numbers from [-1, 1], 1/24, or half of it if one of them is the 0 of a marked first step.
        This has probability q = 1/10 + 9/10 / (T // 2 - 1), so that the loss is (1 - q/2) / 24. P(|x + y - 1| > d) is
        (1 - d)^2 on [0, 1], which gives 0.36 for ``pascanu``, where d = 0.4. On [-1, 1], |x + y| >= 0.16 has
        probability 0.92^2 = 0.8464, and |x| >= 0.16 has 0.84: the error is their mean with weights 1 - q and q.
        """
        if self.variant == "hochreiter":
            cleared = 0.1 + 0.9 / (self.length // 2 - 1)
            error = (1.0 - cleared) * 0.92**2 + cleared * 0.84
            return Baseline((1.0 - cleared / 2.0) / 24.0, None, "always the mean, 0.5", error)
        if self.variant == "pascanu":
            return Baseline(1.0 / 24.0, None, "always the mean, 0.5", 0.6**2)
        return Baseline(1.0 / 6.0, None, "always the mean, 1")

    def answers(self, x: Array, y: Array) -> Array:
        """x + y, 0.5 + (x + y) / 4 (hochreiter) or (x + y) / 2 (pascanu)."""
        if self.variant == "hochreiter":
            return 0.5 + (x + y) / 4.0
        return (x + y) / 2.0 if self.variant == "pascanu" else x + y

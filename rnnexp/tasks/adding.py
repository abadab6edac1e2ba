"""The adding problem, in the four variants found in the literature."""

from typing import Any

from numpy.random import Generator

from rnnexp.checks import integer, one_of
from rnnexp.tasks.base import Array, Baseline, Batch, EpisodeTask
from rnnexp.tasks.marked import draw_inputs, draw_lengths, missed, training_lengths, with_answers

#: For each variant: its paper, its rule for a solved task, the smallest T, and the reason for that.
VARIANTS = {
    "arjovsky": (
        "Arjovsky, Shah & Bengio 2016, section 4.2",
        "a loss below 0.01 (this project's own rule)",
        2,
        "each half of the sequence holds one marked number",
    ),
    "hochreiter": (
        "Hochreiter & Schmidhuber 1997, section 5.4",
        "no sequence wrong (error >= 0.04), and a mean absolute error below 0.01",
        11,
        "one of the first ten steps is marked, and the last step never is",
    ),
    "pascanu": (
        "Pascanu, Mikolov & Bengio 2013, section 4.1",
        "fewer than 1% of the sequences wrong (squared error > 0.04)",
        10,
        "a tenth of the sequence has to hold a marked number",
    ),
    "uniform": (
        "Bai, Kolter & Koltun 2018",
        "a loss below 0.01 (this project's own rule)",
        2,
        "two different steps are marked",
    ),
}


class Adding(EpisodeTask):
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

    input_kind = "values"
    input_size = 2
    target_kind = "values"
    output_size = 1
    scored = "the last step"
    floor = 0.0

    def __init__(self, *, variant: str = "arjovsky", length: int = 100, eval_sequences: int = 500) -> None:
        super().__init__(eval_sequences=integer("eval_sequences", eval_sequences, at_least=1))
        self.variant = one_of("variant", variant, VARIANTS)
        self.paper, self.success, shortest, why = VARIANTS[self.variant]
        self.length = integer("length", length, at_least=shortest, hint=why)
        self.input_names = ("marker", "value") if self.variant == "pascanu" else ("value", "marker")
        self.error_per = "sequence" if self.variant in ("hochreiter", "pascanu") else None

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

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs (T, N, 2), targets (T, N, 1); a sequence shorter than the longest ends in zeros."""
        return self._draw(training_lengths(self.variant, self.length, batch_size, rng), rng)

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences, each with its own length where lengths vary."""
        return self._draw(draw_lengths(self.variant, self.length, self.eval_sequences, rng), rng)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where |output - target| >= 0.04 (hochreiter), or its square > 0.04 (pascanu); the others have no rule."""
        if self.error_per is None:
            return super().wrong(outputs, batch)
        return missed(self.variant, outputs, batch)

    def solved(self, report: Any) -> bool | None:
        """By `success`, on the evaluation set.

        The rule of Hochreiter & Schmidhuber refers to training: the latest 2000 sequences correct and an average error
        below 0.01, taken here to be an absolute error. That of Pascanu et al. refers to 10,000 fresh sequences.
        """
        evaluation = report.evaluation
        if evaluation is None:
            return None
        if self.variant == "hochreiter":
            return bool(evaluation.error == 0 and evaluation.absolute_error < 0.01)
        if self.variant == "pascanu":
            return bool(evaluation.error < 0.01)
        return bool(evaluation.loss < 0.01)

    def _draw(self, lengths: Array, rng: Generator) -> Batch:
        """Sequences of the given lengths (N,)."""
        lowest = -1.0 if self.variant == "hochreiter" else 0.0
        inputs, x, y = draw_inputs(self.variant, self.length, lengths, rng, lowest=lowest, neutral=0.0)
        answers = x + y
        if self.variant == "hochreiter":
            answers = 0.5 + answers / 4.0
        elif self.variant == "pascanu":
            answers = answers / 2.0
        return with_answers(inputs, lengths, answers)

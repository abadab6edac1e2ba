"""The two-sequence or latch problem: a sign at the beginning, noise, and the question at the end."""

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, integer, number, one_of
from rnnexp.tasks.base import NONE, Array, Baseline, Batch, EpisodeTask, with_answers

HS97 = "Hochreiter & Schmidhuber 1997, section 5.3"

#: For each variant: its paper, the targets after -1 and after +1, and its rule for a solved task.
VARIANTS = {
    "3a": (HS97, (0.0, 1.0), "no sequence wrong (off by 0.2 or more), and a mean absolute error below 0.01"),
    "3b": (
        HS97,
        (0.0, 1.0),
        "fewer than 6 in 256 sequences wrong (off by 0.2 or more), a mean absolute error below 0.04",
    ),
    "3c": (HS97, (0.8, 0.2), "no sequence wrong (off by more than 0.1), and a mean absolute error below 0.015"),
    "bengio": ("Bengio, Simard & Frasconi 1994", (-0.8, 0.8), "no sequence wrong (this project's own rule)"),
}

#: Bounds of the rules: the share of wrong sequences that 3b allows, and the mean absolute error.
WRONG_IN_3B = 6 / 256
MEAN_ERROR = {"3a": 0.01, "3b": 0.04, "3c": 0.015}

#: Standard deviation of the noise in the inputs (variance 0.2), and of the noise in the targets of 3c (variance 0.1).
INPUT_NOISE, TARGET_NOISE = 0.2**0.5, 0.1**0.5


class Latch(EpisodeTask):
    """Report at the end of a noisy sequence which sign its first steps had.

    One trial of variant 3a, for 3 informative steps::

        step      0    1    2    3    4    5    6 ...   T
        input    -1   -1   -1  .31 -.52  .08 -.44 ... .17
        target                                          0

    Both classes are equally likely. The first steps hold +1 or -1, the rest Gaussian noise of mean 0. Only a sequence's
    last step is scored, by the squared error.

    ``3a``: Hochreiter & Schmidhuber 1997, "Long short-term memory", section 5.3. T to T + T // 10 steps, drawn
        uniformly for each sequence; noise of variance 0.2; targets 1 after +1, 0 after -1. A sequence is wrong if the
        output is off by 0.2 or more. There, random weight guessing solved it sooner than LSTM.
    ``3b``: the same with noise on the informative steps as well, and a looser rule. LSTM needed about 42,000
        sequences for T = 100 with 3 informative steps, 75,000 with one, and 480,000 for T = 1000 with one.
    ``3c``: inputs as in 3a, targets 0.2 after +1 and 0.8 after -1, with Gaussian noise of variance 0.1 on them in
        training. A sequence is wrong if the output is off by more than 0.1 from the target without noise: the
        evaluation set, `baseline` and `floor` use those targets. LSTM needed about 270,000 sequences for T
        = 100 with 3 informative steps, 570,000 with one.
    ``bengio``: the latch problem of Bengio, Simard & Frasconi 1994, from memory: T steps, targets 0.8 and -0.8. There
        the inputs of the first steps are learned; here they are +1 and -1. A sequence is wrong if the output has the
        wrong sign.

    Parameters
    ----------
    variant : {"3a", "3b", "3c", "bengio"}
    length : int
        T, steps in the shortest sequence, > `informative`.
    informative : int
        N, steps that show the sign, >= 1.
    noise : float, optional
        Standard deviation of the noise in the inputs, >= 0; the square root of 0.2 when not given.
    eval_sequences : int
        Sequences in the evaluation set (256 in 3a to 3c).
    """

    input_kind = "values"
    input_size = 1
    target_kind = "values"
    output_size = 1
    scored = "the last step"
    error_per = "sequence"
    floor = 0.0

    def __init__(
        self,
        *,
        variant: str = "3a",
        length: int = 50,
        informative: int = 3,
        noise: float | None = None,
        eval_sequences: int = 256,
    ) -> None:
        super().__init__(eval_sequences=eval_sequences)
        self.variant = one_of("variant", variant, VARIANTS)
        self.paper, self.answers, self.success = VARIANTS[self.variant]
        self.informative = integer("informative", informative, at_least=1)
        self.length = integer("length", length, at_least=2)
        if self.length <= self.informative:
            raise InvalidValue("length", length, f"> informative, which is {informative}", "noise follows the sign")
        self.solved_below = [("error", WRONG_IN_3B if self.variant == "3b" else NONE)]
        if self.variant in MEAN_ERROR:
            self.solved_below.append(("absolute_error", MEAN_ERROR[self.variant]))
        self.longest = self.length + (0 if self.variant == "bengio" else self.length // 10)
        self.asked = [(self.length - self.informative, self.longest - 1)]
        self.noise = INPUT_NOISE if noise is None else number("noise", noise, at_least=0)

    @property
    def middle(self) -> float:
        """Half-way between the two targets."""
        return sum(self.answers) / 2

    @property
    def baseline(self) -> Baseline:
        """Always the middle: off by half the distance between the targets, wrong in 3a to 3c, half right in bengio."""
        error = 0.5 if self.variant == "bengio" else 1.0
        return Baseline((self.answers[1] - self.middle) ** 2, None, f"always the middle, {self.middle:g}", error)

    def sample(self, batch_size: int, *, rng: Generator) -> Batch:
        """Inputs and targets (T, N, 1); a sequence shorter than the longest ends in zeros."""
        return self._draw(batch_size, rng, TARGET_NOISE if self.variant == "3c" else 0.0)

    def evaluation(self, *, rng: Generator) -> Batch:
        """`eval_sequences` fresh sequences, their targets without noise."""
        return self._draw(self.eval_sequences, rng, 0.0)

    def wrong(self, outputs: Array, batch: Batch) -> Array:
        """Where the output is off by 0.2 or more (3a, 3b) or more than 0.1 (3c), or has the other sign (bengio)."""
        values, targets = outputs[..., 0], batch.targets[..., 0]
        off = np.abs(values - targets)
        missed: Array = (values > 0) != (targets > 0)
        if self.variant != "bengio":
            missed = off > 0.1 if self.variant == "3c" else off >= 0.2
        return missed

    def _draw(self, count: int, rng: Generator, target_noise: float) -> Batch:
        """Fresh sequences, padded to the longest."""
        lengths = self.length + rng.integers(self.longest - self.length + 1, size=count)
        classes = rng.integers(2, size=count)
        steps = int(lengths.max())
        inputs = self.noise * rng.standard_normal((steps, count, 1))
        if self.variant != "3b":
            inputs[: self.informative] = 0.0
        inputs[: self.informative, :, 0] += 2.0 * classes - 1.0
        inputs[np.arange(steps)[:, np.newaxis] >= lengths] = 0.0
        answers = np.array(self.answers)[classes]
        if target_noise:
            answers += target_noise * rng.standard_normal(count)
        return with_answers(inputs, lengths - 1, answers[:, np.newaxis])

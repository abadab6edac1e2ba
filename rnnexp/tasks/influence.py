"""Influence balancing: one parameter whose short-term effect has the wrong sign."""

from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import integer
from rnnexp.tasks.base import Baseline, Batch, Place, StreamTask


class InfluenceBalancing(StreamTask):
    """Keep the output at 1 while the input is always 1.

    A stream::

        step     0    1    2    3 ...
        input    1    1    1    1 ...
        target   1    1    1    1 ...

    Every step is scored by the squared error. Any network with a free output bias solves this at once. The published
    problem concerns truncation, and needs the network of the recipe ``experiment=influence_balancing``: a chain of
    units, s_i <- (s_i + s_{i+1}) / 2 + sign_i * theta, of which the first is the output; theta, shared by all units, is
    the only trained parameter. With +1 for the units near the output and -1 for more of them further off, raising theta
    raises the output at first and lowers it in the end; a gradient truncated too early sees only the first effect
    (Tallec & Ollivier 2017, section 6.1; here with the 23 units of Vicol, Metz & Sohl-Dickstein 2021).

    Parameters
    ----------
    eval_steps : int
        Steps of the one stream in the evaluation set, scored in its second half, when the chain has settled.
    """

    input_kind = "values"
    input_size = 1
    target_kind = "values"
    output_size = 1
    scored = "every step (in the evaluation set, the second half)"
    paper = "Tallec & Ollivier 2017, section 6.1"
    success = "a loss below 0.01 (this project's own rule)"
    floor = 0.0

    def __init__(self, *, eval_steps: int = 400) -> None:
        self.eval_steps = integer("eval_steps", eval_steps, at_least=2)

    @property
    def baseline(self) -> Baseline:
        """An output that stays at zero is wrong by 1."""
        return Baseline(1.0, None, "an output of zero")

    def begin(self, batch_size: int, *, rng: Generator) -> Place:
        """All streams are the same."""
        return Place({"streams": np.full(1, batch_size)})

    def read(self, place: Place, steps: int, *, rng: Generator) -> Batch:
        """Ones (T, N, 1) as inputs and as targets."""
        ones = np.ones((steps, int(place.arrays["streams"][0]), 1))
        return Batch(ones, ones, np.ones(ones.shape[:2], bool))

    def evaluation(self, *, rng: Generator) -> Batch:
        """One stream, scored in its second half."""
        batch = self.read(self.begin(1, rng=rng), self.eval_steps, rng=rng)
        batch.mask[: self.eval_steps // 2] = False
        return batch

    def solved(self, report: Any) -> bool | None:
        """By `success`, on the evaluation set."""
        evaluation = report.evaluation
        return None if evaluation is None else bool(evaluation.loss < 0.01)

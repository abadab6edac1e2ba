"""One experiment as plain Python objects: a network, a task, and how the one learns the other."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from numpy.random import Generator

from rnnexp.gradients import GradientStudy
from rnnexp.layers import Network
from rnnexp.tasks import Batch, Task
from rnnexp.training import Report, TruncatedBPTT, train
from rnnexp.training.clipping import Clipping
from rnnexp.training.optimizers import Optimizer


@dataclass
class Experiment:
    """Everything that `train` needs, built and checked.

    Attributes
    ----------
    held_out : Batch
        The evaluation set.
    study : GradientStudy or None
        Gradient statistics taken at every evaluation.
    data, sampling : numpy Generators
        Draw the training data, and generated text.
    """

    network: Network
    task: Task
    held_out: Batch
    bptt: TruncatedBPTT
    optimizer: Optimizer
    clipping: Clipping
    study: GradientStudy | None
    batch_size: int
    steps: int
    eval_every: int | None
    data: Generator
    sampling: Generator

    def reports(self) -> Iterator[Report]:
        """Train, from the present weights; one report an update."""
        study = None
        if self.study is not None:
            study = functools.partial(
                self.study,
                batch=self.study.select(self.task, self.held_out),
                target_kind=self.task.target_kind,
                length=self.bptt.length,
                stride=self.bptt.stride,
            )

        return train(
            self.network,
            self.task,
            optimizer=self.optimizer,
            steps=self.steps,
            rng=self.data,
            bptt=self.bptt,
            clipping=self.clipping,
            batch_size=self.batch_size,
            evaluate_on=self.held_out,
            eval_every=self.eval_every,
            study=study,
            study_every=None if self.study is None else self.study.every,
        )

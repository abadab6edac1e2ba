"""One experiment as plain Python objects: network, task and training."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.algorithms import Algorithm, Truncation, training_gradients
from rnnexp.gradients import GradientStudy, Study
from rnnexp.layers import Network
from rnnexp.tasks import Batch, Task
from rnnexp.training import Report, Run, train
from rnnexp.training.clipping import Clipping
from rnnexp.training.eval_limit import EvalLimit
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.regularizers import Regularizer
from rnnexp.training.schedules import Schedule
from rnnexp.training.stopping import Stopping


@dataclass
class Experiment:
    """Everything that `train` needs, built and checked.

    Attributes
    ----------
    held_out : Batch
        The evaluation set, or what is read of it.
    study : GradientStudy or None
        Gradient statistics taken at every evaluation.
    data, sampling, test, batches : numpy Generators
        Draw the training data, generated text, the test set, and batches for the gradient's signal-to-noise ratio.
    limit : EvalLimit
        Of what evaluation and test read.
    whole : (int, int), optional
        Steps and sequences of the whole evaluation set, if `held_out` is a part of it.
    studied : Batch, optional
        The sequences of the gradient statistics; of `held_out` if not given.
    """

    network: Network
    task: Task
    held_out: Batch
    algorithm: Algorithm
    optimizer: Optimizer
    schedule: Schedule
    clipping: Clipping
    regularizer: Regularizer
    stopping: Stopping
    study: GradientStudy | None
    batch_size: int
    steps: int
    eval_every: int | None
    data: Generator
    sampling: Generator
    test: Generator
    batches: Generator
    limit: EvalLimit = field(default_factory=EvalLimit)
    whole: tuple[int, ...] = ()
    studied: Batch | None = None

    def unseen(self) -> Batch | None:
        """The test set, or what is read of it; None if there is none."""
        batch = self.task.test(rng=self.test)
        return None if batch is None else self.limit.of(batch)

    @property
    def evaluated(self) -> str:
        """What is read of the evaluation set, in words; empty if that is all of it."""
        (steps, count), whole = self.held_out.mask.shape, self.whole or self.held_out.mask.shape
        if (steps, count) == whole:
            return ""
        of = "" if steps == whole[0] else f", {steps} of {whole[0]} steps of each"
        return f"{count} of {whole[1]} held-out sequences{of}"

    def reports(self) -> Iterator[Report]:
        """Train from the current weights; one report per update."""
        return self.run().reports()

    def run(self) -> Run:
        """The training run, not started."""
        return train(
            self.network,
            self.task,
            optimizer=self.optimizer,
            steps=self.steps,
            rng=self.data,
            algorithm=self.algorithm,
            clipping=self.clipping,
            regularizer=self.regularizer,
            schedule=self.schedule,
            batch_size=self.batch_size,
            evaluate_on=self.held_out,
            eval_every=self.eval_every,
            study=None if self.study is None else self.look(self.study),
            study_every=None if self.study is None else self.study.every,
            stopping=self.stopping,
            staleness_steps=getattr(self.study, "staleness_steps", 0),
        )

    def look(self, study: GradientStudy) -> Callable[[Network], Study]:
        """The function that studies the gradient: on fixed sequences, cut as training currently cuts."""
        batch = study.select(self.task, self.held_out) if self.studied is None else self.studied
        kind = self.task.target_kind

        count, draws = (getattr(study, name, 0) for name in ("snr_batches", "draws"))  # the user's own may have none

        def look(network: Network) -> Study:
            # Random parts are drawn from a fixed seed: a study must not change the draws of training.
            algorithm, rng = self.algorithm, np.random.default_rng(0)
            settings: dict[str, Any] = {"length": algorithm.length}
            if isinstance(algorithm, Truncation):
                settings["windows"] = algorithm.windows(len(batch.inputs), rng=rng)
            elif not algorithm.exact:  # the study has the full gradient itself, which can take longer this way
                settings["own"] = partial(algorithm.gradient, rng=rng)
            if algorithm.random and draws:
                settings["draws"] = (algorithm.gradient(network, batch, kind, rng=rng) for _ in range(draws))
            if count:
                settings["gradients"] = training_gradients(
                    network,
                    copy.deepcopy(self.task) if hasattr(self.task, "state") else self.task,
                    self.algorithm,
                    batch_size=self.batch_size,
                    count=count,
                    run_in=len(batch.inputs),
                    rng=copy.deepcopy(self.batches),  # the same batches in every study
                )
            return study(network, batch, kind, **settings)

        return look

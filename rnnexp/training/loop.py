"""The training loop: an iterator of reports, which the caller may record, plot or ignore."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.algorithms import TruncatedBPTT, Truncation
from rnnexp.checks import InvalidValue, integer
from rnnexp.layers import Network
from rnnexp.tasks import Batch, EpisodeTask, Task
from rnnexp.training.clipping import Clipping, NoClipping
from rnnexp.training.evaluation import Evaluation, evaluate
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.regularizers import NoRegularizer, Regularizer
from rnnexp.training.schedules import Constant, Schedule
from rnnexp.training.trainer import Report, Trainer


class Run:
    """A training run to iterate over: the trainer, and the schedule of evaluations and gradient studies.

    Parameters
    ----------
    trainer : Trainer
    eval_every : int
    held_out : Batch or None
        The evaluation set.
    study_every : int
    study : callable or None
        Called with a replica of the network.
    """

    def __init__(
        self,
        trainer: Trainer,
        eval_every: int,
        held_out: Batch | None,
        study_every: int,
        study: Callable[[Network], Any] | None,
    ) -> None:
        self.trainer, self.steps = trainer, trainer.steps
        self.eval_every, self.held_out = eval_every, held_out
        self.study_every, self.study = study_every, study
        self.beside = trainer.network.replica()

    def evaluation_due(self, step: int) -> bool:
        """Whether the network is evaluated after update `step`."""
        return self.held_out is not None and (step % self.eval_every == 0 or step == self.steps)

    def study_due(self, step: int) -> bool:
        """Whether the gradient is studied after update `step`."""
        return self.study is not None and (step % self.study_every == 0 or step == self.steps)

    def look(self, report: Report, evaluation: Evaluation | None = None) -> None:
        """Add the evaluation (unless given) and the study that are due after a report's update."""
        evaluate_now = evaluation is None and self.evaluation_due(report.step)
        study_now = self.study_due(report.step)
        if report.diverged or not (evaluate_now or study_now or evaluation):
            return
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if evaluate_now and self.held_out is not None:
                task = self.trainer.data.task
                evaluation = evaluate(self.beside, self.held_out, task.target_kind, task)
            report.evaluation = evaluation
            if study_now and self.study is not None:
                report.study = self.study(self.beside)
        report.diverged = evaluation is not None and not math.isfinite(evaluation.loss)

    def reports(self) -> Iterator[Report]:
        """Train, and report every update."""
        report = Report(self.trainer.step)
        if report.step == 0:
            self.look(report)
            yield report
        while self.trainer.step < self.steps and not report.diverged:
            report = self.trainer.update(measure=self.study_due)
            self.look(report)
            yield report


def prepare(
    network: Network,
    task: Task,
    *,
    optimizer: Optimizer,
    steps: int,
    rng: Generator,
    bptt: Truncation | None = None,
    clipping: Clipping | None = None,
    regularizer: Regularizer | None = None,
    schedule: Schedule | None = None,
    batch_size: int = 20,
    evaluate_on: Batch | None = None,
    eval_every: int | None = None,
    study: Callable[[Network], Any] | None = None,
    study_every: int | None = None,
    staleness_steps: int = 0,
) -> Run:
    """A training run that has not started; `Run.reports` trains.

    Parameters
    ----------
    network : Network
        Changed in place.
    task : Task
    optimizer : Optimizer
    steps : int
        Parameter updates, >= 1. A window without a scored step makes none.
    rng : numpy Generator
        Draws the training data.
    bptt : Truncation, optional
        The whole sequence when not given.
    clipping : Clipping, optional
    regularizer : Regularizer, optional
    schedule : Schedule, optional
        Of the learning rate; constant when not given.
    batch_size : int
        Sequences per batch, >= 1.
    evaluate_on : Batch, optional
        Held-out sequences, evaluated at step 0, every `eval_every` updates, and at the end.
    eval_every : int, optional
        Updates between evaluations; a twentieth of `steps`, and at least 5, when not given.
    study : callable, optional
        Called with a replica of the network; its result is part of the report.
    study_every : int, optional
        Updates between studies, which are also made at step 0 and at the end; a tenth of `steps`,
        and at least 100, when not given.
    staleness_steps : int
        With every study, report how stale the state is that the update's window took over, recomputed from the
        sequence's beginning, or from at least so many steps back in a stream; 0 for none.

    Returns
    -------
    Run

    Raises
    ------
    InvalidValue
        If a number is out of range, or a stream is not truncated.
    """
    steps = integer("steps", steps, at_least=1)
    batch_size = integer("batch_size", batch_size, at_least=1)
    every = max(5, steps // 20) if eval_every is None else integer("eval_every", eval_every, at_least=1)
    look = max(100, steps // 10) if study_every is None else integer("study_every", study_every, at_least=1)
    bptt = bptt or TruncatedBPTT(None)
    if bptt.length is None and not isinstance(task, EpisodeTask):
        raise InvalidValue(
            "bptt_length", None, "a whole number >= 1 for this task", "the task is an endless stream: try 20"
        )
    regularizer = regularizer or NoRegularizer()
    regularizer.check(network)
    trainer = Trainer(
        network,
        task,
        optimizer=optimizer,
        steps=steps,
        rng=rng,
        bptt=bptt,
        clipping=clipping or NoClipping(),
        regularizer=regularizer,
        schedule=schedule or Constant(),
        batch_size=batch_size,
        staleness_steps=integer("staleness_steps", staleness_steps, at_least=0),
    )
    held_out = None if evaluate_on is None else evaluate_on.cast(network.dtype)
    return Run(trainer, every, held_out, look, study)


def train(network: Network, task: Task, **settings: Any) -> Iterator[Report]:
    """Train a network and report every update; the settings and errors are those of `prepare`.

    Parameters
    ----------
    network : Network
        Changed in place.
    task : Task
    **settings
        ``optimizer``, ``steps`` and ``rng`` are required.

    Yields
    ------
    Report
    """
    return prepare(network, task, **settings).reports()

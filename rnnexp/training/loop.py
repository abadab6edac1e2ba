"""The training loop: an iterator of reports. What becomes of them is for the one who iterates to decide."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from rnnexp.checks import InvalidValue, integer
from rnnexp.layers import Network
from rnnexp.tasks import Batch, EpisodeTask, Task
from rnnexp.training.bptt import TruncatedBPTT, Truncation
from rnnexp.training.clipping import Clipping, NoClipping
from rnnexp.training.evaluation import evaluate
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.regularizers import NoRegularizer, Regularizer
from rnnexp.training.schedules import Constant, Schedule
from rnnexp.training.trainer import Report, Trainer


def train(
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
) -> Iterator[Report]:
    """Train a network and report every update.

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
        Sequences side by side, >= 1.
    evaluate_on : Batch, optional
        Held-out sequences, evaluated at step 0, every `eval_every` updates, and at the end.
    eval_every : int, optional
        Updates between evaluations; a twentieth of `steps` when not given.
    study : callable, optional
        Called with a replica of the network; what it returns is in the report.
    study_every : int, optional
        Updates between studies, which are also made at step 0 and at the end; a tenth of `steps`,
        and at least 100, when not given.

    Yields
    ------
    Report

    Raises
    ------
    InvalidValue
        At once, before the first report is asked for.
    """
    steps = integer("steps", steps, at_least=1)
    batch_size = integer("batch_size", batch_size, at_least=1)
    every = max(1, steps // 20) if eval_every is None else integer("eval_every", eval_every, at_least=1)
    look = max(100, steps // 10) if study_every is None else integer("study_every", study_every, at_least=1)
    bptt = bptt or TruncatedBPTT(None)
    if bptt.length is None and not isinstance(task, EpisodeTask):
        raise InvalidValue(
            "bptt_length", None, "a whole number >= 1 for this task", "it is a stream, which has no end: try 20"
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
    )
    held_out = None if evaluate_on is None else evaluate_on.cast(network.dtype)
    return _reports(trainer, steps, every, held_out, study, look)


def _reports(
    trainer: Trainer,
    steps: int,
    every: int,
    held_out: Batch | None,
    study: Callable[[Network], Any] | None,
    look: int,
) -> Iterator[Report]:
    beside = trainer.network.replica()
    task = trainer.cursor.task

    def due(step: int, interval: int) -> bool:
        return step % interval == 0 or step == steps

    def study_due(step: int) -> bool:
        return study is not None and due(step, look)

    def measured(report: Report) -> Report:
        evaluation = studied = None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if held_out is not None and due(report.step, every):
                evaluation = evaluate(beside, held_out, task.target_kind, task)
            if study is not None and study_due(report.step):
                studied = study(beside)
        diverged = evaluation is not None and not np.isfinite(evaluation.loss)
        return replace(report, evaluation=evaluation, study=studied, diverged=diverged)

    report = measured(Report(0))
    yield report
    while report.step < steps and not report.diverged:
        report = trainer.update(measure=study_due)
        if not report.diverged and (due(report.step, every) or study_due(report.step)):
            report = measured(report)
        yield report

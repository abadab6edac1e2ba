"""The training loop: an iterator of reports. What becomes of them is for the one who iterates to decide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, integer
from rnnexp.layers import LOSSES, Network, Parameters
from rnnexp.layers.base import row_norms
from rnnexp.tasks import Batch, EpisodeTask, Task
from rnnexp.training.bptt import Stretch, TruncatedBPTT, Truncation
from rnnexp.training.clipping import Clipping, NoClipping
from rnnexp.training.cursor import Cursor
from rnnexp.training.evaluation import Evaluation, evaluate, scored_steps
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.regularizers import NoRegularizer, Regularizer
from rnnexp.training.schedules import Constant, Schedule

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What happened at one parameter update; step 0 is before the first.

    Attributes
    ----------
    step : int
    train_loss : float or None
        Loss of the update's window, before the update; None at step 0.
    grad_norm : float or None
        Norm of the gradient before clipping, the regularizer's included.
    clipped : bool
    clipped_norm : float or None
        Norm of the gradient after clipping.
    penalty : float or None
        What the regularizer adds to the loss; None without one.
    learning_rate : float or None
        Of this update, where a schedule changes it.
    window : int or None
        Steps that the gradient could go back, where that is not the same at every update.
    update_ratios : dict of str to float, or None
        ||change of a parameter|| / ||parameter|| of this update, by name, when a study was due.
    evaluation : Evaluation or None
        On held-out data, after the update, when it was due.
    study : object or None
        What the `study` given to `train` returned, when it was due.
    diverged : bool
        The loss or the gradient is not finite: no update was made and this is the last report.
    """

    step: int
    train_loss: float | None = None
    grad_norm: float | None = None
    clipped: bool = False
    clipped_norm: float | None = None
    penalty: float | None = None
    learning_rate: float | None = None
    window: int | None = None
    update_ratios: dict[str, float] | None = None
    evaluation: Evaluation | None = None
    study: Any = None
    diverged: bool = False


#: Windows in a row without a scored step after which a task is taken to score none at all.
UNSCORED_WINDOWS = 100_000


class Trainer:
    """Everything that changes while training hangs on this object: weights, optimizer, data, state, counters.

    Parameters
    ----------
    network : Network
        Changed in place.
    task : Task
    optimizer : Optimizer
    steps : int
        Updates that are planned; a schedule may depend on it.
    rng : numpy Generator
        Draws the training data; what a truncation draws comes from a stream spawned from it.
    bptt : Truncation
    clipping : Clipping
    regularizer : Regularizer
    schedule : Schedule
    batch_size : int
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        optimizer: Optimizer,
        steps: int,
        rng: Generator,
        bptt: Truncation,
        clipping: Clipping,
        regularizer: Regularizer,
        schedule: Schedule,
        batch_size: int,
    ) -> None:
        self.network, self.optimizer, self.bptt, self.clipping = network, optimizer, bptt, clipping
        self.regularizer, self.schedule, self.steps = regularizer, schedule, steps
        self.truncation, measured = rng.spawn(2)
        self.cursor = Cursor(task, batch_size, rng=rng, dtype=network.dtype)
        bptt.begin(network, task, rng=measured)
        self.criterion = LOSSES[task.target_kind]()
        self.inputs: Array = np.empty(0)
        self.step = 0
        self.scheduled = not isinstance(schedule, Constant) or schedule.warmup > 0
        parameters = network.parameters
        self.frozen = {name: parameters.values[name].copy() for name in network.design.frozen}

    def update(self, *, measure: Callable[[int], bool] = lambda step: False) -> Report:
        """Read windows until one has a scored step, and make one parameter update from it.

        Where ``measure(step)`` is true the report has the update ratios.
        """
        self.bptt.adapt(self.step + 1)
        # Overflow is no accident to warn of here: it is what divergence looks like, and it is reported.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(UNSCORED_WINDOWS):
                stretch = self.bptt.stretch(rng=self.truncation)
                chunk, fresh = self.cursor.next(stretch.new)
                old = self._extend(chunk, fresh, stretch)
                scored = scored_steps(chunk.mask)
                within = slice(old, None) if isinstance(scored, slice) else old + scored
                outputs = self.network.forward(self.inputs, scored=within, first=old)
                if len(outputs):
                    break
            else:
                raise ValueError(f"the task scored no step in {UNSCORED_WINDOWS} windows")
            mask = chunk.mask[scored]
            loss = float(self.criterion.forward(outputs, chunk.targets[scored], mask))
            slope = self.criterion.backward()
            if (scale := self.bptt.scale(int(mask.sum()), self.cursor)) != 1.0:
                slope *= scale
            gradient = self.network.backward(slope, carry=stretch.carry)
            penalty = float(self.regularizer(self.network))
            norm, clipped = self.clipping(gradient)
            self.step += 1
            report = Report(
                self.step,
                loss,
                float(norm),
                bool(clipped),
                float(row_norms(gradient)) if clipped else float(norm),
                penalty=None if isinstance(self.regularizer, NoRegularizer) else penalty,
                window=len(self.inputs) if self.bptt.varies else None,
            )
            if not (np.isfinite(loss) and np.isfinite(norm)):
                return replace(report, diverged=True)
            return self._apply(gradient, report, measure(self.step))

    def _apply(self, gradient: Array, report: Report, measure: bool) -> Report:
        """Let the optimizer make its step."""
        parameters, optimizer = self.network.parameters, self.optimizer
        before = parameters.vector.copy() if measure else None
        if self.scheduled:
            rate = optimizer.learning_rate
            optimizer.learning_rate = rate * self.schedule.factor(self.step, self.steps)
            report = replace(report, learning_rate=optimizer.learning_rate)
            optimizer.update(parameters.vector, gradient)
            optimizer.learning_rate = rate
        else:
            optimizer.update(parameters.vector, gradient)
        for name, value in self.frozen.items():  # weight decay asks for no gradient
            parameters.values[name][...] = value
        return report if before is None else replace(report, update_ratios=update_ratios(parameters, before))

    def _extend(self, chunk: Batch, fresh: bool, stretch: Stretch) -> int:
        """Add new steps to the window and drop the oldest; the number of old steps that stay."""
        keep = 0
        if fresh:
            self.network.reset_state()
        else:
            back = stretch.back(len(chunk.inputs))
            keep = len(self.inputs) if back is None else min(len(self.inputs), back)
        if keep:
            drop = len(self.inputs) - keep
            self.network.drop(drop)
            self.inputs = np.concatenate([self.inputs[drop:], chunk.inputs])
        else:
            self.inputs = chunk.inputs
        return keep


def update_ratios(parameters: Parameters, before: Array) -> dict[str, float]:
    """||w_after - w_before|| / ||w_before|| of every parameter by name; NaN for one that was all zero."""
    old = Parameters(parameters.shapes, dtype=before.dtype, vector=before).values
    ratios = {}
    for name, value in parameters.values.items():
        size = float(row_norms(old[name].ravel()))
        ratios[name] = float(row_norms((value - old[name]).ravel())) / size if size > 0 else float("nan")
    return ratios


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

"""The training loop: an iterator of reports. What becomes of them is for the one who iterates to decide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.checks import InvalidValue, integer
from rnnexp.layers import LOSSES, Network
from rnnexp.tasks import Batch, EpisodeTask, Task
from rnnexp.training.bptt import TruncatedBPTT
from rnnexp.training.clipping import Clipping, NoClipping
from rnnexp.training.cursor import Cursor
from rnnexp.training.evaluation import Evaluation, evaluate, scored_steps
from rnnexp.training.optimizers import Optimizer

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
        Norm of the gradient before clipping.
    clipped : bool
    evaluation : Evaluation or None
        On held-out data, after the update, when it was due.
    study : object or None
        What the `study` given to `train` returned, at the same steps.
    diverged : bool
        The loss or the gradient is not finite: no update was made and this is the last report.
    """

    step: int
    train_loss: float | None = None
    grad_norm: float | None = None
    clipped: bool = False
    evaluation: Evaluation | None = None
    study: Any = None
    diverged: bool = False


class Trainer:
    """Everything that changes while training hangs on this object: weights, optimizer, data, state, counters.

    Parameters
    ----------
    network : Network
        Changed in place.
    task : Task
    optimizer : Optimizer
    rng : numpy Generator
        Draws the training data.
    bptt : TruncatedBPTT
    clipping : Clipping
    batch_size : int
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        optimizer: Optimizer,
        rng: Generator,
        bptt: TruncatedBPTT,
        clipping: Clipping,
        batch_size: int,
    ) -> None:
        self.network, self.optimizer, self.bptt, self.clipping = network, optimizer, bptt, clipping
        self.cursor = Cursor(task, batch_size, rng=rng, dtype=network.dtype)
        self.criterion = LOSSES[task.target_kind]()
        self.inputs: Array = np.empty(0)
        self.step = 0

    def update(self) -> Report:
        """Read windows until one has a scored step, and make one parameter update from it."""
        # Overflow is no accident to warn of here: it is what divergence looks like, and it is reported.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while True:
                chunk, fresh = self.cursor.next(self.bptt.stride)
                old = self._extend(chunk, fresh)
                scored = scored_steps(chunk.mask)
                within = slice(old, None) if isinstance(scored, slice) else old + scored
                outputs = self.network.forward(self.inputs, scored=within, first=old)
                if len(outputs):
                    break
            loss = float(self.criterion.forward(outputs, chunk.targets[scored], chunk.mask[scored]))
            gradient = self.network.backward(self.criterion.backward())
            norm, clipped = self.clipping(gradient)
            self.step += 1
            if not (np.isfinite(loss) and np.isfinite(norm)):
                return Report(self.step, loss, float(norm), diverged=True)
            self.optimizer.update(self.network.parameters.vector, gradient)
            return Report(self.step, loss, float(norm), bool(clipped))

    def _extend(self, chunk: Batch, fresh: bool) -> int:
        """Add new steps to the window and drop the oldest; the number of old steps that stay."""
        keep = 0
        if fresh:
            self.network.reset_state()
        elif self.bptt.length is not None:
            keep = min(len(self.inputs), max(0, self.bptt.length - len(chunk.inputs)))
        elif self.bptt.stride is not None:
            keep = len(self.inputs)
        if keep:
            drop = len(self.inputs) - keep
            self.network.drop(drop)
            self.inputs = np.concatenate([self.inputs[drop:], chunk.inputs])
        else:
            self.inputs = chunk.inputs
        return keep


def train(
    network: Network,
    task: Task,
    *,
    optimizer: Optimizer,
    steps: int,
    rng: Generator,
    bptt: TruncatedBPTT | None = None,
    clipping: Clipping | None = None,
    batch_size: int = 20,
    evaluate_on: Batch | None = None,
    eval_every: int | None = None,
    study: Callable[[Network], Any] | None = None,
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
    bptt : TruncatedBPTT, optional
        The whole sequence when not given.
    clipping : Clipping, optional
    batch_size : int
        Sequences side by side, >= 1.
    evaluate_on : Batch, optional
        Held-out sequences, evaluated at step 0, every `eval_every` updates, and at the end.
    eval_every : int, optional
        Updates between evaluations; a twentieth of `steps` when not given.
    study : callable, optional
        Called with a replica of the network at every evaluation; what it returns is in the report.

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
    bptt = bptt or TruncatedBPTT(None)
    if bptt.length is None and not isinstance(task, EpisodeTask):
        raise InvalidValue(
            "bptt_length", None, "a whole number >= 1 for this task", "it is a stream, which has no end: try 20"
        )
    trainer = Trainer(
        network,
        task,
        optimizer=optimizer,
        rng=rng,
        bptt=bptt,
        clipping=clipping or NoClipping(),
        batch_size=batch_size,
    )
    held_out = None if evaluate_on is None else evaluate_on.cast(network.dtype)
    return _reports(trainer, steps, every, held_out, study)


def _reports(
    trainer: Trainer,
    steps: int,
    every: int,
    held_out: Batch | None,
    study: Callable[[Network], Any] | None,
) -> Iterator[Report]:
    beside = trainer.network.replica()
    target_kind = trainer.cursor.task.target_kind

    def measured(report: Report) -> Report:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            evaluation = None if held_out is None else evaluate(beside, held_out, target_kind)
            studied = None if study is None else study(beside)
        diverged = evaluation is not None and not np.isfinite(evaluation.loss)
        return replace(report, evaluation=evaluation, study=studied, diverged=diverged)

    report = measured(Report(0))
    yield report
    while report.step < steps and not report.diverged:
        report = trainer.update()
        if not report.diverged and (report.step % every == 0 or report.step == steps):
            report = measured(report)
        yield report

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
    clipped_norm : float or None
        Norm of the gradient after clipping.
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

    def update(self, *, measure: Callable[[int], bool] = lambda step: False) -> Report:
        """Read windows until one has a scored step, and make one parameter update from it.

        Where ``measure(step)`` is true the report has the update ratios.
        """
        # Overflow is no accident to warn of here: it is what divergence looks like, and it is reported.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(UNSCORED_WINDOWS):
                chunk, fresh = self.cursor.next(self.bptt.stride)
                old = self._extend(chunk, fresh)
                scored = scored_steps(chunk.mask)
                within = slice(old, None) if isinstance(scored, slice) else old + scored
                outputs = self.network.forward(self.inputs, scored=within, first=old)
                if len(outputs):
                    break
            else:
                raise ValueError(f"the task scored no step in {UNSCORED_WINDOWS} windows")
            loss = float(self.criterion.forward(outputs, chunk.targets[scored], chunk.mask[scored]))
            gradient = self.network.backward(self.criterion.backward())
            norm, clipped = self.clipping(gradient)
            self.step += 1
            if not (np.isfinite(loss) and np.isfinite(norm)):
                return Report(self.step, loss, float(norm), diverged=True)
            after = float(row_norms(gradient)) if clipped else float(norm)
            parameters = self.network.parameters
            before = parameters.vector.copy() if measure(self.step) else None
            self.optimizer.update(parameters.vector, gradient)
            ratios = None if before is None else update_ratios(parameters, before)
            return Report(self.step, loss, float(norm), bool(clipped), after, ratios)

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
    bptt: TruncatedBPTT | None = None,
    clipping: Clipping | None = None,
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
    target_kind = trainer.cursor.task.target_kind

    def due(step: int, interval: int) -> bool:
        return step % interval == 0 or step == steps

    def study_due(step: int) -> bool:
        return study is not None and due(step, look)

    def measured(report: Report) -> Report:
        evaluation = studied = None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if held_out is not None and due(report.step, every):
                evaluation = evaluate(beside, held_out, target_kind)
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

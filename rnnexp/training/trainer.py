"""One parameter update after another: what a trainer is, and what it reports."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.layers import LOSSES, Network, Parameters
from rnnexp.layers.base import row_norms
from rnnexp.tasks import Batch, Task
from rnnexp.training.bptt import Stretch, Truncation
from rnnexp.training.clipping import Clipping
from rnnexp.training.cursor import Cursor
from rnnexp.training.evaluation import Evaluation, scored_part
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.regularizers import NoRegularizer, Regularizer
from rnnexp.training.schedules import Constant, Schedule

Array = NDArray[Any]


@dataclass(slots=True)
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


@dataclass(slots=True)
class Drawn:
    """Steps that come next.

    Attributes
    ----------
    chunk : Batch
    fresh : bool
        They begin a new sequence.
    stretch : Stretch
        How long they were meant to be, and how far back their losses go.
    """

    chunk: Batch
    fresh: bool
    stretch: Stretch


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
        self.unregularized = isinstance(regularizer, NoRegularizer)
        self.rescaled = type(bptt).scale is not Truncation.scale
        self.scheduled = not isinstance(schedule, Constant) or schedule.warmup > 0
        parameters = network.parameters
        self.frozen = {name: parameters.values[name].copy() for name in network.design.frozen}

    def draw(self) -> "Drawn":
        """The next steps of the data, as long as the truncation asks for."""
        stretch = self.bptt.stretch(rng=self.truncation)
        chunk, fresh = self.cursor.next(stretch.new)
        return Drawn(chunk, fresh, stretch)

    def update(self, *, measure: Callable[[int], bool] = lambda step: False, drawn: "Drawn | None" = None) -> Report:
        """Read windows until one has a scored step, and make one parameter update from it.

        Where ``measure(step)`` is true the report has the update ratios. `drawn` is a first window drawn already.
        """
        self.bptt.adapt(self.step + 1)
        # Overflow is no accident to warn of here: it is what divergence looks like, and it is reported.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(UNSCORED_WINDOWS):
                drawn = drawn or self.draw()
                chunk, stretch = drawn.chunk, drawn.stretch
                old = self._extend(drawn)
                scored, mask = scored_part(chunk.mask)
                within = slice(old, None) if isinstance(scored, slice) else old + scored
                outputs = self.network.forward(self.inputs, scored=within, first=old)
                if len(outputs):
                    break
                drawn = None
            else:
                raise ValueError(f"the task scored no step in {UNSCORED_WINDOWS} windows")
            loss = float(self.criterion.forward(outputs, chunk.targets[scored], mask))
            slope = self.criterion.backward()
            if self.rescaled and (scale := self.bptt.scale(int(chunk.mask.sum()), self.cursor)) != 1.0:
                slope *= scale
            gradient = self.network.backward(slope, carry=stretch.carry)
            penalty = None if self.unregularized else float(self.regularizer(self.network))
            norm, clipped = self.clipping(gradient)
            self.step += 1
            report = Report(self.step, loss, float(norm))
            if clipped:
                report.clipped, report.clipped_norm = True, float(row_norms(gradient))
            else:
                report.clipped_norm = report.grad_norm
            report.penalty = penalty
            if self.bptt.varies:
                report.window = len(self.inputs)
            if math.isfinite(loss) and math.isfinite(norm):
                self._apply(gradient, report, measure(self.step))
            else:
                report.diverged = True
            return report

    def _apply(self, gradient: Array, report: Report, measure: bool) -> None:
        """Let the optimizer make its step."""
        parameters, optimizer = self.network.parameters, self.optimizer
        before = parameters.vector.copy() if measure else None
        if self.scheduled:
            rate = optimizer.learning_rate
            report.learning_rate = optimizer.learning_rate = rate * self.schedule.factor(self.step, self.steps)
            optimizer.update(parameters.vector, gradient)
            optimizer.learning_rate = rate
        else:
            optimizer.update(parameters.vector, gradient)
        for name, value in self.frozen.items():  # weight decay asks for no gradient
            parameters.values[name][...] = value
        if before is not None:
            report.update_ratios = update_ratios(parameters, before)

    def _extend(self, drawn: "Drawn") -> int:
        """Add new steps to the window and drop the oldest; the number of old steps that stay."""
        keep, chunk, stretch = 0, drawn.chunk, drawn.stretch
        if drawn.fresh:
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

"""The training loop: an iterator of reports, which the caller may record, plot or ignore."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.algorithms import Algorithm, TruncatedBPTT
from rnnexp.checks import InvalidValue, integer
from rnnexp.components import checked
from rnnexp.layers import Network
from rnnexp.layers.fit import check_batch, check_task
from rnnexp.state import Maybe, State, copied, matching
from rnnexp.tasks import Batch, EpisodeTask, Task
from rnnexp.training.clipping import Clipping, NoClipping
from rnnexp.training.evaluation import Evaluation, evaluate
from rnnexp.training.optimizers import Optimizer
from rnnexp.training.regularizers import NoRegularizer, Regularizer, check_way_back
from rnnexp.training.schedules import Constant, Schedule
from rnnexp.training.stopping import NoStopping, Stopping
from rnnexp.training.trainer import Report, Trainer


@dataclass(frozen=True)
class Best:
    """The weights with the lowest evaluation loss so far; of two equal ones the first.

    Attributes
    ----------
    step : int
    loss : float
    parameters : array (P,)
    """

    step: int
    loss: float
    parameters: NDArray[Any]


class Run(Iterator[Report]):
    """A training run, an iterator of reports: the trainer, and the schedule of evaluations and gradient studies.

    Parameters
    ----------
    trainer : Trainer
    eval_every : int
    held_out : Batch or None
        The evaluation set.
    study_every : int
    study : callable or None
        Called with a replica of the network.
    stopping : Stopping

    Attributes
    ----------
    best : Best or None
        None before the first evaluation.
    stopped : str
        Why `stopping` has ended training; empty if it has not.
    """

    def __init__(
        self,
        trainer: Trainer,
        eval_every: int,
        held_out: Batch | None,
        study_every: int,
        study: Callable[[Network], Any] | None,
        stopping: Stopping,
    ) -> None:
        self.trainer, self.steps = trainer, trainer.steps
        self.eval_every, self.held_out = eval_every, held_out
        self.study_every, self.study = study_every, study
        self.stopping, self.stopped = stopping, ""
        self.best: Best | None = None
        self.beside = trainer.network.replica()
        self._reports: Iterator[Report] | None = None

    def __next__(self) -> Report:
        self._reports = self._reports or self.reports()
        return next(self._reports)

    def evaluation_due(self, step: int) -> bool:
        """Whether the network is evaluated after update `step`."""
        return self.held_out is not None and (step % self.eval_every == 0 or step == self.steps)

    def study_due(self, step: int) -> bool:
        """Whether the gradient is studied after update `step`."""
        return self.study is not None and (step % self.study_every == 0 or step == self.steps)

    def look(self, report: Report, evaluation: Evaluation | None = None) -> None:
        """Add the evaluation (unless given) and the study that are due after a report's update, and why it stops."""
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
            if evaluation is None or report.diverged:
                return
            if self.best is None or evaluation.loss < self.best.loss:
                vector = self.trainer.network.parameters.vector
                self.best = Best(report.step, float(evaluation.loss), vector.copy())
            self.stopped = report.stopped = str(self.stopping(report) or "")
            if report.stopped and self.study is not None and not study_now:
                report.study = self.study(self.beside)

    def reports(self) -> Iterator[Report]:
        """Train, and report every update."""
        report = Report(self.trainer.step)
        if report.step == 0 and not self.stopped:
            self.look(report)
            yield report
        while self.trainer.step < self.steps and not report.diverged and not self.stopped:
            report = self.trainer.update(measure=self.study_due)
            self.look(report)
            yield report

    def evaluate_best(self, batch: Batch) -> tuple[Evaluation, Evaluation]:
        """Evaluations of the best weights and of the present ones, which stay."""
        task, vector = self.trainer.data.task, self.beside.parameters.vector
        batch, present = batch.cast(self.beside.dtype), vector.copy()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            last = evaluate(self.beside, batch, task.target_kind, task)
            if self.best is None or np.array_equal(self.best.parameters, present):
                return last, last
            try:
                vector[...] = self.best.parameters
                return evaluate(self.beside, batch, task.target_kind, task), last
            finally:
                vector[...] = present

    def state(self) -> State:
        """A copy of everything that changes: the trainer's, the best weights, and what the stopping rule keeps.

        To be called between two updates.
        """
        keeps = callable(getattr(self.stopping, "state", None))
        own = copied(self.stopping.state(), "stopping") if keeps else None  # type: ignore[attr-defined]
        return {
            "trainer": self.trainer.state(),
            "best": None if self.best is None else copied(asdict(self.best), "best"),
            "stopping": {"rule": own, "stopped": self.stopped},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state` was taken: the reports to come are those of a run never interrupted.

        Parameters
        ----------
        state : mapping
            Of a run of the same configuration; other keys than those of `state` are ignored. Where its ``stopping`` is
            None, the rule begins from its start.

        Raises
        ------
        UserError
            If something in it does not fit.
        """
        vector = self.trainer.network.parameters.vector
        template = {"trainer": None, "best": Maybe({"step": 0, "loss": 0.0, "parameters": vector})}
        template["stopping"] = Maybe({"rule": None, "stopped": ""})
        fit = matching(template, {name: state[name] for name in template if name in state})
        if fit["stopping"] is not None and callable(getattr(self.stopping, "restore", None)):
            self.stopping.restore(copied(fit["stopping"]["rule"], "stopping"))  # type: ignore[attr-defined]
        self.trainer.restore(fit["trainer"])
        self.best = None if fit["best"] is None else Best(**fit["best"])
        self.stopped = "" if fit["stopping"] is None else fit["stopping"]["stopped"]


@checked
def train(
    network: Network,
    task: Task,
    *,
    optimizer: Optimizer,
    steps: int,
    rng: Generator,
    algorithm: Algorithm | None = None,
    clipping: Clipping | None = None,
    regularizer: Regularizer | None = None,
    schedule: Schedule | None = None,
    batch_size: int = 20,
    evaluate_on: Batch | None = None,
    eval_every: int | None = None,
    study: Callable[[Network], Any] | None = None,
    study_every: int | None = None,
    stopping: Stopping | None = None,
    staleness_steps: int = 0,
) -> Run:
    """Train a network and report every update: nothing happens before the first report is asked for.

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
    algorithm : Algorithm, optional
        BPTT over the whole sequence when not given.
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
    stopping : Stopping, optional
        Asked after every evaluation; training may end before its last update. A schedule still sees all `steps`.
    staleness_steps : int
        With every study, report how stale the state is that the update's window took over, recomputed from the
        sequence's beginning, or from at least so many steps back in a stream; 0 for none.

    Returns
    -------
    Run
        An iterator of reports, with the weights that were best so far.

    Raises
    ------
    InvalidValue
        If a number is out of range, the network does not fit the task, `rng` is no Generator, or a stream is not
        truncated.
    """
    check_task(network, task)
    steps = integer("steps", steps, at_least=1)
    batch_size = integer("batch_size", batch_size, at_least=1)
    every = max(5, steps // 20) if eval_every is None else integer("eval_every", eval_every, at_least=1)
    look = max(100, steps // 10) if study_every is None else integer("study_every", study_every, at_least=1)
    algorithm = TruncatedBPTT(None) if algorithm is None else algorithm
    given: Any = algorithm
    if not isinstance(given, Algorithm):
        name = getattr(given, "__name__", given)
        hint = "an object, not its class" if isinstance(given, type) else "such as rnnexp.TruncatedBPTT(length=20)"
        raise InvalidValue("algorithm", name, "an Algorithm of rnnexp.algorithms, or derived from one", hint)
    if algorithm.windowed and algorithm.length is None and not isinstance(task, EpisodeTask):
        raise InvalidValue(
            "bptt_length", None, "a whole number >= 1 for this task", "the task is an endless stream: try 20"
        )
    regularizer = regularizer or NoRegularizer()
    regularizer.check(network)
    check_way_back(regularizer, algorithm)
    algorithm.check(network)
    trainer = Trainer(
        network,
        task,
        optimizer=optimizer,
        steps=steps,
        rng=rng,
        algorithm=algorithm,
        clipping=clipping or NoClipping(),
        regularizer=regularizer,
        schedule=schedule or Constant(),
        batch_size=batch_size,
        staleness_steps=integer("staleness_steps", staleness_steps, at_least=0),
    )
    if evaluate_on is not None:
        check_batch(network, evaluate_on, task.target_kind)
    held_out = None if evaluate_on is None else evaluate_on.cast(network.dtype)
    return Run(trainer, every, held_out, look, study, stopping or NoStopping())

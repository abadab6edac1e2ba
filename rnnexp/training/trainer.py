"""One parameter update after another: what a trainer is, and what it reports."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rnnexp.algorithms import Algorithm
from rnnexp.components import Shown
from rnnexp.layers import CRITERIA, Network
from rnnexp.layers.base import row_norms
from rnnexp.state import State, copied, generator_state, matching, unfit
from rnnexp.tasks import DataIterator, EpisodeTask, Task
from rnnexp.training.clipping import Clipping
from rnnexp.training.drawn import Drawn, extended
from rnnexp.training.evaluation import Evaluation, scored_part
from rnnexp.training.network_state import hidden_state, hidden_template, put_back_window, window_state, window_template
from rnnexp.training.optimizers import Optimizer, update_ratios
from rnnexp.training.past import Past, past_template
from rnnexp.training.regularizers import NoRegularizer, Regularizer
from rnnexp.training.schedules import Constant, Schedule

Array = NDArray[Any]


@dataclass(slots=True, repr=False)
class Report(Shown):
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
    staleness : float or None
        `state_staleness` of the state that this update's window took over, when a study was due.
    influence_staleness : float or None
        The same of an influence that is carried forward (`Algorithm.staleness`).
    evaluation : Evaluation or None
        On held-out data, after the update, when it was due.
    study : object or None
        What the `study` given to `train` returned, when it was due.
    diverged : bool
        The loss or the gradient is not finite: no update was made and this is the last report.
    stopped : str
        Why a `Stopping` ends training with this report; empty otherwise.
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
    staleness: float | None = None
    influence_staleness: float | None = None
    evaluation: Evaluation | None = None
    study: Any = None
    diverged: bool = False
    stopped: str = ""


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
        Draws the training data; what the algorithm draws comes from a stream spawned from it.
    algorithm : Algorithm
    clipping : Clipping
    regularizer : Regularizer
    schedule : Schedule
    batch_size : int
    staleness_steps : int
        Steps of a stream to keep for the staleness of its state (`Past`); 0 measures none.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        optimizer: Optimizer,
        steps: int,
        rng: Generator,
        algorithm: Algorithm,
        clipping: Clipping,
        regularizer: Regularizer,
        schedule: Schedule,
        batch_size: int,
        staleness_steps: int = 0,
    ) -> None:
        self.network, self.optimizer, self.algorithm, self.clipping = network, optimizer, algorithm, clipping
        self.regularizer, self.schedule, self.steps = regularizer, schedule, steps
        self.truncation, measured = rng.spawn(2)
        self.data = DataIterator(task, batch_size, rng=rng, dtype=network.dtype)
        algorithm.begin(network, task, rng=measured)
        self.criterion = CRITERIA[task.target_kind]()
        self.inputs: Array = np.empty(0)
        kept = None if isinstance(task, EpisodeTask) else staleness_steps
        self.past = Past(network.replica(), kept) if staleness_steps else None
        self.step = 0
        self.unregularized = isinstance(regularizer, NoRegularizer)
        self.rescaled = type(algorithm).scale is not Algorithm.scale
        self.scheduled = type(schedule) is not Constant or schedule.warmup > 0
        parameters = network.parameters
        self.frozen = {name: parameters.values[name].copy() for name in network.design.frozen}

    def draw(self) -> Drawn:
        """The next steps of the data, as long as the algorithm asks for."""
        segment = self.algorithm.segment(rng=self.truncation)
        chunk, fresh = self.data.next(segment.new)
        return Drawn(chunk, fresh, segment)

    def update(self, *, measure: Callable[[int], bool] = lambda step: False, drawn: Drawn | None = None) -> Report:
        """Read windows until one has a scored step, and make one parameter update from it.

        Where ``measure(step)`` is true the report has the update ratios. `drawn` is a first window drawn already.
        """
        self.algorithm.adapt(self.step + 1)
        due, stale, aged = measure(self.step + 1), None, None
        # Overflow is no accident to warn of here: it is what divergence looks like, and it is reported.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(UNSCORED_WINDOWS):
                drawn = drawn or self.draw()
                chunk, segment = drawn.chunk, drawn.segment
                if self.past is not None:
                    carried = None if drawn.fresh else self.network.recurrent.state
                    if due:
                        aged = self._influence_staleness(carried)
                    stale = self.past.window(chunk.inputs, carried, measure=due)
                self.inputs, old = extended(self.network, self.inputs, chunk.inputs, drawn)
                scored, mask = scored_part(chunk.mask)
                within = slice(old, None) if isinstance(scored, slice) else old + scored
                outputs = self.network.forward(self.inputs, scored=within, first=old)
                if len(outputs):
                    break
                self.algorithm.advance(self.network, rng=self.truncation)
                drawn = None
            else:
                raise ValueError(f"the task scored no step in {UNSCORED_WINDOWS} windows")
            loss = float(self.criterion.forward(outputs, chunk.targets[scored], mask, overwrite=True))
            slope = self.criterion.backward()
            if self.rescaled and (scale := self.algorithm.scale(int(chunk.mask.sum()), self.data)) != 1.0:
                slope *= scale
            gradient = self.algorithm.backward(self.network, slope, segment, rng=self.truncation)
            penalty = None if self.unregularized else float(self.regularizer(self.network))
            norm, clipped = self.clipping(gradient)
            self.step += 1
            report = Report(self.step, loss, float(norm))
            if clipped:
                report.clipped, report.clipped_norm = True, float(row_norms(gradient))
            else:
                report.clipped_norm = report.grad_norm
            report.penalty, report.staleness = penalty, None if stale is None else float(stale)
            report.influence_staleness = aged
            if self.algorithm.varies:
                report.window = len(self.inputs)
            if math.isfinite(loss) and math.isfinite(norm):
                self._apply(gradient, report, due)
            else:
                report.diverged = True
            return report

    def _influence_staleness(self, carried: Any) -> float | None:
        """`Algorithm.staleness` before a window that takes over this state."""
        if carried is None or self.past is None or not self.past.parts:
            return None
        return self.algorithm.staleness(self.past.network, self.past.inputs(), self.past.start(len(carried)))

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

    # Everything that changes, out and in again.

    def state(self) -> dict[str, Any]:
        """A copy of everything that changes while training: a nested dict of arrays and plain values.

        The optimizer's part are its `slots`. A task, clipping, regularizer or schedule that changes has methods
        ``state()`` and ``restore(state)`` of its own; so has an algorithm. To be called between two updates.

        Raises
        ------
        TypeError
            If something of a component's own is neither array nor plain value.
        """
        optimizer, inputs = self.optimizer, self.inputs
        # A new sequence forgets the window.
        window = None if self.data.fresh or not len(inputs) else window_state(self.network, inputs)
        past = None if self.data.fresh or self.past is None else self.past.state()
        return {
            "step": self.step,
            "parameters": {name: value.copy() for name, value in self.network.parameters.values.items()},
            "optimizer": {"kind": type(optimizer).__name__, "slots": copied(optimizer.slots, "slots")},
            "hidden": hidden_state(self.network),
            "window": window,
            "past": past,
            "truncation": generator_state(self.truncation),
            "parts": {name: copied(part.state(), name) for name, part in self._changing().items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from where `state` was taken: further updates are, bit for bit, those of a run never interrupted.

        Parameters
        ----------
        state : dict
            Of a trainer of the same configuration; it is left as it is.

        Raises
        ------
        UserError
            If a name, shape or type in it does not fit; nothing has changed then.
        """
        network, inputs = self.network, np.empty(0)
        fit = matching(self._template(), state)
        if fit["step"] < 0:
            raise unfit(f"step is {fit['step']}")
        if (kind := fit["optimizer"]["kind"]) != type(self.optimizer).__name__:
            raise unfit(f"its optimizer is {kind}, here it is {type(self.optimizer).__name__}")
        slots = fit["optimizer"]["slots"]
        slots = matching(self._slots_template(slots), slots, "optimizer/slots")
        if (window := fit["window"]) is not None:
            known = {"inputs": self.data.input_template(), "layers": None, "from_start": None}
            inputs = matching(known, window, "window")["inputs"]
            if not len(inputs):
                raise unfit("window/inputs is empty")
            self.data.check_inputs(inputs, "window/inputs")
            window = matching(window_template(network, inputs), window, "window")
        for part in fit["past"] or ():
            if not len(part["inputs"]):
                raise unfit("past/inputs is empty")
            self.data.check_inputs(part["inputs"], "past/inputs")
        self._restore_parts(fit["parts"])

        if self.past is not None:
            self.past.restore(fit["past"] or ())
        for name, value in fit["parameters"].items():
            network.parameters.values[name][...] = value
        self.frozen = {name: fit["parameters"][name] for name in self.frozen}
        self.optimizer.slots = slots
        if window is not None:
            put_back_window(network, inputs, window)
        for layer, own in zip(network.recurrent.layers, fit["hidden"].values(), strict=True):
            layer.state = None if own is None else tuple(own.values())
        self.inputs, self.step, self.truncation = inputs, fit["step"], fit["truncation"]

    def _template(self) -> State:
        """What a state must match, as far as that does not depend on itself."""
        return {
            "step": 0,
            "parameters": self.network.parameters.values,
            "optimizer": {"kind": "", "slots": None},
            "hidden": hidden_template(self.network, self.data.batch_size),
            "window": None,
            "past": past_template(self.network, self.data.input_template(), self.data.batch_size),
            "truncation": self.truncation,
            "parts": dict.fromkeys(self._changing()),
        }

    def _slots_template(self, saved: Any) -> State:
        """All slots that the first update makes, and any further ones that are saved; none if none are."""
        tried, vector = copy.deepcopy(self.optimizer), self.network.parameters.vector
        tried.slots = {}
        tried.update(vector.copy(), np.zeros_like(vector))
        if not isinstance(saved, dict) or not saved:
            return {}
        return {**{name: slot for name, slot in saved.items() if isinstance(slot, np.ndarray)}, **tried.slots}

    def _changing(self) -> dict[str, Any]:
        """The components that keep something of their own, by name."""
        parts = {
            "data": self.data,
            "algorithm": self.algorithm,
            "task": self.data.task,
            "clipping": self.clipping,
            "regularizer": self.regularizer,
            "schedule": self.schedule,
        }
        both = ("state", "restore")
        return {name: part for name, part in parts.items() if all(callable(getattr(part, m, None)) for m in both)}

    def _restore_parts(self, saved: State) -> None:
        """Let the components restore what is theirs; if one refuses, the others are left as they were."""
        parts, before = self._changing(), []
        try:
            for name, part in parts.items():
                before.append((part, copied(part.state(), name)))
                part.restore(copied(saved[name], name))
        except Exception:
            for part, own in before:
                part.restore(own)
            raise

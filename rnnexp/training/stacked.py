"""Many networks trained as one, stacked along an axis: each has its own data, hyperparameters and end."""

import copy
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.layers import CRITERIA, Network, Parameters
from rnnexp.layers.base import row_norms
from rnnexp.layers.network import recurrent_names
from rnnexp.tasks import Batch
from rnnexp.training.drawn import Drawn, extended
from rnnexp.training.evaluation import Evaluation, Plan, evaluate_copies, layout
from rnnexp.training.loop import Run
from rnnexp.training.optimizers import update_ratios
from rnnexp.training.stacked_data import Joined, draw_episodes, fit_together
from rnnexp.training.stacked_state import (
    groups_of,
    join_pasts,
    join_states,
    numbers_of,
    past_shape,
    split_past,
    write_back_networks,
)
from rnnexp.training.trainer import UNSCORED_WINDOWS, Report, Trainer

Array = NDArray[Any]


class StackedTrainer:
    """Trainers whose networks are computed as one network with an axis more.

    They must have the same network but for its weights, the same task but for what it draws, the same
    `TruncatedBPTT`, and the same kinds of optimizer, clipping and regularizer. Each gets, bit for bit, what it would
    get alone. When their data no longer have the same shape they go on one by one.

    Parameters
    ----------
    trainers : sequence of Trainer
        Their networks, optimizers and states lag behind until `write_back`.

    Attributes
    ----------
    trainers : list of Trainer
        Those that go on; neighbours have the same numbers where possible.
    network : Network
        Of K copies, in the same order.
    together : bool
        They are still computed as one.
    failed : list of (Trainer, Exception)
        Those that went on no longer with the last update, and why.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        first_seen: dict[str, int] = {}
        for trainer in trainers:
            first_seen.setdefault(numbers_of(trainer), len(first_seen))
        self.trainers = sorted(trainers, key=lambda trainer: first_seen[numbers_of(trainer)])
        kept = {
            None if trainer.data.fresh else (trainer.inputs.shape, past_shape(trainer)) for trainer in self.trainers
        }
        self.together = len(self.trainers) > 1 and len(kept) == 1
        self.failed: list[tuple[Trainer, Exception]] = []
        if self.together:
            self._stack()

    def _stack(self) -> None:
        first, count = self.trainers[0], len(self.trainers)
        parameters = Parameters(first.network.parameters.shapes, copies=(count,), dtype=first.network.dtype)
        np.stack([trainer.network.parameters.vector for trainer in self.trainers], out=parameters.vector)
        self.network = Network(parameters, first.network.design)
        self.parts: dict[int, Network] = {}
        self.inputs = join_states(self.network, self.trainers)
        self.past = join_pasts(self.network.replica(), self.trainers)
        self.criterion = CRITERIA[first.data.task.target_kind]()
        self.regularizer: Any = copy.copy(first.regularizer)
        if hasattr(self.regularizer, "strength"):
            regularizers: list[Any] = [trainer.regularizer for trainer in self.trainers]
            self.regularizer.strength = np.array([regularizer.strength for regularizer in regularizers])
        self.frozen = {name: np.stack([t.frozen[name] for t in self.trainers]) for name in first.frozen}
        self.groups = groups_of(self.trainers)

    def write_back(self, *, window: bool | None = None) -> None:
        """Give every trainer its weights, its optimizer's memory and its hidden state.

        And its last `window`, if its next one may reach back into it: by default, if its sequence has not ended.
        """
        if not self.together:
            return
        window = not self.trainers[0].data.fresh if window is None else window
        for group in self.groups:
            group.write_back(self.trainers[group.part])
        if self.past is not None and window:
            split_past(self.past, self.trainers)
        write_back_networks(self.network, self.trainers, self.inputs if window and len(self.inputs) else None)

    def remove(self, trainers: Sequence[Trainer]) -> None:
        """Go on without some of them."""
        self.write_back()
        self.trainers = [trainer for trainer in self.trainers if trainer not in trainers]
        self.together = self.together and len(self.trainers) > 1
        if self.together:
            self._stack()

    def update(self, *, measure: Callable[[int], bool] = lambda step: False) -> list[Report]:
        """One parameter update of every trainer; their reports, in the order of `trainers`."""
        self.failed = []
        if not self.together:
            return self._one_by_one(measure)
        due, stale = measure(self.trainers[0].step + 1), None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(UNSCORED_WINDOWS):
                joined = draw_episodes(self.trainers)
                if joined is None:
                    drawn = [own for trainer in self.trainers if (own := self._drawn(trainer)) is not None]
                    if self.failed or not fit_together(drawn):
                        return self._part(drawn, measure)
                    joined = Joined.of(drawn)
                if self.past is not None:
                    carried = None if joined.first.fresh else self.network.recurrent.state
                    stale = self.past.window(joined.inputs, carried, measure=due)
                self.inputs, old = extended(self.network, self.inputs, joined.inputs, joined.first)
                within = slice(old, None) if isinstance(joined.scored, slice) else old + joined.scored
                outputs = self.network.forward(self.inputs, scored=within, first=old)
                if len(outputs):
                    break
            else:
                raise ValueError(f"the task scored no step in {UNSCORED_WINDOWS} windows")
            losses = np.asarray(self.criterion.forward(outputs, joined.targets, joined.mask, overwrite=True))
            gradient = self.network.backward(self.criterion.backward())
            penalties = self.regularizer(self.network)
            clips = [group.clipping(gradient[group.part]) for group in self.groups]
            norms, clipped = (np.concatenate([clip[at] for clip in clips]) for at in (0, 1))
            reports = self._reports(losses, norms, clipped, gradient, penalties)
            if stale is not None:
                for report, own in zip(reports, stale.tolist(), strict=True):
                    report.staleness = own
            self._apply(gradient, reports, due)
            return reports

    def evaluate(self, rows: Sequence[int], batches: Sequence[Batch]) -> list[Evaluation]:
        """Evaluations of some of the networks, on batches of the same layout; as many at once as is worth it."""
        tasks = [self.trainers[row].data.task for row in rows]
        most = Plan.of(self.network, *batches[0].mask.shape).copies
        found: list[Evaluation] = []
        for part in (slice(start, start + most) for start in range(0, len(rows), most)):
            vectors = self.network.parameters.vector[list(rows[part])]
            if len(vectors) not in self.parts:
                shapes = self.network.parameters.shapes
                copies = Parameters(shapes, copies=(len(vectors),), dtype=vectors.dtype)
                self.parts[len(vectors)] = Network(copies, self.network.design)
            beside = self.parts[len(vectors)]
            beside.parameters.vector[...] = vectors
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                found += evaluate_copies(beside, batches[part], tasks[0].target_kind, tasks[part])
        return found

    def _one_by_one(self, measure: Callable[[int], bool]) -> list[Report]:
        reports = []
        for trainer in self.trainers:
            try:
                reports.append(trainer.update(measure=measure))
            except Exception as error:
                self.failed.append((trainer, error))
        failed = [trainer for trainer, _ in self.failed]
        self.trainers = [trainer for trainer in self.trainers if trainer not in failed]
        return reports

    def _drawn(self, trainer: Trainer) -> Drawn | None:
        """A trainer's next steps; None if it failed."""
        try:
            return trainer.draw()
        except Exception as error:
            self.failed.append((trainer, error))
            return None

    def _part(self, drawn: Sequence[Drawn], measure: Callable[[int], bool]) -> list[Report]:
        """One update one by one, from what was drawn; those that are left go on together if one that failed was why."""
        self.write_back(window=not all(one.fresh for one in drawn))
        failed = [trainer for trainer, _ in self.failed]
        self.trainers = [trainer for trainer in self.trainers if trainer not in failed]
        pairs = zip(self.trainers, drawn, strict=True)
        reports = [trainer.update(measure=measure, drawn=own) for trainer, own in pairs]
        self.together = bool(failed) and len(self.trainers) > 1 and fit_together(drawn)
        if self.together:
            self._stack()
        return reports

    def _reports(self, losses: Array, norms: Array, clipped: Array, gradient: Array, penalties: Any) -> list[Report]:
        """What each trainer would report, but for what the optimizer does."""
        after = np.where(clipped, row_norms(gradient), norms) if clipped.any() else norms
        regularized = not self.trainers[0].unregularized
        ends = ~(np.isfinite(losses) & np.isfinite(norms))
        penalty = np.broadcast_to(penalties, losses.shape).tolist() if regularized else [None] * len(losses)
        numbers = zip(
            self.trainers, losses.tolist(), norms.tolist(), clipped.tolist(), after.tolist(), penalty, ends.tolist(),
            strict=True,
        )  # fmt: skip
        reports = []
        for trainer, loss, norm, was_clipped, norm_after, added, diverged in numbers:
            trainer.step += 1
            report = Report(trainer.step, loss, norm, was_clipped, norm_after, added)
            report.diverged = diverged
            reports.append(report)
        return reports

    def _apply(self, gradient: Array, reports: list[Report], measure: bool) -> None:
        """Let the optimizers make their steps; a diverged network stays as it is."""
        vector, first = self.network.parameters.vector, self.trainers[0]
        still = [row for row, report in enumerate(reports) if report.diverged]
        before = vector.copy() if measure else None
        kept = vector[still]
        for group in self.groups:
            optimizer, rate = group.optimizer, group.optimizer.learning_rate
            if first.scheduled:
                optimizer.learning_rate = rate * first.schedule.factor(first.step, first.steps)
                for report in reports[group.part]:
                    report.learning_rate = None if report.diverged else optimizer.learning_rate
            rows = [row - group.part.start for row in still if group.part.start <= row < group.part.stop]
            # A count of updates is that of all of them.
            own = [name for name, slot in optimizer.slots.items() if slot.shape == vector[group.part].shape]
            remembered = {name: optimizer.slots[name][rows] for name in own} if rows else {}
            optimizer.update(vector[group.part], gradient[group.part])
            for name, value in remembered.items():
                optimizer.slots[name][rows] = value
            optimizer.learning_rate = rate
        for name, value in self.frozen.items():
            self.network.parameters.values[name][...] = value
        if still:
            vector[still] = kept
        if before is not None:
            for row, report in enumerate(reports):
                if not report.diverged:
                    shapes = self.network.parameters.shapes
                    after = Parameters(shapes, dtype=vector.dtype, vector=vector[row])
                    report.update_ratios = update_ratios(after, before[row])


def bytes_per_copy(run: Run) -> int:
    """About how much memory an update of a network works on: weights, gradients, slots, and a window's arrays."""
    trainer = run.trainer
    network, batch = trainer.network, trainer.data.batch_size
    steps = trainer.algorithm.length or (0 if run.held_out is None else len(run.held_out.inputs)) or 1
    layer = network.recurrent.layers[0]
    gates = (
        network.parameters.values[f"{recurrent_names(network.design.num_layers)[0]}.Wh"].size // layer.hidden_size**2
    )
    each_step = network.design.num_layers * (3 + 3 * gates) * layer.hidden_size + 2 * trainer.data.task.output_size
    return int(network.dtype.itemsize * (6 * network.parameters.vector.size + steps * batch * each_step))


def train_together(
    runs: Sequence[Run], *, up_to_date: Callable[[int], bool] = lambda step: False
) -> Generator[tuple[int, Report | Exception], bool | None, None]:
    """Train many runs as one; each run's reports are those that it would make alone.

    Parameters
    ----------
    runs : sequence of Run
        With the same number of steps, and looked at after the same updates.
    up_to_date : callable
        After which updates the runs' own trainers must have everything: asked once an update, before its reports. They
        always have it at their end.

    Yields
    ------
    index : int
        Of the run in `runs`.
    report : Report, or Exception
        Send True back to end this run: the others go on, as they do without one that raised an exception.
    """
    numbered = {id(run.trainer): (index, run) for index, run in enumerate(runs)}
    going = [run for run in runs if not run.stopped and run.trainer.step < run.steps]
    stack = StackedTrainer([run.trainer for run in going])
    reports = [Report(trainer.step) for trainer in stack.trainers]
    begun = runs[0].trainer.step == 0
    while stack.trainers:
        if not begun:
            reports = stack.update(measure=runs[0].study_due)
            for trainer, error in stack.failed:
                yield numbered[id(trainer)][0], error
            if not reports:
                return
        these = [numbered[id(trainer)] for trainer in stack.trainers]
        evaluations = _look(stack, [run for _, run in these], reports)
        gone = []
        errors: dict[int, Exception] = {}
        for (index, run), report, evaluation in zip(these, reports, evaluations, strict=True):
            try:
                run.look(report, evaluation)
            except Exception as error:
                errors[index] = error
        pairs = list(zip(these, reports, strict=True))
        ends = any(report.diverged or report.stopped or report.step >= run.steps for (_, run), report in pairs)
        if up_to_date(reports[0].step) or ends:
            stack.write_back()
        for (index, run), report in pairs:
            ended = yield index, errors.get(index, report)
            if ended or index in errors or report.diverged or report.stopped or report.step >= run.steps:
                gone.append(run.trainer)
        begun = False
        if gone:
            stack.remove(gone)


def _look(stack: StackedTrainer, runs: list[Run], reports: list[Report]) -> list[Evaluation | None]:
    """Evaluations that can be made together; and every run's own network is brought up to date where one is due."""
    step, first = reports[0].step, runs[0]
    found: list[Evaluation | None] = [None] * len(runs)
    evaluate, study = first.evaluation_due(step), first.study_due(step)
    if not stack.together or not (evaluate or study):
        return found
    alike: defaultdict[Any, list[tuple[int, Batch]]] = defaultdict(list)
    for row, (run, report) in enumerate(zip(runs, reports, strict=True)):
        run.trainer.network.parameters.vector[...] = stack.network.parameters.vector[row]
        if evaluate and run.held_out is not None and not report.diverged:
            alike[layout(stack.network, run.held_out)].append((row, run.held_out))
    for rows, batches in (zip(*members, strict=True) for members in alike.values()):
        try:
            evaluations = stack.evaluate(rows, batches)
        except Exception:  # of one of them: it will raise it again, when each is evaluated by itself
            continue
        for row, evaluation in zip(rows, evaluations, strict=True):
            found[row] = evaluation
    return found

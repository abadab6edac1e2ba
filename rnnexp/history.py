"""What a run has reported so far, as numbers by metric name: the one place where reports become metrics."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rnnexp.gradients import NormsByLag, Study
from rnnexp.gradients.shape import thinned
from rnnexp.state import Many, Maybe, Named, Shaped, copied, matching
from rnnexp.tasks import Task
from rnnexp.training import Evaluation, Report

#: Points of the curves of training, and of what clipping did; reports in between are averaged. Every point costs.
POINTS, CLIPPING_POINTS = 50, 20
#: Runs of up to so many updates have a point for each.
EVERY = 100
#: What runs are compared by, of which the last value is also recorded as `final/<name>`: all of the evaluation but what
#: follows from the rest, and these. MLflow has the last value of every curve anyway, under the curve's own name.
NOT_FINAL = ("eval/loss_above_floor", "eval/solved")
FINAL = (
    "train/loss",
    *(f"gradient/{name}" for name in ("log10_ratio", "decay_rate", "decay_fit", "alignment")),
    "recurrent/spectral_radius",
    "lyapunov/1",
)


@dataclass(frozen=True)
class Point:
    """One value of one metric."""

    name: str
    value: float
    step: int


class Means:
    """Means of numbers by name, from one point of their curves to the next.

    Parameters
    ----------
    interval : int
        Updates from one point to the next; the last may come sooner.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, values: Mapping[str, float | None]) -> None:
        """Take in the numbers of a report that there are."""
        for name, value in values.items():
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means so far, which are reset."""
        means = {name: total / self.count for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


class History:
    """Metrics, gradient studies and counts of a run.

    Parameters
    ----------
    task : Task
    steps : int
        Planned updates.

    Attributes
    ----------
    curves : dict of str to list of (step, value)
        Every finite value of every metric, in order.
    studies : list of (step, Study)
    not_finite : int
        Values that were not finite, and so are in no curve.
    diverged : Report or None
    last_finite : tuple (step, loss, gradient norm), or None
        Of the last update at which both were finite.
    repeated : float
        Share of the evaluation sequences that also occur in the training data; 0 until the recorder has counted.
    solved_at : int or None
        The step of the first evaluation that met the task's published rule.
    stopped : str
        Why training ended before its last planned update; empty if it did not.
    tested : tuple of Evaluation, or None
        Of the best weights and of the final ones, on data that selection never saw.
    test_is_evaluation : bool
        The task has no other sequences than those of its evaluation.
    """

    def __init__(self, task: Task, steps: int) -> None:
        self.task = task
        self.baseline = task.baseline
        points = {"training": POINTS, "clipping": CLIPPING_POINTS}
        self._means = {name: Means(steps // most if steps > EVERY else 1) for name, most in points.items()}
        self.steps = steps
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.studies: list[tuple[int, Study]] = []
        self.not_finite = 0
        self.diverged: Report | None = None
        self.repeated = 0.0
        self.solved_at: int | None = None
        self.stopped = ""
        self.tested: tuple[Evaluation, Evaluation] | None = None
        self.test_is_evaluation = False
        self.step = 0
        self.last_finite: tuple[int, float, float] | None = None

    def add(self, report: Report) -> list[Point]:
        """Take in a report; the metric values that it completes."""
        self.step, self.stopped = report.step, report.stopped
        values: dict[str, float] = {}
        if report.train_loss is not None and report.grad_norm is not None:
            if math.isfinite(report.train_loss) and math.isfinite(report.grad_norm):
                self.last_finite = (report.step, report.train_loss, report.grad_norm)
            training = {"loss": report.train_loss, "grad_norm": report.grad_norm, "penalty": report.penalty}
            self._means["training"].add({**training, "bptt_length": report.window})
            after = report.grad_norm if report.clipped_norm is None else report.clipped_norm
            self._means["clipping"].add({"clipped_grad_norm": after, "clipped_fraction": report.clipped})
            last = report.step == self.steps or report.diverged or bool(report.stopped)
            for means in self._means.values():
                if last or report.step % means.interval == 0:
                    values |= {f"train/{name}": mean for name, mean in means.take().items()}
        if report.learning_rate is not None and "train/loss" in values:
            values["train/learning_rate"] = report.learning_rate
        for name, ratio in (report.update_ratios or {}).items():
            if math.isfinite(ratio):
                values[f"update_ratio/{name}"] = ratio
        if report.staleness is not None and math.isfinite(report.staleness):
            values["state/staleness"] = report.staleness
        if report.influence_staleness is not None and math.isfinite(report.influence_staleness):
            values["influence/staleness"] = report.influence_staleness
        if report.evaluation is not None:
            loss = report.evaluation.loss
            values["eval/loss"] = loss
            if report.evaluation.accuracy is not None:
                values["eval/accuracy"] = report.evaluation.accuracy
            if self.baseline.loss > 0:
                values["eval/loss_over_baseline"] = loss / self.baseline.loss
            if self.task.floor is not None:
                values["eval/loss_above_floor"] = loss - self.task.floor
            if report.evaluation.error is not None:
                values["eval/wrong_fraction"] = report.evaluation.error
            if report.evaluation.absolute_error is not None:
                values["eval/mean_absolute_error"] = report.evaluation.absolute_error
            if (solved := self.task.solved(report)) is not None:
                values["eval/solved"] = float(solved)
                if solved and self.solved_at is None:
                    self.solved_at = report.step
            values.update({f"eval/{name}": value for name, value in self.task.further_metrics(loss).items()})
        if report.study is not None:
            # A number that is not defined (a gradient that is exactly zero has no decay rate) is no sign of divergence.
            values.update({name: value for name, value in report.study.metrics().items() if math.isfinite(value)})
            self.studies.append((report.step, report.study))
        if report.diverged:
            self.diverged = report
        points = []
        for name, value in values.items():
            if finite(value):
                points.append(Point(name, float(value), report.step))
                self.curves.setdefault(name, []).append((report.step, float(value)))
            else:
                self.not_finite += 1
        return points

    def state(self) -> dict[str, Any]:
        """Everything so far, as dicts of arrays and plain values."""
        return {
            "step": self.step,
            "not_finite": self.not_finite,
            "solved_at": self.solved_at,
            "stopped": self.stopped,
            "curves": [{"name": name, "points": np.array(curve, float)} for name, curve in self.curves.items()],
            "studies": [{"step": step, "study": copied(asdict(study))} for step, study in self.studies],
            "sums": {name: {"count": means.count, "sums": dict(means.sums)} for name, means in self._means.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave; a `UserError` if it is something else."""
        template = {
            "step": 0,
            "not_finite": 0,
            "solved_at": Maybe(0),
            "stopped": "",
            "curves": Many({"name": "", "points": Shaped((None, 2), np.float64)}),
            "studies": Many({"step": 0, "study": Study}),
            "sums": {name: {"count": 0, "sums": Named(0.0)} for name in self._means},
        }
        fit = matching(template, state, "history")
        self.studies = [(each["step"], each["study"]) for each in fit["studies"]]
        self.curves = {
            curve["name"]: [(int(step), value) for step, value in curve["points"].tolist()] for curve in fit["curves"]
        }
        self.step, self.not_finite, self.solved_at = fit["step"], fit["not_finite"], fit["solved_at"]
        self.stopped = fit["stopped"]
        for name, means in self._means.items():
            means.count, means.sums = fit["sums"][name]["count"], fit["sums"][name]["sums"]

    @property
    def repeats(self) -> str:
        """What is to be said with the loss if many evaluation sequences are known from training; empty if not."""
        share = f"{self.repeated:.0%}"
        return "" if share == "0%" else f"{share} of the evaluation sequences also occur in the training data"

    def last(self, name: str) -> float:
        """The last finite value of a metric; NaN if there is none."""
        return self.curves[name][-1][1] if name in self.curves else math.nan

    def best(self, name: str) -> float:
        """The smallest finite value of a metric; NaN if there is none."""
        return min((value for _, value in self.curves.get(name, [])), default=math.nan)

    def summary(self) -> list[Point]:
        """What runs are compared by, as `final/...`, the test's results, and the first and last curves by lag.

        A run that diverged has no final values: those before it did are not what it came to.
        """
        # What the last study could not define has no final value; an earlier one would be misleading.
        last = self.studies[-1][1].metrics() if self.studies else {}
        undefined = {name for name, value in last.items() if not math.isfinite(value)}
        ends = {
            name: curve[-1][1] for name, curve in self.curves.items() if ends_as_final(name) and name not in undefined
        }
        if "eval/loss" in self.curves:
            ends["best_eval_loss"] = self.best("eval/loss")
        if self.solved_at is not None:
            ends["solved_at_step"] = self.solved_at
        if self.stopped:
            ends["stopped_at_step"] = self.step
        points = [] if self.diverged else [Point(f"final/{name}", v, self.step) for name, v in ends.items()]
        if self.tested is not None:
            best, final = self.tested
            tested = {"loss": best.loss, "accuracy": best.accuracy, "last_loss": final.loss}
            points += [Point(f"test/{name}", v, self.step) for name, v in tested.items() if v is not None and finite(v)]
        if self.studies:
            for which, (_, study) in (("first", self.studies[0]), ("last", self.studies[-1])):
                for suffix, norms in norms_by_name(study).items():
                    for lag, value in log10_by_lag(norms):
                        points.append(Point(f"gradient_by_lag{suffix}/{which}", value, lag))
        return points

    def points(self) -> list[Point]:
        """Every value of every metric so far."""
        return [Point(name, value, step) for name, curve in self.curves.items() for step, value in curve]

    def norm_rows(self, *, last: bool = False) -> list[dict[str, Any]]:
        """One row per study (or of the last one), state and lag: the mean norm, its log10 over lag 0's, and quantiles.

        These are 5 %, 50 % and 95 % over the sequences. The state is h (of all layers together), c, or layer1, layer2,
        ... (h of one layer of a stack).
        """
        return [
            {
                "step": step,
                "lag": lag,
                "norm": norm,
                "log10_relative": relative,
                "q05": low,
                "median": middle,
                "q95": high,
                "state": name.lstrip("_") or "h",
            }
            for step, study in self.studies[-1 if last else 0 :]
            for name, norms in norms_by_name(study).items()
            for lag, (norm, relative, low, middle, high) in enumerate(
                np.stack([norms.mean, norms.log10_relative, *norms.quantiles(0.05, 0.5, 0.95)], axis=1).tolist()
            )
        ]


def ends_as_final(name: str) -> bool:
    """Whether runs are compared by the last value of a curve."""
    return name in FINAL or (name.startswith("eval/") and name not in NOT_FINAL)


def finite(value: Any) -> bool:
    """Whether a value is a finite number; a task of the user's may measure anything."""
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, OverflowError):  # no number, an array, or more than a float holds
        return False


def is_last_curve(name: str) -> bool:
    """Whether a metric is a curve by lag at the last study: a run that goes on has another one at its next end."""
    return name.startswith("gradient_by_lag") and name.endswith("/last")


def norms_by_name(study: Study) -> dict[str, NormsByLag]:
    """All norms by lag of a study, by what is appended to `gradient_by_lag`: nothing for those of h."""
    return {"": study.norms, **{f"_{name}": norms for name, norms in study.others.items()}}


def state_label(name: str) -> str:
    """The name of a further state, and what its norm counts beside the way through the next step."""
    return f"{name.replace('layer', 'layer ')}, " + ("also through h" if name == "c" else "also through layers above")


def log10_by_lag(norms: NormsByLag) -> list[tuple[int, float]]:
    """(lag, log10 of the mean norm over that at lag 0) at the common lags, where both are finite and not zero.

    Of more than 200 such lags the first hundred, and a hundred more in equal ratios: every point costs.
    """
    found = np.flatnonzero(np.isfinite(norms.log10_relative[: len(norms.common)]))
    return [(int(lag), float(norms.log10_relative[lag])) for lag in found[thinned(len(found), 100, 100)]]

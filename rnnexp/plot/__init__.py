"""Figures of the results of `rnnexp.train`, `rnnexp.norms_by_lag` and `Trained.generate`, as the command draws them.

And of what `rnnexp.analysis` finds. Each function returns a `matplotlib.figure.Figure`. Save it with
``figure.savefig("loss.png")``; in a notebook, ``%matplotlib inline`` shows it below the cell. Without MLflow and Hydra.

Their parameters: `reports`, all those of `rnnexp.train`, at least one; the `task`; `bptt_length`, where training
truncates the gradient; and the figure's `title`. Reports that do not have what is drawn are an `InvalidValue`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rnnexp.checks import InvalidValue
from rnnexp.gradients import NormsByLag, Study
from rnnexp.history import History
from rnnexp.plot.axes import BLACK, ORANGE, axes_with, label_text, legend, loss_figure
from rnnexp.plot.gradient_plots import LAG, NORM, gradient_figures, looks, norms_figure, plot_positive
from rnnexp.plot.state_plots import sensitivity, trajectories
from rnnexp.tasks import Task
from rnnexp.training import Continuation, Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "continuation",
    "figures",
    "gradient_by_lag",
    "gradient_over_training",
    "losses",
    "sensitivity",
    "trajectories",
]


def losses(reports: Sequence[Report], task: Task, *, title: str = "Loss") -> "Figure":
    """Training and evaluation loss against the update, with the loss of a predictor that learnt nothing.

    Evaluations are drawn where `rnnexp.train` had `evaluate_on`.
    """
    return loss_figure(_history(reports, task), title)


def gradient_by_lag(
    norms: NormsByLag | Study | Mapping[str, NormsByLag | Study],
    *,
    bptt_length: int | None = None,
    relative: bool = False,
    title: str = "The gradient on its way back",
) -> "Figure":
    """||dL_T/dh_{T-lag}|| against the lag on a log scale, one curve each: a straight line falls by its decay rate.

    Parameters
    ----------
    norms : NormsByLag or Study, or a mapping of labels to them
        Norms that are zero or not finite have no place on a log scale, and are left out.
    relative : bool
        Divide each curve by its norm at lag 0, so that the size of the loss does not count.
    """
    curves = norms if isinstance(norms, Mapping) else {"": norms}
    figure, axes = axes_with(
        title, LAG, f"{NORM} ({'over that at lag 0' if relative else 'log scale'})", integer=True, log=True
    )
    for (label, given), look in zip(curves.items(), looks(), strict=False):
        one = given.norms if isinstance(given, Study) else given
        plot_positive(axes, one.common / one.common[0] if relative else one.common, label=label_text(label), **look)
    if bptt_length is not None:
        axes.axvline(bptt_length - 0.5, color="black", linestyle="-.", linewidth=1.0, label=f"{bptt_length=}")
    if bptt_length is not None or any(curves):
        legend(axes)
    return figure


def gradient_over_training(
    reports: Sequence[Report],
    task: Task,
    *,
    bptt_length: int | None = None,
    title: str = "The gradient on its way back, over training",
) -> "Figure":
    """||dL_T/dh_{T-lag}|| against the lag at the first, middle and last study, with quantiles over the sequences.

    The reports have to be of a training with a `study` that returns a `Study`, as `GradientStudy` does.
    """
    history = _history(reports, task)
    if not history.studies:
        raise InvalidValue("reports", [], "of a training with a study", "give train study=... with a GradientStudy")
    return norms_figure(history, title, bptt_length)


def continuation(series: Continuation, *, title: str = "") -> "Figure":
    """A series that a network continues by itself, and the true one; the steps of the prompt are shaded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 1.2 + 2.2 * len(series.names)), dpi=110, layout="constrained")
    axes = figure.subplots(len(series.names), 1, sharex=True, squeeze=False)[:, 0]
    prompt, steps = series.prompt, range(len(series.true))
    for index, (one, name) in enumerate(zip(axes, series.names, strict=True)):
        one.plot(steps, series.true[:, index], color=BLACK, linewidth=1.0, label="true")
        one.plot(
            steps[prompt:], series.generated[:, index], color=ORANGE, linewidth=1.8, linestyle="--", label="network"
        )
        one.axvspan(-0.5, prompt - 0.5, color=BLACK, alpha=0.06, linewidth=0)
        one.set_ylabel(label_text(name))
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
    axes[0].set_title(label_text(title or f"{len(series.generated)} steps after a prompt of {prompt}"), fontsize=11)
    axes[-1].set_xlabel("step (prompt shaded)")
    legend(axes[0], ncols=2)
    return figure


def figures(
    reports: Sequence[Report], task: Task, *, bptt_length: int | None = None, title: str = ""
) -> dict[str, "Figure"]:
    """Every figure that the command would put into the run's folder, by file name.

    ``loss.png``, and with studies ``gradient_by_lag.png``, ``eigenvalues.png``, ..., whatever they measured.
    """
    history = _history(reports, task)
    return {"loss.png": loss_figure(history, title), **gradient_figures(history, title, bptt_length)}


def _history(reports: Sequence[Report], task: Task) -> History:
    """The reports as curves and studies, as the recorder keeps them."""
    if not reports:
        raise InvalidValue("reports", [], "the reports of a training, at least one", "reports = list(train(...))")
    history = History(task, reports[-1].step)
    for report in reports:
        history.add(report)
    return history

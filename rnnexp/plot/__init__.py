"""Figures of the results of `rnnexp.train`, `rnnexp.norms_by_lag` and `Trained.generate`, as the command draws them.

And of what `rnnexp.analysis` finds. Each function returns a `matplotlib.figure.Figure`. Save it with
``figure.savefig("loss.pdf")``; in a notebook, ``%matplotlib inline`` shows it below the cell. Without MLflow and Hydra.

Their parameters: `reports`, all those of `rnnexp.train`, at least one; the `task`; and `bptt_length`, where training
truncates the gradient. `title` replaces what stands above the figure, and an empty one leaves it out; `subtitle` is
small print below it. `ax`, a matplotlib `Axes`, is drawn into, and its figure is returned: with

    figure, (left, right) = matplotlib.pyplot.subplots(1, 2, layout="constrained")
    rnnexp.plot.losses(reports, task, ax=left)
    rnnexp.plot.eigenvalues(reports, task, ax=right)

both are in one figure. Where a function draws into several axes, `ax` is a sequence of them, all of one figure.
Reports that do not have what is drawn, and an `ax` that is no such thing, are an `InvalidValue`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnnexp.checks import InvalidValue, one_of
from rnnexp.gradients import NormsByLag, Study
from rnnexp.history import History
from rnnexp.plot import gradient_plots
from rnnexp.plot.alignment_plot import alignment
from rnnexp.plot.axes import axes_with, label_text, looks, mark_lags
from rnnexp.plot.gradient_plots import LAG, NORM, drawings, plot_positive
from rnnexp.plot.legends import legend
from rnnexp.plot.loss_plot import loss_figure
from rnnexp.plot.state_plots import continuation, sensitivity, trajectories
from rnnexp.tasks import Task
from rnnexp.training import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "alignment",
    "continuation",
    "eigenvalues",
    "figures",
    "gradient_by_lag",
    "gradient_heat_map",
    "gradient_over_training",
    "hidden_units",
    "losses",
    "sensitivity",
    "trajectories",
]


def losses(
    reports: Sequence[Report], task: Task, *, title: str | None = None, subtitle: str = "", ax: Any = None
) -> "Figure":
    """Training and evaluation loss against the update, with the loss of a predictor that learnt nothing.

    Evaluations are drawn where `rnnexp.train` had `evaluate_on`.
    """
    return loss_figure(_history(reports, task), title=title, subtitle=subtitle, ax=ax)


def gradient_by_lag(
    norms: NormsByLag | Study | Mapping[str, NormsByLag | Study],
    *,
    task: Task | None = None,
    bptt_length: int | None = None,
    relative: bool = False,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
) -> "Figure":
    """||dL_T/dh_{T-lag}|| against the lag on a log scale, one curve each: a straight line falls by its decay rate.

    Parameters
    ----------
    norms : NormsByLag or Study, or a mapping of labels to them
        Norms that are zero or not finite have no place on a log scale, and are left out.
    task : Task, optional
        The lags of the inputs that its last target asks for are marked (`rnnexp.tasks.Task.asked`).
    relative : bool
        Divide each curve by its norm at lag 0, so that the size of the loss does not count.
    """
    curves = norms if isinstance(norms, Mapping) else {"": norms}
    ylabel = f"{NORM} ({'over that at lag 0' if relative else 'log scale'})"
    frame = {"title": title, "subtitle": subtitle, "ax": ax}
    figure, axes = axes_with("Norm of the gradient by lag", LAG, ylabel, integer=True, log=True, **frame)
    longest = 0
    for (label, given), look in zip(curves.items(), looks(), strict=False):
        one = given.norms if isinstance(given, Study) else given
        longest = max(longest, len(one.common) - 1)
        plot_positive(axes, one.common / one.common[0] if relative else one.common, label=label_text(label), **look)
    if bptt_length is not None or task is not None:
        mark_lags(axes, longest, bptt_length=bptt_length, asked=() if task is None else task.asked)
    legend(axes, ax)
    return figure


def gradient_over_training(
    reports: Sequence[Report],
    task: Task,
    *,
    bptt_length: int | None = None,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
) -> "Figure":
    """||dL_T/dh_{T-lag}|| against the lag at the first, middle and last study, with quantiles over the sequences.

    The reports have to be of a training with a `study` that returns a `Study`, as `GradientStudy` does.

    Parameters
    ----------
    ax : sequence of two matplotlib Axes, optional
        For the norms, and for those over the norm at lag 0.
    """
    frame = {"title": title, "subtitle": subtitle, "ax": ax}
    return gradient_plots.norms_figure(_studied(reports, task), bptt_length, **frame)


def gradient_heat_map(
    reports: Sequence[Report],
    task: Task,
    *,
    bptt_length: int | None = None,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
) -> "Figure":
    """log10 of ||dL_T/dh_{T-lag}|| over that at lag 0, as a colour: the update to the right, the lag upwards.

    The reports have to be of a training with a `study`.
    """
    frame = {"title": title, "subtitle": subtitle, "ax": ax}
    return gradient_plots.heat_map(_studied(reports, task), bptt_length, **frame)


def eigenvalues(
    reports: Sequence[Report], task: Task, *, title: str | None = None, subtitle: str = "", ax: Any = None
) -> "Figure":
    """Eigenvalues of the recurrent weights at the first and last study, and the unit circle.

    Of a gated layer they are those of the candidate's weights. Beyond the circle a linear recurrence explodes. The
    reports have to be of a training with a `study`.
    """
    history = _studied(reports, task)
    if not len(history.studies[-1][1].eigenvalues):
        raise InvalidValue("reports", "a layer without recurrent weights", "of a network with such weights")
    return gradient_plots.eigenvalue_figure(history, title=title, subtitle=subtitle, ax=ax)


def hidden_units(
    reports: Sequence[Report], task: Task, *, title: str | None = None, subtitle: str = "", ax: Any = None
) -> "Figure":
    """Distribution of the hidden units, over all steps and sequences, at the first and last study.

    Near -1 and 1, tanh is flat and passes little gradient. The reports have to be of a training with a `study`.
    """
    return gradient_plots.histogram_figure(_studied(reports, task), title=title, subtitle=subtitle, ax=ax)


def figures(
    reports: Sequence[Report],
    task: Task,
    *,
    bptt_length: int | None = None,
    title: str = "",
    ax: Mapping[str, Any] | None = None,
) -> dict[str, "Figure"]:
    """Every figure that the command would put into the run's folder, by file name.

    ``loss.png``, and with studies ``gradient_by_lag.png``, ``eigenvalues.png``, ..., whatever they measured.

    Parameters
    ----------
    title : str
        Of the run: the subtitle of every figure.
    ax : mapping of str to matplotlib Axes, optional
        By the file name of the figure that is drawn into it (two for ``gradient_by_lag.png``); others have their own.
    """
    given: Any = {} if ax is None else ax
    draw = drawings(_history(reports, task), bptt_length)
    if not isinstance(given, Mapping):
        allowed = "a mapping of file names to matplotlib Axes"
        raise InvalidValue("ax", f"a {type(given).__name__}", allowed, "for example {'loss.png': axes}")
    for name in given:
        one_of("a name in ax", name, list(draw))
    return {name: one(subtitle=title, ax=given.get(name)) for name, one in draw.items()}


def _history(reports: Sequence[Report], task: Task) -> History:
    """The reports as curves and studies, as the recorder keeps them."""
    if not reports:
        raise InvalidValue("reports", [], "the reports of a training, at least one", "reports = list(train(...))")
    history = History(task, reports[-1].step)
    for report in reports:
        history.add(report)
    return history


def _studied(reports: Sequence[Report], task: Task) -> History:
    """The same of a training with a study."""
    history = _history(reports, task)
    if not history.studies:
        raise InvalidValue("reports", [], "of a training with a study", "give train study=... with a GradientStudy")
    return history

"""Figures of what `rnnexp.train` and `rnnexp.norms_by_lag` gave: the same that the command draws.

Each function returns a `matplotlib.figure.Figure`. Save it with ``figure.savefig("loss.png")``; in a notebook,
``%matplotlib inline`` shows it below the cell. Without MLflow and Hydra.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnexp.checks import InvalidValue
from rnnexp.gradients import NormsByLag, Study
from rnnexp.history import History
from rnnexp.plot.axes import axes_with, loss_figure
from rnnexp.plot.gradient_plots import LAG, NORM, gradient_figures, looks, norms_figure
from rnnexp.tasks import Task
from rnnexp.training import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figures", "gradient_by_lag", "gradient_over_training", "losses"]


def losses(reports: Sequence[Report], task: Task, *, title: str = "Loss") -> "Figure":
    """Training and evaluation loss against the update, with the loss of a predictor that learnt nothing.

    Parameters
    ----------
    reports : sequence of Report
        All that `rnnexp.train` gave; evaluations are drawn where it had `evaluate_on`.
    task : Task
    title : str

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InvalidValue
        If there are no reports.
    """
    return loss_figure(_history(reports, task), title)


def gradient_by_lag(
    norms: NormsByLag | Study | Mapping[str, NormsByLag | Study],
    *,
    bptt_length: int | None = None,
    title: str = "The gradient on its way back",
) -> "Figure":
    """||dL_T/dh_{T-lag}|| against the lag on a log scale, one curve each: a straight line falls by its decay rate.

    Parameters
    ----------
    norms : NormsByLag or Study, or a mapping of labels to them
        Norms that are zero or not finite have no place on a log scale, and are left out.
    bptt_length : int, optional
        Where training cuts the gradient off.
    title : str

    Returns
    -------
    matplotlib Figure
    """
    curves = norms if isinstance(norms, Mapping) else {"": norms}
    figure, axes = axes_with(title, LAG, f"{NORM} (log scale)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    for (label, given), look in zip(curves.items(), looks(), strict=False):
        one = given.norms if isinstance(given, Study) else given
        lags = np.flatnonzero(one.usable)
        axes.plot(lags, one.common[one.usable], label=label, markevery=max(1, len(lags) // 12), **look)
    if bptt_length is not None:
        axes.axvline(bptt_length - 0.5, color="black", linestyle="-.", linewidth=1.0, label=f"{bptt_length=}")
    axes.set_yscale("log")
    if bptt_length is not None or any(curves):
        axes.legend(frameon=False, fontsize=9)
    return figure


def gradient_over_training(
    reports: Sequence[Report],
    task: Task,
    *,
    bptt_length: int | None = None,
    title: str = "The gradient on its way back, over training",
) -> "Figure":
    """||dL_T/dh_{T-lag}|| against the lag at the first, middle and last study, with quantiles over the sequences.

    Parameters
    ----------
    reports : sequence of Report
        Of a training with a `study` that returns a `Study`, as `GradientStudy` does.
    task : Task
    bptt_length : int, optional
        Where training cuts the gradient off.
    title : str

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InvalidValue
        If no report has a study.
    """
    history = _history(reports, task)
    if not history.studies:
        raise InvalidValue("reports", [], "of a training with a study", "give train study=... with a GradientStudy")
    return norms_figure(history, title, bptt_length)


def figures(
    reports: Sequence[Report], task: Task, *, bptt_length: int | None = None, title: str = ""
) -> dict[str, "Figure"]:
    """Every figure that the command would put into the run's folder, by file name.

    Parameters
    ----------
    reports : sequence of Report
    task : Task
    bptt_length : int, optional
        Where training cuts the gradient off.
    title : str

    Returns
    -------
    dict of str to matplotlib Figure
        ``loss.png``, and with studies ``gradient_by_lag.png``, ``eigenvalues.png``, ... as far as they went.

    Raises
    ------
    InvalidValue
        If there are no reports.
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

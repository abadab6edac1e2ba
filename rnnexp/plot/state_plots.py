"""Figures of what a network does: trajectories with fixed points, sensitivity beside the gradient, a continuation."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.analysis import FixedPoint, FixedPoints, PrincipalComponents, StateTrajectories, principal_components
from rnnexp.checks import InvalidValue
from rnnexp.gradients import NormsByLag, Study
from rnnexp.plot.axes import BLACK, BLUE, MARK, ORANGE, axes_with, label_text, stacked_axes
from rnnexp.plot.gradient_plots import EARLY, LAG, LATE, plot_positive
from rnnexp.plot.legends import legend
from rnnexp.training import Continuation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Marks of a point without, with one and with more unstable directions, and of a slow one.
STABLE = {"marker": "o", "color": BLACK, "markersize": 7}
SADDLES = {"marker": "X", "color": ORANGE, "markeredgecolor": BLACK, "markeredgewidth": 0.6, "markersize": 8}
FURTHER = {"marker": "^", "color": BLUE, "markeredgecolor": BLACK, "markeredgewidth": 0.6, "markersize": 7}
SLOW = {"marker": "o", "color": "white", "markeredgecolor": BLACK, "markersize": 6}


def trajectories(
    states: StateTrajectories,
    points: FixedPoints | None = None,
    *,
    dimensions: int = 2,
    sequences: int = 10,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
) -> "Figure":
    """Trajectories in the plane, or the space, of their leading principal components, with fixed and slow points.

    Lines through saddles with one unstable direction show it. The components are those of all the sequences.

    Parameters
    ----------
    states : StateTrajectories
    points : FixedPoints, optional
        Of the same network.
    dimensions : {2, 3}
    sequences : int
        Trajectories drawn, the first ones.
    ax : matplotlib Axes, optional
        With three dimensions, axes with ``projection="3d"``.
    """
    if dimensions not in (2, 3):
        raise InvalidValue("dimensions", dimensions, "2 or 3")
    components = principal_components(states, dimensions)
    names = [f"PC {at + 1} ({share:.0%})" for at, share in enumerate(components.explained)]
    shows = "States along their principal components"
    figure, axes = axes_with(shows, *names, title=title, subtitle=subtitle, ax=ax)
    for sequence in range(min(sequences, states.values.shape[1])):
        line = components.project(states.values[:, sequence])
        axes.plot(*line.T, color="#999999", linewidth=0.6, alpha=0.7, zorder=1)
    if points is not None:
        draw_points(axes, points, components)
        legend(axes, ax)
    return figure


def draw_points(axes: Any, points: FixedPoints, components: PrincipalComponents) -> None:
    """Mark the points by what they are, and saddles of one unstable direction with it."""
    groups: dict[str, tuple[dict[str, Any], list[FixedPoint]]] = {
        "stable": (STABLE, [point for point in points.fixed if not point.unstable]),
        "1 unstable direction": (SADDLES, [point for point in points.fixed if point.unstable == 1]),
        "2 or more": (FURTHER, [point for point in points.fixed if point.unstable > 1]),
        "slow": (SLOW, [point for point in points if not point.fixed]),
    }
    reach = 0.12 * np.sqrt(components.variances.max())
    for name, (look, group) in groups.items():
        if group:
            at = components.project(np.stack([point.state for point in group]))
            axes.plot(*at.T, linestyle="none", label=f"{name}: {len(group)}", zorder=3, **look)
    for point in groups["1 unstable direction"][1]:
        direction = components.directions @ point.unstable_directions[0]
        ends = components.project(point.state) + reach * np.outer([-3.0, 3.0], direction)
        axes.plot(*ends.T, color=ORANGE, linewidth=2.0, zorder=2)


def sensitivity(
    found: NormsByLag,
    norms: NormsByLag | Study | None = None,
    *,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
) -> "Figure":
    """||dh_T/dh_{T-lag}|| against the lag on a log scale, beside the loss's gradient relative to that at lag 0.

    Parameters
    ----------
    found : NormsByLag
        Of `rnnexp.sensitivity`.
    norms : NormsByLag or Study, optional
        Of `rnnexp.norms_by_lag`, on the same sequences; both are means over the sequences, and 1 at lag 0.
    """
    ylabel, options = "norm, relative to lag 0 (log scale)", {"title": title, "subtitle": subtitle, "ax": ax}
    figure, axes = axes_with("How far back a state matters", LAG, ylabel, integer=True, log=True, **options)
    plot_positive(axes, found.common, label=r"sensitivity, $\|dh_T/dh_{T-\mathrm{lag}}\|$", **LATE)
    if norms is not None:
        each = (norms.norms if isinstance(norms, Study) else norms).per_sequence
        each = each[:, each[0] > 0]
        label = r"gradient, $\|dL_T/dh_{T-\mathrm{lag}}\| / \|dL_T/dh_T\|$"
        plot_positive(axes, NormsByLag(each / each[0]).common, label=label, **EARLY)
    legend(axes, ax)
    return figure


def continuation(series: Continuation, *, title: str | None = None, subtitle: str = "", ax: Any = None) -> "Figure":
    """A series that a network continues by itself, and the true one; the steps of the prompt are shaded.

    Parameters
    ----------
    series : Continuation
        Of `Trained.generate`.
    ax : matplotlib Axes, or a sequence of them, optional
        One for each column of the series, in the order of `series.names`.
    """
    prompt, steps = series.prompt, range(len(series.true))
    shows = f"{len(series.generated)} steps after a prompt of {prompt}"
    labels = [label_text(name) for name in series.names]
    figure, panels = stacked_axes(shows, "step (prompt shaded)", labels, title=title, subtitle=subtitle, ax=ax)
    for index, axes in enumerate(panels):
        axes.plot(steps, series.true[:, index], color=BLACK, linewidth=1.0, label="true")
        axes.plot(
            steps[prompt:], series.generated[:, index], color=ORANGE, linewidth=1.8, linestyle="--", label="network"
        )
        axes.axvspan(-0.5, prompt - 0.5, color=BLACK, alpha=0.06, linewidth=0, gid=MARK)
    legend(panels[0], ax)
    return figure

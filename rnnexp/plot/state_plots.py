"""Figures of what a network's states do: trajectories with fixed points, and sensitivity beside the gradient."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.analysis import FixedPoint, FixedPoints, PrincipalComponents, StateTrajectories, principal_components
from rnnexp.checks import InvalidValue
from rnnexp.gradients import NormsByLag, Study
from rnnexp.plot.axes import BLACK, BLUE, ORANGE, axes_with, legend
from rnnexp.plot.gradient_plots import EARLY, LATE, plot_positive

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
    title: str = "States along their principal components",
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
    """
    if dimensions not in (2, 3):
        raise InvalidValue("dimensions", dimensions, "2 or 3")
    components = principal_components(states, dimensions)
    names = [f"PC {at + 1} ({share:.0%})" for at, share in enumerate(components.explained)]
    figure, axes = axes_with(title, names[0], names[1])
    if dimensions == 3:
        figure.delaxes(axes)
        figure.set_size_inches(6.4, 5.4)
        axes = figure.add_subplot(projection="3d")
        axes.set(title=title, xlabel=names[0], ylabel=names[1], zlabel=names[2])
    for sequence in range(min(sequences, states.values.shape[1])):
        line = components.project(states.values[:, sequence])
        axes.plot(*line.T, color="#999999", linewidth=0.6, alpha=0.7, zorder=1)
    if points is not None:
        draw_points(axes, points, components)
        legend(axes)
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
    found: NormsByLag, norms: NormsByLag | Study | None = None, *, title: str = "How far back a state matters"
) -> "Figure":
    """||dh_T/dh_{T-lag}|| against the lag on a log scale, beside the loss's gradient relative to that at lag 0.

    Parameters
    ----------
    found : NormsByLag
        Of `rnnexp.sensitivity`.
    norms : NormsByLag or Study, optional
        Of `rnnexp.norms_by_lag`, on the same sequences; both are means over the sequences, and 1 at lag 0.
    """
    figure, axes = axes_with(
        title,
        "lag (steps back from the last scored step)",
        "norm, relative to lag 0 (log scale)",
        integer=True,
        log=True,
    )
    plot_positive(axes, found.common, label=r"sensitivity, $\|dh_T/dh_{T-\mathrm{lag}}\|$", **LATE)
    if norms is not None:
        each = (norms.norms if isinstance(norms, Study) else norms).per_sequence
        each = each[:, each[0] > 0]
        label = r"gradient, $\|dL_T/dh_{T-\mathrm{lag}}\| / \|dL_T/dh_T\|$"
        plot_positive(axes, NormsByLag(each / each[0]).common, label=label, **EARLY)
    legend(axes)
    return figure

"""Figures of what the gradient did, from a `History`; all take `title`, `subtitle` and `ax` as `axes_with` does."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.gradients import Study
from rnnexp.history import History, state_label
from rnnexp.plot.axes import (
    BLACK,
    BLUE,
    COLOR_MAP,
    COLOURS,
    GREEN,
    ORANGE,
    axes_with,
    label_text,
    looks,
    mark_lags,
    whole_ticks,
)
from rnnexp.plot.legends import legend
from rnnexp.plot.loss_plot import loss_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORM = r"$\|dL_T/dh_{T-\mathrm{lag}}\|$"
LAG = "lag (steps back from the last scored step)"
Drawing = Callable[..., "Figure"]
#: Line styles of the first and the last study.
EARLY: dict[str, Any] = {"color": ORANGE, "linestyle": ":", "linewidth": 1.6}
LATE: dict[str, Any] = {"color": BLUE, "linestyle": "-", "linewidth": 1.6}


def plot_positive(
    axes: Any, values: NDArray[np.floating], markers: int = 12, *, at: NDArray[np.integer] | None = None, **style: Any
) -> None:
    """Values against `at`, or their index, where they have a logarithm; a marker on so many of them."""
    places = np.flatnonzero(np.isfinite(values) & (values > 0))
    every = max(1, len(places) // markers)
    axes.plot(places if at is None else at[places], values[places], markevery=every, **style)


def first_and_last(history: History) -> Iterator[tuple[Study, str, dict[str, Any]]]:
    """The two studies, each with its label and line style."""
    for (step, study), look in zip([history.studies[0], history.studies[-1]], (EARLY, LATE), strict=True):
        yield study, f"after {step} updates", look


def norms_figure(history: History, bptt_length: int | None = None, **frame: Any) -> "Figure":
    """||dL_T/dh_t|| against the lag at the first, middle and last study, on a log scale, and where training cuts it.

    Beside it the same over the norm at lag 0, and in both the line that is fitted to the last.
    """
    shows, relative = "Norm of the gradient by lag, over training", f"{NORM} over that at lag 0"
    figure, panels = axes_with(shows, LAG, f"{NORM} (log scale)", integer=True, beside=relative, **frame)
    chosen = sorted({0, len(history.studies) // 2, len(history.studies) - 1})
    styles = [(ORANGE, ":", "s"), (GREEN, "--", "^"), (BLUE, "-", "o")][-len(chosen) :]
    for index, (color, dash, marker) in zip(chosen, styles, strict=True):
        step, study = history.studies[index]
        lags = np.flatnonzero(study.norms.usable)
        if not len(lags):
            continue
        look: dict[str, Any] = {"color": color, "linestyle": dash, "marker": marker, "markersize": 4}
        mean = study.norms.common[lags]
        low, high = study.norms.quantiles(0.05, 0.95)[:, lags]
        for axes, unit in zip(panels, (1.0, mean[0] if lags[0] == 0 else np.nan), strict=True):
            plot_positive(axes, study.norms.common / unit, 20, label=f"after {step} updates", **look)
            # A quantile may be zero where the mean is not; the band then ends at the smallest norm shown.
            low = np.maximum(low, mean.min() * 1e-3)
            axes.fill_between(lags, low / unit, high / unit, color=color, alpha=0.15, linewidth=0)
            if index == chosen[-1]:
                label = f"fitted line: {study.norms.decay_rate:+.3f} per step, fit {study.norms.decay_fit:.2f}"
                fitted = study.norms.fitted[: lags[-1] + 1] / unit
                plot_positive(axes, fitted, 1, color=BLACK, linewidth=0.8, label=label)
    longest = max((len(study.norms.lags) - 1 for _, study in history.studies), default=0)
    for axes in panels:
        if axes.lines:
            axes.set_yscale("log")
            _mark(axes, history, longest, bptt_length)
    if panels[0].lines:
        legend(panels[0], frame.get("ax"), title="mean; band: 5 to 95 % of the sequences")
    return figure


def _mark(axes: Any, history: History, longest: int, bptt_length: int | None, along: str = "x") -> None:
    """The window, which is as long at first or on average if it varies, and what the task asks for."""
    varies = "train/bptt_length" in history.curves
    label = "" if varies else f"training cuts off here ({bptt_length=})"
    mark_lags(axes, longest, bptt_length=bptt_length, asked=history.task.asked, label=label, along=along)


def states_figure(history: History, bptt_length: int | None = None, **frame: Any) -> "Figure":
    """The same at the last study for h and each further state: c of an LSTM, the layers of a stack one by one."""
    ylabel = r"$\|dL_T/d\,\mathrm{state}_{T-\mathrm{lag}}\|$ (log scale)"
    figure, axes = axes_with("Norm of the gradient of each state by lag", LAG, ylabel, integer=True, log=True, **frame)
    study = history.studies[-1][1]
    joint = "h" if len(study.others) == 1 else "all layers together"
    for (name, norms), look in zip({joint: study.norms, **study.others}.items(), looks(), strict=False):
        plot_positive(axes, norms.common, label=name if name == joint else label_text(state_label(name)), **look)
    _mark(axes, history, len(study.norms.lags) - 1, bptt_length)
    legend(axes, frame.get("ax"))
    return figure


def window_figure(history: History, **frame: Any) -> "Figure":
    """The truncation window over training, where it is not the same at every update."""
    ylabel = "steps that the gradient goes back (mean)"
    figure, axes = axes_with("Truncation window over training", "parameter updates", ylabel, integer=True, **frame)
    axes.plot(*zip(*history.curves["train/bptt_length"], strict=True), color=BLUE, linewidth=1.6)
    axes.set_ylim(bottom=0, auto=None)
    whole_ticks(axes.yaxis)
    return figure


def heat_map(history: History, bptt_length: int | None = None, **frame: Any) -> "Figure":
    """log10 of the mean norm over that at lag 0, by lag (up) and training step (right)."""
    shows = "Norm of the gradient by lag and update"
    figure, axes = axes_with(shows, "parameter updates", LAG, right=COLOURS, integer=True, **frame)
    lags = max(len(study.norms.common) for _, study in history.studies)
    image = np.full((lags, len(history.studies)), np.nan)
    for column, (_, study) in enumerate(history.studies):
        common = len(study.norms.common)
        image[:common, column] = study.norms.log10_relative[:common]
    steps = np.array([step for step, _ in history.studies], float)
    # A cell has the updates that are nearest to its study; a single study has a width of its own.
    ends = steps[[0, -1]] if len(steps) > 1 else steps[0] + np.array([-0.5, 0.5])
    edges = np.concatenate((ends[:1], (steps[1:] + steps[:-1]) / 2, ends[1:]))
    mesh = axes.pcolormesh(
        edges, np.arange(lags + 1) - 0.5, np.ma.masked_invalid(image), cmap=COLOR_MAP, rasterized=True
    )
    axes.grid(False)
    whole_ticks(axes.yaxis)
    figure.colorbar(mesh, ax=axes, label=r"$\log_{10}$ of the mean norm over that at lag 0")
    _mark(axes, history, lags - 1, bptt_length, along="y")
    legend(axes, frame.get("ax"))
    return figure


def eigenvalue_figure(history: History, **frame: Any) -> "Figure":
    """Eigenvalues of Wh in the complex plane, first and last, against the unit circle."""
    figure, axes = axes_with("Eigenvalues of the recurrent weights", "real part", "imaginary part", **frame)
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color=BLACK, linewidth=1.0, label="unit circle")
    for (study, label, look), marker in zip(first_and_last(history), ("s", "o"), strict=True):
        values = study.eigenvalues[np.isfinite(study.eigenvalues)]
        axes.scatter(values.real, values.imag, s=22, color=look["color"], marker=marker, alpha=0.8, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    legend(axes, frame.get("ax"))
    return figure


def histogram_figure(history: History, **frame: Any) -> "Figure":
    """Histogram of the hidden units at the first and last study."""
    shows = "Distribution of the hidden units"
    figure, axes = axes_with(shows, "hidden unit h", "share of all units and steps", **frame)
    for study, label, look in first_and_last(history):
        counts = study.saturation.counts / max(study.saturation.counts.sum(), 1)
        label += f": {study.saturation.saturated_fraction:.0%} beyond ±0.95"
        axes.stairs(counts, study.saturation.edges, label=label, **{**look, "linewidth": 1.8})
    axes.xaxis.get_major_locator().set_params(nbins=5)  # the labels of more meet in small axes
    legend(axes, frame.get("ax"))
    return figure


def jacobian_figure(history: History, **frame: Any) -> "Figure":
    """Singular values of the step Jacobian along the trajectory at the last study."""
    jacobians = history.studies[-1][1].jacobians
    assert jacobians is not None
    values, steps = jacobians.values, jacobians.steps
    sampled = f" ({len(steps)} of {steps[-1]})" if len(steps) < steps[-1] else ""
    shows, ylabel = "Singular values of the step Jacobians", r"singular values of $dh_t/dh_{t-1}$ (log scale)"
    figure, axes = axes_with(shows, f"step of the sequence{sampled}", ylabel, integer=True, log=True, **frame)
    for label, curve, color, dash in (
        ("largest", values[:, 0], ORANGE, "--"),
        ("median", np.median(values, axis=1), BLUE, "-"),
        ("smallest", values[:, -1], GREEN, ":"),
    ):
        plot_positive(axes, curve, at=steps, color=color, linestyle=dash, linewidth=1.6, label=label)
    axes.axhline(1.0, color=BLACK, linewidth=0.8)
    legend(axes, frame.get("ax"))
    return figure


def lyapunov_figure(history: History, **frame: Any) -> "Figure":
    """Lyapunov exponents of the first and last study, by rank."""
    figure, axes = axes_with("Lyapunov exponents", "rank", "Lyapunov exponent (nats per step)", integer=True, **frame)
    for (study, label, look), marker in zip(first_and_last(history), ("s", "o"), strict=True):
        assert study.lyapunov is not None
        ranks = np.flatnonzero(np.isfinite(study.lyapunov))
        axes.plot(ranks + 1, study.lyapunov[ranks], color=look["color"], marker=marker, markersize=4, label=label)
    axes.axhline(0.0, color=BLACK, linewidth=0.8)
    legend(axes, frame.get("ax"))
    return figure


def split_figure(history: History, bptt_length: int | None = None, **frame: Any) -> "Figure":
    """Norm of each parameter's gradient by lag at the last study."""
    split = history.studies[-1][1].split
    assert split is not None
    thinned = "; beyond 200 in equal ratios" if len(split.lags) <= split.lags[-1] else ""
    xlabel = f"lag (steps between a loss and the step it reached{thinned})"
    figure, axes = axes_with(
        "Gradient of each parameter by lag", xlabel, "norm of the gradient's part", integer=True, log=True, **frame
    )
    for (name, parts), look in zip(split.norms.items(), looks(), strict=False):
        plot_positive(axes, parts, at=split.lags, label=label_text(name.removeprefix("recurrent.")), **look)
    _mark(axes, history, int(split.lags[-1]), bptt_length)
    legend(axes, frame.get("ax"))
    return figure


def total_figure(history: History, **frame: Any) -> "Figure":
    """Norm of the total gradient in each state, of all the losses, at the first and last study."""
    shows, ylabel = "Norm of the gradient by time", r"$\|dL/dh_t\|$, all losses (log scale)"
    figure, axes = axes_with(shows, "step of the sequence", ylabel, integer=True, log=True, **frame)
    for study, label, look in first_and_last(history):
        assert study.total_by_time is not None
        plot_positive(axes, study.total_by_time, label=label, **look)
    legend(axes, frame.get("ax"))
    return figure


def drawings(history: History, bptt_length: int | None) -> dict[str, Drawing]:
    """What draws each figure that there are numbers for, by file name; it takes `title`, `subtitle` and `ax`."""
    found: dict[str, Drawing] = {}
    if history.curves:
        found["loss.png"] = partial(loss_figure, history)
    if not history.studies:
        return found
    last = history.studies[-1][1]
    wanted: dict[str, tuple[object, Drawing]] = {
        "gradient_by_lag.png": (True, partial(norms_figure, history, bptt_length)),
        "gradient_over_training.png": (True, partial(heat_map, history, bptt_length)),
        "hidden_units.png": (True, partial(histogram_figure, history)),
        "eigenvalues.png": (len(last.eigenvalues), partial(eigenvalue_figure, history)),
        "gradient_by_state.png": (last.others, partial(states_figure, history, bptt_length)),
        "bptt_length.png": ("train/bptt_length" in history.curves, partial(window_figure, history)),
        "step_jacobians.png": (last.jacobians is not None, partial(jacobian_figure, history)),
        "lyapunov.png": (last.lyapunov is not None, partial(lyapunov_figure, history)),
        "gradient_by_time.png": (last.total_by_time is not None, partial(total_figure, history)),
        "gradient_split.png": (last.split is not None, partial(split_figure, history, bptt_length)),
    }
    return {**found, **{name: draw for name, (known, draw) in wanted.items() if known}}

"""Figures of what the gradient does. Lines differ in dash and marker too, so that they read in grey print."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnexp.gradients import Study
from rnnexp.history import History, state_label
from rnnexp.plot.axes import BLACK, BLUE, COLOURS, GREEN, ORANGE, axes_with, label_text, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORM = r"$\|dL_T/dh_{T-\mathrm{lag}}\|$"
LAG = "lag (steps back from the last scored step)"
#: Line styles of the first and the last study.
EARLY: dict[str, Any] = {"color": ORANGE, "linestyle": ":", "linewidth": 1.6}
LATE: dict[str, Any] = {"color": BLUE, "linestyle": "-", "linewidth": 1.6}


def looks() -> Iterator[dict[str, Any]]:
    """Line styles that can be told apart in colour and in grey."""
    for dash in itertools.cycle(("-", "--", ":", "-.")):
        for color, marker in ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (BLACK, "v")):
            yield {"color": color, "linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1.6}


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


def norms_figure(history: History, title: str, bptt_length: int | None) -> "Figure":
    """||dL_T/dh_t|| against the lag at the first, middle and last study, on a log scale, and where training cuts it.

    Beside it the same over the norm at lag 0, and in both the line that is fitted to the last.
    """
    figure, panels = axes_with(title, LAG, f"{NORM} (log scale)", integer=True, beside=f"{NORM} over that at lag 0")
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
                plot_positive(axes, study.norms.fitted / unit, 1, color=BLACK, linewidth=0.8, label=label)
    longest = max((len(study.norms.lags) - 1 for _, study in history.studies), default=0)
    for axes in panels:
        if bptt_length is not None and bptt_length <= longest:
            _mark_window(axes, history, bptt_length)
        if axes.lines:
            axes.set_yscale("log")
    if panels[0].lines:
        legend(panels[0], title="mean; band: 5 to 95 % of the sequences", title_fontsize=8)
    return figure


def _mark_window(axes: Any, history: History, bptt_length: int) -> None:
    """A line behind the last lag that the window holds; a varying window is as long at first or on average."""
    label = f"bptt_length = {bptt_length}"
    if "train/bptt_length" not in history.curves:
        label = f"training cuts off here ({label})"
    axes.axvline(bptt_length - 0.5, color=BLACK, linestyle="-.", linewidth=1.0, label=label)


def states_figure(history: History, title: str) -> "Figure":
    """The same at the last study for h and each further state: c of an LSTM, the layers of a stack one by one."""
    figure, axes = axes_with(
        title, LAG, r"$\|dL_T/d\,\mathrm{state}_{T-\mathrm{lag}}\|$ (log scale)", integer=True, log=True
    )
    study = history.studies[-1][1]
    joint = "h" if len(study.others) == 1 else "all layers together"
    for (name, norms), look in zip({joint: study.norms, **study.others}.items(), looks(), strict=False):
        plot_positive(axes, norms.common, label=name if name == joint else label_text(state_label(name)), **look)
    legend(axes)
    return figure


def window_figure(history: History, title: str) -> "Figure":
    """The truncation window over training, where it is not the same at every update."""
    figure, axes = axes_with(title, "parameter updates", "steps that the gradient goes back (mean)")
    axes.plot(*zip(*history.curves["train/bptt_length"], strict=True), color=BLUE, linewidth=1.6)
    axes.set_ylim(bottom=0)
    return figure


def heat_map(history: History, title: str) -> "Figure":
    """log10 of the mean norm over that at lag 0, by lag (up) and training step (right)."""
    figure, axes = axes_with(title, "parameter updates", LAG, right=COLOURS)
    lags = max(len(study.norms.common) for _, study in history.studies)
    image = np.full((lags, len(history.studies)), np.nan)
    for column, (_, study) in enumerate(history.studies):
        common = len(study.norms.common)
        image[:common, column] = study.norms.log10_relative[:common]
    steps = np.array([step for step, _ in history.studies], float)
    # Cells are centred on their step and lag; a single study gets a cell of its own width.
    middles = (steps[1:] + steps[:-1]) / 2
    first, last = (steps[0] - 0.5, steps[0] + 0.5) if len(steps) == 1 else (2 * steps[0] - middles[0], steps[-1])
    edges = np.concatenate(
        ([first], middles, [max(last, steps[-1] + (steps[-1] - middles[-1] if len(middles) else 0))])
    )
    mesh = axes.pcolormesh(
        edges, np.arange(lags + 1) - 0.5, np.ma.masked_invalid(image), cmap="cividis", rasterized=True
    )
    axes.grid(False)
    figure.colorbar(mesh, ax=axes, label=r"$\log_{10}$ of the mean norm over that at lag 0")
    return figure


def eigenvalue_figure(history: History, title: str) -> "Figure":
    """Eigenvalues of Wh in the complex plane, first and last, against the unit circle."""
    figure, axes = axes_with(title, "real part", "imaginary part")
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color=BLACK, linewidth=1.0, label="unit circle")
    for (study, label, look), marker in zip(first_and_last(history), ("s", "o"), strict=True):
        values = study.eigenvalues[np.isfinite(study.eigenvalues)]
        axes.scatter(values.real, values.imag, s=22, color=look["color"], marker=marker, alpha=0.8, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    legend(axes)
    return figure


def histogram_figure(history: History, title: str) -> "Figure":
    """Histogram of the hidden units at the first and last study."""
    figure, axes = axes_with(title, "hidden unit h", "share of all units and steps")
    for study, label, look in first_and_last(history):
        counts = study.saturation.counts / max(study.saturation.counts.sum(), 1)
        label += f": {study.saturation.saturated_fraction:.0%} beyond ±0.95"
        axes.stairs(counts, study.saturation.edges, label=label, **{**look, "linewidth": 1.8})
    legend(axes)
    return figure


def jacobian_figure(history: History, title: str) -> "Figure":
    """Singular values of the step Jacobian along the trajectory at the last study."""
    jacobians = history.studies[-1][1].jacobians
    assert jacobians is not None
    values, steps = jacobians.values, jacobians.steps
    sampled = f" ({len(steps)} of {steps[-1]})" if len(steps) < steps[-1] else ""
    ylabel = "singular values of dh_t/dh_{t-1} (log scale)"
    figure, axes = axes_with(title, f"step of the sequence{sampled}", ylabel, log=True)
    for label, curve, color, dash in (
        ("largest", values[:, 0], ORANGE, "--"),
        ("median", np.median(values, axis=1), BLUE, "-"),
        ("smallest", values[:, -1], GREEN, ":"),
    ):
        plot_positive(axes, curve, at=steps, color=color, linestyle=dash, linewidth=1.6, label=label)
    axes.axhline(1.0, color=BLACK, linewidth=0.8)
    legend(axes)
    return figure


def lyapunov_figure(history: History, title: str) -> "Figure":
    """Lyapunov exponents of the first and last study, by rank."""
    figure, axes = axes_with(title, "rank", "Lyapunov exponent (nats per step)", integer=True)
    for (study, label, look), marker in zip(first_and_last(history), ("s", "o"), strict=True):
        assert study.lyapunov is not None
        ranks = np.flatnonzero(np.isfinite(study.lyapunov))
        axes.plot(ranks + 1, study.lyapunov[ranks], color=look["color"], marker=marker, markersize=4, label=label)
    axes.axhline(0.0, color=BLACK, linewidth=0.8)
    legend(axes)
    return figure


def split_figure(history: History, title: str, bptt_length: int | None) -> "Figure":
    """Norm of each parameter's gradient by lag at the last study."""
    split = history.studies[-1][1].split
    assert split is not None
    thinned = "; beyond 200 in equal ratios" if len(split.lags) <= split.lags[-1] else ""
    figure, axes = axes_with(
        title,
        f"lag (steps between a loss and the step it reached{thinned})",
        "norm of the gradient's part",
        integer=True,
        log=True,
    )
    for (name, parts), look in zip(split.norms.items(), looks(), strict=False):
        plot_positive(axes, parts, at=split.lags, label=label_text(name.removeprefix("recurrent.")), **look)
    if bptt_length is not None and bptt_length <= split.lags[-1]:
        _mark_window(axes, history, bptt_length)
    legend(axes)
    return figure


def total_figure(history: History, title: str) -> "Figure":
    """Norm of the total gradient in each state, of all the losses, at the first and last study."""
    figure, axes = axes_with(
        title, "step of the sequence", r"$\|dL/dh_t\|$, all losses (log scale)", integer=True, log=True
    )
    for study, label, look in first_and_last(history):
        assert study.total_by_time is not None
        plot_positive(axes, study.total_by_time, label=label, **look)
    legend(axes)
    return figure


def gradient_figures(history: History, title: str, bptt_length: int | None) -> dict[str, "Figure"]:
    """Every figure that the studies have numbers for, by file name."""
    if not history.studies:
        return {}
    last = history.studies[-1][1]
    figures = {
        "gradient_by_lag.png": norms_figure(history, title, bptt_length),
        "gradient_over_training.png": heat_map(history, title),
        "hidden_units.png": histogram_figure(history, title),
    }
    if len(last.eigenvalues):
        figures["eigenvalues.png"] = eigenvalue_figure(history, title)
    if last.others:
        figures["gradient_by_state.png"] = states_figure(history, title)
    if "train/bptt_length" in history.curves:
        figures["bptt_length.png"] = window_figure(history, title)
    if last.jacobians is not None:
        figures["step_jacobians.png"] = jacobian_figure(history, title)
    if last.lyapunov is not None:
        figures["lyapunov.png"] = lyapunov_figure(history, title)
    if last.total_by_time is not None:
        figures["gradient_by_time.png"] = total_figure(history, title)
    if last.split is not None:
        figures["gradient_split.png"] = split_figure(history, title, bptt_length)
    return figures

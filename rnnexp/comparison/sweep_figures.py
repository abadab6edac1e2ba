"""The figures that compare many runs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rnnexp.checks import one_line
from rnnexp.comparison.effects import (
    DECAY_FIT,
    DECAY_RATE,
    NULL,
    SEED,
    Level,
    by_level,
    by_levels,
    grouped,
    left_out,
    level_combinations,
    levels,
    metric_label,
    show_level,
    usable_values,
    without_runs,
)
from rnnexp.comparison.influence import explained_variance
from rnnexp.comparison.key_axis import WIDE, KeyAxis
from rnnexp.comparison.shown import spread
from rnnexp.gradients.shape import LINE
from rnnexp.plot.axes import BLACK, BLUE, axes_with, label_text, legend
from rnnexp.plot.gradient_plots import LAG, looks
from rnnexp.process import interruption_pending
from rnnexp.tracking.failures import attempt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = "#777777"
RELATIVE = r"$\log_{10}(\|dL_T/dh_{T-\mathrm{lag}}\|\,/\,\|dL_T/dh_T\|)$"
CROSS = "\N{MULTIPLICATION SIGN}:"
#: Where hollow markers have a meaning of their own: for colours that are repeated.
OTHER_MARKERS = {"o": "D", "s": "P", "^": "X", "v": "*"}
#: Lines that can be distinguished; beyond that only means over the other keys are drawn.
MOST_LINES = 8
MOST_NAMED = 12
#: Keys that get a figure of their own, the largest effect first.
MOST_FIGURES = 12
#: The metric's axis is logarithmic if the largest value is so many times the smallest.
WIDE_METRIC = 100

Pictures = dict[str, tuple["Figure", str]]


def comparison_figures(
    table: pd.DataFrame, curves: Mapping[str, pd.Series], title: str, keys: Sequence[str], metric: str, unit: str
) -> Pictures:
    """Figures and captions by file name; none if no run counts. An interruption that waits cuts them short."""
    values = usable_values(table, metric)
    if not values.notna().any():
        return {}
    ranked = [key for key in explained_variance(table, keys, metric).index if key != SEED]
    stem = metric.rpartition("/")[2]
    names = file_names(ranked[:MOST_FIGURES], stem, ["gradient_by_lag.png", f"{stem}_by_decay_rate.png"])
    figures: Pictures = {}
    for key, name in names.items():
        if interruption_pending():
            return figures
        caption = f"{metric_label(metric, unit)} against {key}."
        with attempt(name):
            figures[name] = (_by_key(table, keys, key, metric, unit, title), caption)
    # Runs of earlier versions have absolute norms; relative ones are 0 at lag 0 already.
    counted = table[values.notna() & table.index.isin(list(curves))]
    settings = level_combinations(counted, [key for key in keys if key != SEED])
    shown, which = spread(values[counted.index], settings, metric)
    drawn = {run: curve - curve.loc[0] for run in shown if 0 in (curve := curves[run])}
    if drawn:
        caption = (
            "log10 of the gradient norm of the last scored loss with respect to each earlier state, over that at lag 0,"
            " after training."
        )
        with attempt("gradient_by_lag.png"):
            figures["gradient_by_lag.png"] = (_by_lag(table, drawn, keys, ranked, metric, title, which), caption)
    rates = usable_values(table, DECAY_RATE)
    if metric != DECAY_RATE and (rates.notna() & values.notna()).any():
        caption = (
            f"{metric_label(metric, unit)} against the gradient's decay rate; each point is a run, hollow where its"
            " curve by lag is not a line."
        )
        name = f"{stem}_by_decay_rate.png"
        with attempt(name):
            figures[name] = (_by_rate(table, rates, values, ranked, metric, unit, title), caption)
    return figures


def _named(keys: Sequence[str], combination: Sequence[Level]) -> str:
    """``key=value`` for each key, by the last part of its name where that is enough; on as many lines as it takes."""
    last = [key.rpartition(".")[2] for key in keys]
    names = [short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)]
    values = [value if isinstance(value, str) else f"{value:.6g}" for value in combination]
    named = [one_line(f"{name}={value}", 40) for name, value in zip(names, values, strict=False)]
    return label_text(", ".join(named), wrap=44, width=2000)


def _by_key(table: pd.DataFrame, keys: Sequence[str], key: str, metric: str, unit: str, title: str) -> "Figure":
    """The metric against one key: means with their intervals, a line for each combination of the other keys."""
    counted = table[usable_values(table, metric).notna()]
    others = [other for other in keys if other not in (key, SEED)]
    pooled = len(set(level_combinations(counted, others))) > MOST_LINES
    of_run = level_combinations(counted, [] if pooled else others)
    lines = sorted(set(of_run), key=by_levels)
    axis, lost = KeyAxis.of(levels(table, key)), without_runs(table, key, metric)
    figure, axes = axes_with(title, label_text(key), label_text(metric_label(metric, unit), 90), fitted=True)
    values = usable_values(counted, metric)
    log = values.min() > 0 and values.max() / values.min() > WIDE_METRIC
    lowest = float(values.min()) / 2 if log else -np.inf  # where a bound below zero has no place
    known = cut = False
    for index, (combination, look) in enumerate(zip(lines, _looks(), strict=False)):
        shift = 0.0 if axis.numeric else min(0.08, 0.6 / len(lines)) * (index - (len(lines) - 1) / 2)
        own = counted[[found == combination for found in of_run]]
        places = [axis.positions[value] + shift for value in levels(own, key)]
        style = {"color": look["color"], "marker": look["marker"], "alpha": 0.3, "linewidths": 0}
        axes.scatter(places, values[own.index], s=14, **style)
        means = grouped(own, [key], metric)
        known |= bool(means["low"].notna().any())
        cut |= bool((means["low"] < lowest).any())
        _line(axes, means, axis, shift, lowest, look, _named(others, combination))
    axis.apply(axes)
    if log:
        axes.set_yscale("log")
        if cut:  # at the axis itself, so that it looks like what it is
            axes.set_ylim(bottom=lowest)
    else:
        cut = _limit(axes, values)
    places = [axis.positions[value] for value in lost]
    axes.plot(places, [0.97] * len(lost), "x", color=BLACK, transform=axes.get_xaxis_transform())
    _legend(figure, axes)
    _note(
        figure,
        f"Means of the runs (faint), 95 % intervals (Student's t){'; some reach beyond the axis' if cut else ''}."
        if known
        else "One run per point, hence no intervals.",
        f"Over all settings of the other keys: {', '.join(others)}." if pooled else "",
        left_out(table, metric),
        f"{CROSS} all runs there were left out." if lost else "",
    )
    return figure


def _limit(axes: Any, values: pd.Series) -> bool:
    """Limit the y axis where few runs have wide intervals; whether any interval is cut off."""
    low, high = axes.get_ylim()
    room = 0.6 * float(values.max() - values.min())
    bottom, top = (max(low, float(values.min()) - room), min(high, float(values.max()) + room)) if room else (low, high)
    if values.min() >= 0:  # neither losses nor shares can be less
        bottom = max(bottom, -0.03 * top)
    axes.set_ylim(bottom, top)
    return (bottom, top) != (low, high)


def _line(
    axes: Any, means: pd.DataFrame, axis: KeyAxis, shift: float, lowest: float, look: Mapping[str, Any], label: str
) -> None:
    """Means joined by a line, their intervals as a band along numbers and as bars elsewhere."""
    key = means.columns[0]
    places = np.array([axis.positions[value] + shift for value in levels(means, key)])
    joined = np.array([not axis.numeric or value != NULL for value in levels(means, key)])
    mean, low, high = (means[name].to_numpy(float) for name in ("mean", "low", "high"))
    low = np.maximum(low, lowest)
    width = look["linewidth"] if axis.numeric else 0.8
    axes.plot(places[joined], mean[joined], label=label, **{**look, "linewidth": width})
    known = np.isfinite(low)
    # A band needs two neighbours; NaN ends it where a mean has no interval.
    own = known[joined]
    beside = own & (np.append(own[1:], False) | np.append(False, own[:-1]))
    banded = np.zeros(len(places), bool)
    banded[joined] = beside & axis.numeric
    if banded.any():
        axes.fill_between(places[joined], low[joined], high[joined], color=look["color"], alpha=0.15, linewidth=0)
    barred = known & ~banded
    if barred.any():
        error = np.maximum([mean[barred] - low[barred], high[barred] - mean[barred]], 0)
        axes.errorbar(places[barred], mean[barred], error, fmt="none", ecolor=look["color"], elinewidth=1, capsize=3)
    axes.plot(places[~joined], mean[~joined], **{**look, "linestyle": "none"})


def _looks() -> Iterator[dict[str, Any]]:
    """`looks`, with hollow markers where a colour is repeated."""
    for look in looks():
        yield {**look, "markerfacecolor": look["color"] if look["linestyle"] == "-" else "white"}


def _legend(figure: "Figure", axes: Any, title: str | None = None) -> None:
    """Beside the axes if it is long; none for a single line."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 3:
        figure.set_size_inches(9.0, 4.4)
        options = {"frameon": False, "fontsize": 8, "title": title, "title_fontsize": 8}
        figure.legend(handles, labels, loc="outside right upper", **options)
    elif len(handles) > 1:
        legend(axes, title=title, title_fontsize=8)


def _note(figure: "Figure", *sentences: str) -> None:
    """Sentences in small print below the figure."""
    if text := "  ".join(sentence for sentence in sentences if sentence):
        figure.supxlabel(label_text(text, 240, wrap=110), fontsize=8, color=GREY)


def _by_lag(
    table: pd.DataFrame,
    curves: Mapping[str, pd.Series],
    keys: Sequence[str],
    ranked: Sequence[str],
    metric: str,
    title: str,
    which: str,
) -> "Figure":
    """Mean of log10 of the norm by lag over that at lag 0, a curve for each combination of the keys."""
    figure, axes = axes_with(title, LAG, RELATIVE, integer=True, fitted=True)
    own = table.loc[list(curves)]
    settings = [key for key in keys if key != SEED]
    members: dict[tuple[Level, ...], list[str]] = {}
    for run, combination in zip(curves, level_combinations(own, settings), strict=True):
        members.setdefault(combination, []).append(run)
    means: dict[tuple[Level, ...], pd.Series] = {}
    ends = False
    for combination in sorted(members, key=by_levels):
        both = pd.concat([curves[run] for run in members[combination]], axis=1).sort_index()
        # Where the gradient of some runs is zero, the mean of the others would mislead.
        means[combination] = (both.dropna() if both.notna().all(axis=1).any() else both).mean(axis=1)
        ends |= len(means[combination]) < max(len(curve) for curve in curves.values())
    if len(means) <= MOST_NAMED:
        for (combination, mean), look in zip(means.items(), _looks(), strict=False):
            label = _named(settings, combination) if settings else "mean of all runs"
            axes.plot(mean.index, mean, label=label, markevery=max(1, len(mean) // 15), **look)
        _legend(figure, axes)
    else:
        _many_curves(figure, axes, means, settings, ranked)
    _note(
        figure,
        f"Mean over the runs{' of each setting' if settings else ''}"
        f"{', up to the last lag at which none of their gradients is zero' if ends else ''}.",
        which,
        left_out(table, metric),
    )
    return figure


def _many_curves(
    figure: "Figure",
    axes: Any,
    means: Mapping[tuple[Level, ...], pd.Series],
    settings: Sequence[str],
    ranked: Sequence[str],
) -> None:
    """More curves than a legend can list: coloured by the number with the largest effect."""
    found = {key: [combination[settings.index(key)] for combination in means] for key in ranked}
    key = next((key for key in ranked if sum(not isinstance(value, str) for value in set(found[key])) > 1), None)
    shown = found[key] if key is not None else [NULL] * len(means)
    color = _colors(figure, axes, key, [float(v) for v in shown if not isinstance(v, str)]) if key is not None else None
    for value, mean in zip(shown, means.values(), strict=True):
        paint = GREY if color is None or isinstance(value, str) else color(float(value))
        # A line of one point can't be seen.
        axes.plot(mean.index, mean, color=paint, linewidth=0.9, alpha=0.8, marker="o" if len(mean) == 1 else "")
    if key is not None and any(isinstance(value, str) for value in shown):
        axes.plot([], [], color=GREY, label=f"{label_text(key)}: no number")
        legend(axes)


def _colors(figure: "Figure", axes: Any, key: str, numbers: Sequence[float]) -> Any:
    """A colour by number, with its bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    low, high = min(numbers), max(numbers)
    norm = LogNorm(low, high) if low > 0 and high / low > WIDE else Normalize(low, high)
    scale = ScalarMappable(norm, "cividis")
    figure.colorbar(scale, ax=axes, label=label_text(key))
    return scale.to_rgba


def _by_rate(
    table: pd.DataFrame, rates: pd.Series, values: pd.Series, ranked: Sequence[str], metric: str, unit: str, title: str
) -> "Figure":
    """The metric against the gradient's decay rate, one point a run."""
    label = "gradient's decay rate (slope of ln norm per step back)"
    figure, axes = axes_with(title, label, label_text(metric_label(metric, unit), 90), fitted=True)
    both = rates.notna() & values.notna()
    without = int((values.notna() & ~both).sum())
    rates, values, lines = rates[both], values[both], usable_values(table, DECAY_FIT)[both] >= LINE
    key = ranked[0] if ranked else None
    column = levels(table[both], key) if key is not None else []
    kinds = sorted(set(column), key=by_level)
    if key is not None and 1 < len(kinds) <= MOST_LINES:
        for kind, look in zip(kinds, looks(), strict=False):
            own = [value == kind for value in column]
            marker = look["marker"] if look["linestyle"] == "-" else OTHER_MARKERS[look["marker"]]
            style = {"color": look["color"], "marker": marker, "s": 26, "alpha": 0.8}
            axes.scatter([], [], label=label_text(show_level(kind) or "-"), **style)
            _filled_if_line(axes, rates[own], values[own], lines[own], **style)
        _legend(figure, axes, label_text(key))
    else:
        _filled_if_line(axes, rates, values, lines, s=22, color=BLUE, alpha=0.7)
    low, high = min(0.0, float(rates.min())), max(0.0, float(rates.max()))
    room = 0.2 * (high - low) or 0.1
    axes.set_xlim(low - room, high + room)
    axes.margins(y=0.15)
    axes.axvline(0.0, color=BLACK, linewidth=1.0, linestyle="--")
    for text, side in (("line falls ", "right"), (" line rises", "left")):
        axes.text(0.0, 0.02, text, transform=axes.get_xaxis_transform(), ha=side, va="bottom", fontsize=9, color=GREY)
    if values.min() > 0 and values.max() / values.min() > WIDE_METRIC:
        axes.set_yscale("log")
    missing = f"{without} of the included runs have no decay rate." if without else ""
    hollow = f"Hollow: the curve by lag is not a line (decay_fit below {LINE})." if not lines.all() else ""
    _note(figure, hollow, missing, left_out(table, metric))
    return figure


def _filled_if_line(axes: Any, rates: pd.Series, values: pd.Series, lines: pd.Series, **style: Any) -> None:
    """Points, hollow where the curve that the rate was fitted to is not a line."""
    axes.scatter(rates[lines], values[lines], **style)
    axes.scatter(rates[~lines], values[~lines], facecolors="white", edgecolors=style.pop("color"), **style)


def file_names(keys: Sequence[str], stem: str, taken: Sequence[str]) -> dict[str, str]:
    """A file name by key, safe on every system and not among those taken."""
    names: dict[str, str] = {}
    for key in keys:
        base = f"{stem}_by_{re.sub(r'[^A-Za-z0-9._-]+', '_', key)[:80]}"
        used = {name.lower() for name in (*taken, *names.values())}
        tries = (f"{base}{suffix}.png" for suffix in ("", *(f"_{number}" for number in range(2, len(used) + 3))))
        names[key] = next(name for name in tries if name.lower() not in used)
    return names

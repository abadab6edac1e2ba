"""The metric of many runs against a key, against a measure of the gradient, and of all of them from best to worst."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rnnexp.comparison.compared import ComparedRuns, Setting, axes_of, by_setting, finish, heading
from rnnexp.comparison.effects import (
    DECAY_FIT,
    FEWEST,
    MEDIAN,
    Average,
    Level,
    grouped,
    level_combinations,
    levels,
    usable_values,
    without_runs,
)
from rnnexp.comparison.key_axis import KeyAxis
from rnnexp.comparison.styles import GREY, Looks
from rnnexp.gradients.shape import LINE
from rnnexp.plot.axes import BLACK, label_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CROSS = "\N{MULTIPLICATION SIGN}:"
#: Settings of the first two keys that can be told apart in one pair of axes.
MOST_SETTINGS = 24
#: Runs at one place from which on they are spread by rank, where the axis has room for it.
CROWDED = 10


def by_key(sweep: ComparedRuns, key: str) -> "Figure":
    """The metric against one key: every run, and from three on their average and interval."""
    axis, lost = KeyAxis.of(levels(sweep.table, key)), without_runs(sweep.table, key, sweep.metric)
    panels = sweep.panels(sweep.counted, key)
    inside, pairs = axes_of(sweep, f"{heading(sweep)} by {label_text(key)}", label_text(key), sweep.label, panels)
    of_run, told = sweep.settings(sweep.counted, MOST_SETTINGS, key)
    pooled = sweep.pooled([key, panels.key, *told])
    drawn = sorted(set(of_run), key=by_setting)
    step = min(0.25, 0.7 / len(drawn))
    intervals = False
    for axes, panel in zip(pairs, panels.values, strict=True):
        for index, setting in enumerate(drawn):
            mine = [own == setting and place == panel for own, place in zip(of_run, panels.of_row, strict=True)]
            rows, shift = sweep.counted[mine], step * (index - (len(drawn) - 1) / 2)
            if len(rows):
                comparable = _comparable(rows, key, pooled)
                intervals |= _points(axes, sweep, rows, key, axis, setting, (shift, step), averaged=comparable)
                if axis.numeric and comparable:
                    _join(axes, sweep, rows, key, axis, setting, shift)
        axis.apply(axes, 70 if len(pairs) == 1 else 40)
        axes.plot(axis.places(lost), [0.97] * len(lost), "x", color=BLACK, transform=axes.get_xaxis_transform())
    cut = _scale(sweep, pairs[0])
    notes = [
        _explained(sweep.average) + " Interval cut at the axis." * cut if intervals else "Each point is a run.",
        f"Over all settings of {', '.join(pooled)}." if pooled else "",
        f"{CROSS} all runs there were left out." if lost else "",
    ]
    return finish(sweep, inside, pairs, told, notes, lines=False)


def _explained(average: Average) -> str:
    """What large points and bars are."""
    return f"Small: runs. Large, from {FEWEST} runs on: their {average.in_words}."


def _points(
    axes: Any,
    sweep: ComparedRuns,
    rows: pd.DataFrame,
    key: str,
    axis: KeyAxis,
    setting: Setting,
    beside: tuple[float, float],
    *,
    averaged: bool,
) -> bool:
    """Draw a setting's runs, small where an average with its interval stands beside them; whether one does."""
    looks, (shift, step) = sweep.looks, beside
    columns = {"value": levels(rows, key), "y": sweep.values[rows.index].to_numpy()}
    runs = pd.DataFrame(columns).sort_values("y", kind="stable")
    runs["many"] = runs.groupby("value", sort=False)["y"].transform("size")
    runs["x"] = axis.places(list(runs["value"]), shift)
    if not axis.numeric:
        for _, crowd in runs[runs["many"] >= CROWDED].groupby("value", sort=False):
            runs.loc[crowd.index, "x"] += np.linspace(-0.4, 0.4, len(crowd)) * step
    means = grouped(rows, [key], sweep.metric)
    means["x"] = axis.places(levels(means, key), shift)
    means = means[(means["n"] >= FEWEST) & averaged]
    for values, small, table, y in (
        (list(runs["value"]), (runs["many"] >= FEWEST) & averaged, runs, "y"),
        (levels(means, key), pd.Series(False, means.index), means, sweep.average.centre),
    ):
        of_point = [_with(looks, setting, key, value) for value in values]
        markers, colors = np.array([looks.marker(*one) for one in of_point]), [looks.color(one[0]) for one in of_point]
        for marker in dict.fromkeys(markers):
            for faint in (True, False):
                mine = np.flatnonzero((markers == marker) & (small.to_numpy() == faint))
                if len(mine):
                    size = {"s": 11, "alpha": 0.45} if faint else {"s": 30, "alpha": 1.0}
                    look = {**size, "marker": marker, "linewidths": 0, "zorder": 2 if faint else 4}
                    axes.scatter(table["x"].iloc[mine], table[y].iloc[mine], color=[colors[at] for at in mine], **look)
    if len(means):
        colors = [looks.color(_with(looks, setting, key, value)[0]) for value in levels(means, key)]
        ends = (means[sweep.average.low], means[sweep.average.high])
        axes.vlines(means["x"], *ends, colors=colors, linewidth=1.3, zorder=3)
    return bool(len(means))


def _with(looks: Looks, setting: Setting, key: str, value: Level) -> Setting:
    """The setting with this value of the key on the axis, if it has a look."""
    first, second = setting
    return (value if key == looks.color_key else first, value if key == looks.marker_key else second)


def _comparable(rows: pd.DataFrame, key: str, pooled: Sequence[str]) -> bool:
    """Whether the runs along a key have much the same settings of the keys that are averaged over."""
    settings: dict[Level, set[tuple[Level, ...]]] = {}
    for value, setting in zip(levels(rows, key), level_combinations(rows, pooled), strict=True):
        settings.setdefault(value, set()).add(setting)
    every = set().union(*settings.values())
    return float(np.mean([len(own) for own in settings.values()])) >= 0.5 * len(every)


def _join(
    axes: Any, sweep: ComparedRuns, rows: pd.DataFrame, key: str, axis: KeyAxis, setting: Setting, shift: float
) -> None:
    """A line through the averages, numbers only: `null` is not on their scale."""
    means = grouped(rows, [key], sweep.metric)
    values = [value for value in levels(means, key) if not isinstance(value, str)]
    look = {"color": GREY if key == sweep.looks.color_key else sweep.looks.color(setting[0]), "zorder": 1}
    look["linestyle"] = sweep.looks.dash(*setting)
    centres = means[sweep.average.centre].to_numpy()[: len(values)]
    axes.plot(axis.places(values, shift), centres, linewidth=1.1, alpha=0.8, **look)


def _scale(sweep: ComparedRuns, axes: Any) -> bool:
    """Scale the axis of the metric; whether the interval of few runs, far wider than they spread, is cut off by it."""
    values = sweep.values
    if sweep.average is MEDIAN and values.min() > 0:
        axes.set_yscale("log")
        return False
    low, high = axes.get_ylim()
    room = 0.6 * float(values.max() - values.min())
    bottom, top = (max(low, float(values.min()) - room), min(high, float(values.max()) + room)) if room else (low, high)
    if values.min() >= 0:  # neither losses nor shares can be less
        bottom = max(bottom, -0.03 * top)
    axes.set_ylim(bottom, top)
    return (bottom, top) != (low, high)


def of_all(sweep: ComparedRuns) -> "Figure":
    """The metric of all runs from the smallest to the largest, where nothing but the seed differs."""
    title = f"{heading(sweep)} of {len(sweep.values)} runs"
    inside, (axes,) = axes_of(sweep, title, "runs, from the smallest to the largest", sweep.label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.scatter(range(1, len(sweep.values) + 1), sorted(sweep.values), s=14, color=BLACK, linewidths=0)
    (means,) = grouped(sweep.counted, [], sweep.metric).to_dict("records")
    if shown := means["n"] >= FEWEST:
        axes.axhline(means[sweep.average.centre], color=GREY, linewidth=1.2)
        axes.axhspan(means[sweep.average.low], means[sweep.average.high], color=GREY, alpha=0.2, linewidth=0)
    cut = _scale(sweep, axes)
    notes = f"Line and band: {sweep.average.in_words}.{' Cut at the axis.' if cut else ''}" if shown else ""
    return finish(sweep, inside, [axes], [], [notes], lines=False)


def by_rate(sweep: ComparedRuns, rates: pd.Series) -> "Figure":
    """The metric against the gradient's decay rate, one point a run, hollow where its curve is not a line."""
    label = "gradient's decay rate (slope of ln norm per step back; above 0 it rises)"
    lines = usable_values(sweep.counted, DECAY_FIT) >= LINE
    notes = [f"Hollow: the curve by lag is not a line (decay_fit below {LINE})."]
    return _against(sweep, rates, "decay rate", label, lines, notes)


def by_alignment(sweep: ComparedRuns, alignments: pd.Series) -> "Figure":
    """The metric against the alignment of training's gradient, one point a run."""
    label = "alignment (cosine of training's gradient with the full one)"
    return _against(sweep, alignments, "alignment", label, alignments.notna(), [])


def _against(
    sweep: ComparedRuns, measured: pd.Series, name: str, label: str, filled: pd.Series, hollow: list[str]
) -> "Figure":
    """The metric against what was measured of the gradient, a line at 0; `hollow` explains the points not `filled`."""
    inside, (axes,) = axes_of(sweep, f"{heading(sweep)} against the gradient's {name}", label, sweep.label)
    measured = measured.dropna()
    rows, values, filled = sweep.counted.loc[measured.index], sweep.values[measured.index], filled[measured.index]
    of_run, told = sweep.settings(rows, MOST_SETTINGS if sweep.looks.scale is None else len(rows))
    markers = np.array([sweep.looks.marker(*setting) for setting in of_run])
    colors = [sweep.looks.color(first) for first, _ in of_run]
    for marker in dict.fromkeys(markers):
        for solid in (True, False):
            mine = np.flatnonzero((markers == marker) & (filled == solid).to_numpy())
            if len(mine):
                edges = [colors[at] for at in mine]
                look = {"edgecolors": edges, "facecolors": edges if solid else "white", "marker": marker, "s": 24}
                axes.scatter(measured.iloc[mine], values.iloc[mine], **look)
    low, high = min(0.0, float(measured.min())), max(0.0, float(measured.max()))
    room = 0.05 * (high - low) or 0.1
    axes.set_xlim(low - room, high + room)
    axes.axvline(0.0, color=BLACK, linewidth=0.8, linestyle="--")
    _scale(sweep, axes)
    missing = len(sweep.values) - len(measured)
    notes = [*([] if filled.all() else hollow), f"{missing} of the included runs have no {name}." if missing else ""]
    return finish(sweep, inside, [axes], told, notes, lines=False)

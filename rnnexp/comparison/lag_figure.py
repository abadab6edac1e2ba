"""The gradient's norm by lag of many runs, all curves from the same height."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rnnexp.comparison.compared import ComparedRuns, Setting, axes_of, by_setting, finish
from rnnexp.comparison.effects import FEWEST, NULL, Level, levels
from rnnexp.comparison.styles import GREY, Looks
from rnnexp.plot.gradient_plots import LAG

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RELATIVE = r"$\log_{10}(\|dL_T/dh_{T-\mathrm{lag}}\|\,/\,\|dL_T/dh_T\|)$"
#: Settings whose curves can be told apart, and those whose bands can.
MOST_SETTINGS, MOST_BANDS = 24, 6
#: By task: the setting from which the lag of the input follows that the last target asks for (the nearer one of xor),
#: and how far beyond it that lies. Tasks whose input lies anywhere within bounds are not among them.
ASKED = {
    **dict.fromkeys(("recall", "echo", "xor"), ("task.lag", 0)),
    "long_lag": ("task.lag", -1),
    "copying": ("task.length", 10),
    "random_permutation": ("task.length", -1),
}
#: Different lags that are marked in one pair of axes.
MOST_MARKS = 8


def by_lag(sweep: ComparedRuns, curves: Mapping[str, pd.Series], which: str) -> "Figure":
    """log10 of the norm by lag over that at lag 0: the median of each setting's runs, all from the same height."""
    looks, rows = sweep.looks, sweep.counted.loc[list(curves)]
    panels = sweep.panels(rows)
    inside, pairs = axes_of(sweep, "The gradient on its way back, after training", LAG, RELATIVE, panels)
    of_run, told = sweep.settings(rows, MOST_SETTINGS if looks.scale is None else len(rows))
    pooled = sweep.pooled([panels.key, *told])
    longest = max(int(curve.index.max()) for curve in curves.values())
    marks: dict[str, Any] = {}
    ends = banded = crowded = several = False
    for axes, panel in zip(pairs, panels.values, strict=True):
        members: dict[Setting, list[str]] = {}
        for run, setting, place in zip(curves, of_run, panels.of_row, strict=True):
            if place == panel:
                members.setdefault(setting, []).append(run)
        for setting in sorted(members, key=by_setting):
            both = pd.concat([curves[run] for run in members[setting]], axis=1).sort_index()
            if pooled and both.notna().all(axis=1).any():
                both = both.dropna()  # as far as all go, some of which may have shorter sequences
            # Else what a run lacks are zeros, which have no logarithm but are the smallest of all.
            median = both.fillna(-math.inf).median(axis=1)
            median = median[np.isfinite(median)]
            look = {"color": looks.color(setting[0]), "linestyle": looks.dash(*setting), "linewidth": 1.5}
            marker = looks.marker(*setting) if len(looks.places) > 1 else "o" if len(median) == 1 else ""
            axes.plot(median.index, median, marker=marker, markersize=4, markevery=max(1, len(median) // 10), **look)
            several |= both.shape[1] > 1
            if both.shape[1] >= FEWEST and len(members) > MOST_BANDS:
                crowded = True
            elif both.shape[1] >= FEWEST:
                banded = True
                filled = both.fillna(both.min(axis=None)).loc[median.index]
                edges = (filled.quantile(0.25, axis=1), filled.quantile(0.75, axis=1))
                axes.fill_between(median.index, *edges, color=look["color"], alpha=0.15, linewidth=0)
            ends |= len(median) < longest + 1
        axes.xaxis.get_major_locator().set_params(integer=True)
        marks |= _mark(axes, looks, rows[[place == panel for place in panels.of_row]], longest)
    bands = "; band: the quartiles" if banded else f"; no bands of more than {MOST_BANDS} curves" if crowded else ""
    notes = [
        f"Median of the runs{' of each setting' if told else ''}{bands}." if several else "",
        "A curve ends where a sequence does, or where the gradient is zero." if ends and several else "",
        f"Over all settings of {', '.join(pooled)}." if pooled else "",
        which,
    ]
    return finish(sweep, inside, pairs, told, notes, list(marks.values()), lines=True)


def _mark(axes: Any, looks: Looks, rows: pd.DataFrame, longest: int) -> dict[str, Any]:
    """Mark where the window ends and what is asked for, if all runs of a colour or a marker agree; legend entries."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    dash: Any
    asked = {ASKED[str(task)] for task in levels(rows, "task") if task in ASKED}
    (key, beyond), *others = asked or {("", 0)}
    follows = f": {key}{f' {beyond:+d}' if beyond else ''}" if asked and not others else ""
    for meaning, before, dash, lags in (
        ("the window ends: bptt_length", 0.5, "-.", _window_ends(rows)),
        (f"the input asked for{follows}", 0.0, ":", _asked(rows)),
    ):
        for by in (None, looks.color_key, looks.marker_key):
            values = levels(rows, by) if by is not None else [None] * len(rows)
            marked = {pair for pair in zip(values, lags, strict=True) if pair[1] <= longest}  # NaN is not
            if len(set(zip(values, map(str, lags), strict=True))) == len(set(values)):
                break
        else:
            continue
        if not marked or len(marked) > MOST_MARKS:
            continue
        for value, lag in marked:
            color = looks.color(value) if by == looks.color_key is not None else GREY
            axes.axvline(lag, color=color, linestyle=dash, linewidth=1.0, zorder=1)
            if by == looks.marker_key is not None:
                at = {"transform": axes.get_xaxis_transform(), "clip_on": False, "markersize": 5}
                axes.plot([lag], [0.0], marker=looks.marker(None, value), color=GREY, **at)
        label = f"{meaning}{f' = {lags[0] + before:g}' if len(set(lags)) == 1 else ''}"
        entries[dash] = Line2D([], [], color=GREY, linestyle=dash, linewidth=1.0, label=label)
    return entries


def _window_ends(rows: pd.DataFrame) -> list[float]:
    """Behind the last lag that each run's window holds; NaN where it has none of one length."""
    windowed = (algorithm in ("bptt", NULL) for algorithm in levels(rows, "algorithm"))
    return [
        _number(value) - 0.5 if own else math.nan
        for value, own in zip(levels(rows, "bptt_length"), windowed, strict=True)
    ]


def _asked(rows: pd.DataFrame) -> list[float]:
    """The lag of the input that each run's task asks for; NaN where no setting says it."""
    known = {key: levels(rows, key) for key, _ in ASKED.values()}
    found = []
    for place, task in enumerate(levels(rows, "task")):
        key, beyond = ASKED.get(str(task), ("task.lag", math.nan))
        found.append(_number(known[key][place]) + beyond)
    return found


def _number(value: Level) -> float:
    return math.nan if isinstance(value, str) else float(value)

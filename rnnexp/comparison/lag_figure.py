"""The gradient's norm by lag of many runs, all curves from the same height."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rnnexp.comparison.compared import ComparedRuns, Setting, axes_of, by_setting, finish
from rnnexp.comparison.effects import FEWEST, NULL, Level, levels
from rnnexp.comparison.styles import GREY, Looks
from rnnexp.plot.axes import asked_label, asked_within, bar_of_lags
from rnnexp.plot.gradient_plots import LAG
from rnnexp.records import ASKED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RELATIVE = r"$\log_{10}(\|dL_T/dh_{T-\mathrm{lag}}\|\,/\,\|dL_T/dh_T\|)$"
#: Settings whose curves can be told apart, and those whose bands can.
MOST_SETTINGS, MOST_BANDS = 24, 6
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
    windows = [_window_end(*row) for row in zip(levels(rows, "bptt_length"), levels(rows, "algorithm"), strict=True)]
    asked = [_asked(text, longest) for text in levels(rows, ASKED)]
    of_run: Any
    for dash, meaning, of_run in (("-.", "the window ends: bptt_length", windows), (":", "asked inputs", asked)):
        for by in (None, looks.color_key, looks.marker_key):
            values = levels(rows, by) if by is not None else [None] * len(rows)
            spans = dict(zip(values, of_run, strict=True))
            if all(spans[value] == own for value, own in zip(values, of_run, strict=True)):
                break
        else:
            continue
        marked = [(value, *span) for value, own in spans.items() for span in own if span[0] <= longest]
        if not marked or len(marked) > MOST_MARKS:
            continue
        bars = 0
        for value, low, high in marked:
            color = looks.color(value) if by == looks.color_key is not None else GREY
            look = {"marker": looks.marker(None, value)} if by == looks.marker_key is not None else {}
            if low < high:
                bar_of_lags(axes, low, high, bars, color=color, **look)
                bars += 1
                continue
            axes.axvline(low, color=color, linestyle=dash, linewidth=1.0, zorder=1)
            if look:
                at = {"transform": axes.get_xaxis_transform(), "clip_on": False, "markersize": 5}
                axes.plot([low], [0.0], color=GREY, **at, **look)
        label = meaning
        if by is None:  # the same for all
            label = asked_label(spans[None]) if of_run is asked else f"{meaning} = {marked[0][1] + 0.5:g}"
        style = {"linewidth": 3.5} if bars == len(marked) else {"linestyle": dash, "linewidth": 1.0}
        entries[meaning] = Line2D([], [], color=GREY, label=label, **style)
    return entries


def _window_end(length: Level, algorithm: Level) -> list[tuple[float, float]]:
    """Behind the last lag that a run's window holds; nothing where it has none of one length."""
    return [] if isinstance(length, str) or algorithm not in ("bptt", NULL) else [(length - 0.5, length - 0.5)]


def _asked(text: Level, longest: int) -> list[tuple[int, int]]:
    """The bounds of what a run's task asks for; none where it is the whole past, or an earlier version recorded it."""
    return [] if text in ("", NULL) else asked_within(json.loads(str(text)), longest)

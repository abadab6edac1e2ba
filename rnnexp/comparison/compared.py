"""The runs of a sweep as its figures show them, and the figures' frame: titles, panels, legend and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from rnnexp.comparison.effects import (
    SEED,
    Average,
    Level,
    average_of,
    by_level,
    by_levels,
    left_out,
    level_combinations,
    levels,
    metric_label,
    usable_values,
)
from rnnexp.comparison.key_axis import short_labels
from rnnexp.comparison.styles import GREY, Looks
from rnnexp.plot.axes import label_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Values of a key that have axes of their own.
MOST_PANELS = 4

Setting = tuple[Level | None, Level | None]


@dataclass(frozen=True)
class Panels:
    """The key whose values have axes each, these values, and that of each row; None where there is no such key."""

    key: str | None
    values: Sequence[Level | None]
    of_row: Sequence[Level | None]


@dataclass(frozen=True)
class ComparedRuns:
    """The runs that are compared, all figures' one look of them, and what is shown of several runs.

    `counted` are the rows of `table` with a finite metric, `values`; `keys` are without the seed.
    """

    table: pd.DataFrame
    counted: pd.DataFrame
    keys: list[str]
    metric: str
    unit: str
    title: str
    values: pd.Series
    looks: Looks
    average: Average

    @classmethod
    def of(cls, table: pd.DataFrame, keys: Sequence[str], metric: str, unit: str, title: str) -> "ComparedRuns":
        """Of a table as for `rnnexp.comparison.files.write_comparison`."""
        values = usable_values(table, metric).dropna()
        keys = [key for key in dict.fromkeys(keys) if key != SEED]
        counted = table.loc[values.index]
        looks = Looks.of(counted, keys, metric)  # so that runs without a result change no colour
        return cls(table, counted, keys, metric, unit, title, values, looks, average_of(values, metric))

    @property
    def label(self) -> str:
        """The metric in words, with its unit."""
        return label_text(metric_label(self.metric, self.unit), 90)

    def panels(self, rows: pd.DataFrame, apart_from: str | None = None) -> "Panels":
        """Axes for each value of the first key that has no look of its own, if it has few values."""
        drawn = (self.looks.color_key, self.looks.marker_key, apart_from)
        for key in self.keys:
            if key not in drawn and 1 < len(found := sorted(set(levels(rows, key)), key=by_level)) <= MOST_PANELS:
                return Panels(key, found, levels(rows, key))
        return Panels(None, [None], [None] * len(rows))

    def settings(self, rows: pd.DataFrame, most: int, apart_from: str | None = None) -> tuple[list[Setting], list[str]]:
        """Each row's values of the two keys that have a look, and these keys.

        None is in the place of a key that is not told apart: where they would have more than `most` settings.
        """
        told = [key for key in (self.looks.color_key, self.looks.marker_key) if key not in (None, apart_from)]
        while told and len(set(level_combinations(rows, told))) > most:
            told.pop()
        nothing: list[Level | None] = [None] * len(rows)
        first, second = (
            levels(rows, key) if key in told and key is not None else nothing
            for key in (self.looks.color_key, self.looks.marker_key)
        )
        return list(zip(first, second, strict=True)), [key for key in told if key is not None]

    def pooled(self, told: Sequence[str | None]) -> list[str]:
        """The keys over whose values a figure averages."""
        return [key for key in self.keys if key not in told]


def by_setting(setting: Setting) -> list[tuple[int, float, str]]:
    """For sorting."""
    return by_levels([value for value in setting if value is not None])


def heading(sweep: ComparedRuns) -> str:
    """The metric at the beginning of a title."""
    name = metric_label(sweep.metric)
    return label_text(name[0].upper() + name[1:] if name[0].islower() and "/" not in name else name)


def axes_of(sweep: ComparedRuns, title: str, xlabel: str, ylabel: str, panels: Panels | None = None) -> Any:
    """A figure with its part inside the title, and one pair of axes for each value of the key of the panels."""
    from matplotlib.figure import Figure

    count = len(panels.values) if panels is not None else 1
    figure = Figure(figsize=(5.4 + 2.4 * (count - 1) + 2.0, 4.2), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=11)
    # Each title is above a part of its own, so that a legend beside the axes does not meet it.
    below: Any = figure.subfigures()
    below.suptitle(label_text(sweep.title, 240, wrap=60 + 30 * count), fontsize=8, color=GREY)
    inside = below.subfigures()
    pairs = inside.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    for place, axes in enumerate(pairs):
        if panels is not None and panels.key is not None:
            named = short_labels([value for value in panels.values if value is not None], 24)
            axes.set_title(f"{label_text(panels.key, 28)} = {named[place]}", fontsize=9)
        axes.set_xlabel(xlabel)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    pairs[0].set_ylabel(ylabel)
    return inside, pairs


def finish(
    sweep: ComparedRuns,
    inside: Any,
    pairs: Any,
    told: Sequence[str | None],
    notes: Sequence[str],
    extra: Any = (),
    **how: Any,
) -> "Figure":
    """Legend or colour bar right of the axes, never on them, and the notes in small print below."""
    looks = sweep.looks
    handles, labels = looks.entries(told, **how)
    for handle in extra:
        handles.append(handle)
        labels.append(handle.get_label())
    if handles:
        legend = inside.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        for text, handle in zip(legend.get_texts(), handles, strict=True):
            if handle.get_linestyle() == handle.get_marker() == "None":  # the name of a key
                text.set_fontweight("bold")
    if looks.scale is not None and looks.color_key is not None and looks.color_key in told:
        bar = inside.colorbar(looks.scale, ax=list(pairs), label=label_text(looks.color_key))
        numbers = [value for value in levels(sweep.counted, looks.color_key) if not isinstance(value, str)]
        if bar.ax.get_yscale() == "linear" and all(isinstance(value, int) for value in numbers):
            bar.ax.yaxis.get_major_locator().set_params(integer=True)
    if said := "  ".join(note for note in [*notes, left_out(sweep.table, sweep.metric)] if note):
        wide = int(15 * inside.get_figure(root=True).get_figwidth())
        inside.supxlabel(label_text(said, 400, wrap=wide), fontsize=8, color=GREY)
    figure: Figure = inside.get_figure(root=True)
    return figure

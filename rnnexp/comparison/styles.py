"""The look of each setting of a sweep, the same in all its figures."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rnnexp.comparison.effects import (
    SEED,
    Level,
    average_of,
    by_level,
    grouped,
    larger_is_better,
    levels,
    usable_values,
)
from rnnexp.comparison.key_axis import WIDE, KeyAxis, short_labels
from rnnexp.plot.axes import BLACK, BLUE, GREEN, ORANGE

GREY = "#777777"
#: Okabe & Ito's colours, those first that differ in grey too; their yellow is too light for paper.
PALETTE = (BLUE, ORANGE, BLACK, GREEN, "#CC79A7", "#56B4E9", "#D55E00")
#: By place: a marker, and the style of its line.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)), (0, (8, 2, 2, 2)))
#: Values that have a colour, a marker or an entry of a legend each.
MOST_LOOKS = len(MARKERS)


@dataclass(frozen=True)
class Looks:
    """A colour for each value of one key, the first, and a marker and a line style for each of another, the second.

    Numbers have colours from dark to light, which print in grey as they are ordered; very many have a colour bar.
    Categories have colours that colour-blind readers can tell apart; of very many those with the best runs, and the
    others are grey. Where no second key has few enough values, markers and lines follow the first, too.

    Attributes
    ----------
    color_key, marker_key : str or None
    colors : dict
        By value.
    scale : ScalarMappable or None
        Of very many numbers, for a colour bar.
    places : dict
        By value of `marker_key`, or else of `color_key`: its place in `MARKERS` and `DASHES`.
    others : int
        Values of the first key that are grey.
    """

    color_key: str | None
    marker_key: str | None
    colors: dict[Level, Any]
    scale: Any
    places: dict[Level, int]
    others: int = 0

    @classmethod
    def of(cls, table: pd.DataFrame, keys: Sequence[str], metric: str) -> "Looks":
        """The looks of the runs of a table, by the first two of these keys that differ in it."""
        found = {key: set(levels(table, key)) for key in keys if key != SEED}
        varied = [key for key, values in found.items() if len(values) > 1]
        if not varied:
            return cls(None, None, {}, None, {})
        first, second = varied[0], next(iter(varied[1:]), None)
        if second is not None and len(found[second]) > MOST_LOOKS:
            second = None
        colors, scale = _colors(table, first, found[first], metric)
        marked = sorted(found[second or first], key=by_level)
        places = {value: place for place, value in enumerate(marked)} if len(marked) <= MOST_LOOKS else {}
        return cls(first, second, colors, scale, places, len(found[first]) - len(colors))

    def color(self, value: Level | None) -> Any:
        """Of a value of the first key; black for None, where all of them are drawn as one."""
        return BLACK if value is None else self.colors.get(value, GREY)

    def marker(self, first: Level | None, second: Level | None) -> str:
        """Of values of both keys, None for one whose values are drawn as one."""
        return MARKERS[self._place(first, second)]

    def dash(self, first: Level | None, second: Level | None) -> Any:
        """The line style, likewise."""
        return DASHES[self._place(first, second)]

    def _place(self, first: Level | None, second: Level | None) -> int:
        value = first if self.marker_key is None else second
        return 0 if value is None else self.places.get(value, 0)

    def entries(self, shown: Collection[str | None], *, lines: bool) -> tuple[list[Any], list[str]]:
        """Handles and labels of a legend for those of the two keys that are `shown`, below their names."""
        from matplotlib.lines import Line2D

        handles, labels = [], []
        names = short_labels([key or "" for key in (self.color_key, self.marker_key)], 28)
        for name, key, known in zip(names, (self.color_key, self.marker_key), (self.colors, self.places), strict=True):
            if key is None or key not in shown or not known or (key == self.color_key and self.scale is not None):
                continue
            values = sorted(known, key=by_level)
            handles.append(Line2D([], [], linestyle="None", marker="None"))
            labels += [name, *short_labels(values, 28)]
            for value in values:
                first, second = (value, None) if key == self.color_key else (None, value)
                marked = not lines or None in (first, self.marker_key)
                look: dict[str, Any] = {
                    "color": GREY if first is None else self.color(first),
                    "linewidth": 1.6 if marked else 3.0,
                }
                look |= {"marker": self.marker(first, second) if marked else "", "markersize": 5}
                handles.append(Line2D([], [], linestyle=self.dash(first, second) if lines else "none", **look))
            if key == self.color_key and self.others:
                handles.append(
                    Line2D([], [], color=GREY, marker="" if lines else "o", linestyle="-" if lines else "none")
                )
                labels.append(f"{self.others} others")
        return handles, labels


def _colors(table: pd.DataFrame, key: str, found: set[Level], metric: str) -> tuple[dict[Level, Any], Any]:
    """The colours by value, or a scale of them."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    values = sorted(found, key=by_level)
    if KeyAxis.of(values).numeric:
        # Its lightness rises steadily; the lightest sixth is too light for paper.
        if len(values) <= MOST_LOOKS:
            steps = [0.85 * place / (len(values) - 1) for place in range(len(values))]
            return dict(zip(values, colormaps["viridis"](steps), strict=True)), None
        numbers = [float(value) for value in values if not isinstance(value, str)]
        wide = numbers[0] > 0 and numbers[-1] / numbers[0] > WIDE
        norm = (LogNorm if wide else Normalize)(numbers[0], numbers[-1])
        scale = ScalarMappable(norm, ListedColormap(colormaps["viridis"]([0.85 * step / 255 for step in range(256)])))
        painted = dict(zip(values, scale.to_rgba(np.array(numbers)), strict=False))
        return painted | dict.fromkeys(values[len(numbers) :], BLACK), scale
    if len(values) > len(PALETTE):
        means = grouped(table, [key], metric)
        centre = average_of(usable_values(table, metric).dropna(), metric).centre
        best = means.sort_values(centre, ascending=not larger_is_better(metric), kind="stable")
        values = sorted(levels(best, key)[: len(PALETTE)], key=by_level)
    return dict(zip(values, PALETTE, strict=False)), None

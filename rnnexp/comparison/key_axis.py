"""The axis for a parameter's values, numbers or words."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnexp.checks import one_line
from rnnexp.comparison.effects import NULL, Level, by_level, show_level
from rnnexp.plot.axes import label_text

#: A key's axis is logarithmic if its largest value is so many times its smallest.
WIDE = 20
#: Words that are written at an axis; where there are more, some in between are not.
MOST_WORDS = 60


def short_labels(found: Sequence[Level], width: int) -> list[str]:
    """Values as labels of about so many characters, different ones for different values."""
    texts = [one_line(show_level(value)) or "-" for value in found]
    short = _shortened(texts, width)
    if len(set(short)) < len(short):  # what they have in common is left out first
        start = next((at for at, signs in enumerate(zip(*texts, strict=False)) if len(set(signs)) > 1), 0)
        short = _shortened([f"…{text[start:]}" for text in texts], width)
    counts = Counter(short)
    numbered = [f"{label} ({place})" if counts[label] > 1 else label for place, label in enumerate(short, 1)]
    return [label_text(label, 2000) for label in numbered]


def _shortened(texts: Sequence[str], width: int) -> list[str]:
    half = (width - 1) // 2
    return [text if len(text) <= width else f"{text[:half]}…{text[-half:]}" for text in texts]


@dataclass(frozen=True)
class KeyAxis:
    """Where a key's values are drawn: numbers to scale, with `null` at their right; else one after the other.

    `log` if all numbers are above 0 and the largest is `WIDE` times the smallest.
    """

    positions: dict[Level, float]
    numeric: bool
    log: bool

    @classmethod
    def of(cls, found: Sequence[Level]) -> "KeyAxis":
        """The axis for these values."""
        ordered = sorted(set(found), key=by_level)
        values = [value for value in ordered if not isinstance(value, str)]
        if len(values) < 2 or any(isinstance(value, str) and value != NULL for value in ordered):
            return cls({value: float(index) for index, value in enumerate(ordered)}, False, False)
        low, high = float(values[0]), float(values[-1])
        log = low > 0 and high / low > WIDE
        right = high * (high / low) ** 0.12 if log else high + 0.12 * (high - low)
        return cls({value: right if value == NULL else float(value) for value in ordered}, True, log)

    def places(self, values: Sequence[Level], shift: float = 0.0) -> np.ndarray:
        """Where values are drawn, moved by a share of the room between words or the closest numbers."""
        places = np.array([self.positions[value] for value in values], float)
        if not self.numeric:
            return places + shift
        known = np.sort([*map(math.log if self.log else float, self.positions.values())])
        moved = 0.5 * shift * min(np.diff(known).min(), (known[-1] - known[0]) / 3)
        return np.asarray(places * math.exp(moved) if self.log else places + moved)

    def apply(self, axes: Any, room: int = 70) -> None:
        """Scale and label the axis, for which there is `room` for so many characters; ticks too close are left out."""
        from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

        places = [place for value, place in self.positions.items() if value != NULL]
        labels = dict(zip(self.positions.values(), short_labels(list(self.positions), 24), strict=True))
        if self.log:
            axes.set_xscale("log")
        if self.numeric and (len(places) > 10 or max(map(len, labels.values()), default=0) > 9):
            whole = all(isinstance(value, int) for value in self.positions if value != NULL)
            locator = LogLocator(subs=(1, 2, 5)) if self.log else MaxNLocator(8, integer=whole)
            places = [x for x in locator.tick_values(places[0], places[-1]) if places[0] <= x <= places[-1]]
            labels |= {place: f"{place:.6g}" for place in places}
        scale = math.log if self.log else float
        ends = [scale(place) for place in self.positions.values()]
        apart = 0.06 * (max(ends) - min(ends)) if self.numeric else len(self.positions) / MOST_WORDS
        kept: list[float] = []
        for place in places:
            if not kept or scale(place) - scale(kept[-1]) >= apart:
                kept.append(place)
        if NULL in self.positions and self.positions[NULL] not in kept:
            kept.append(self.positions[NULL])
        axes.xaxis.set_major_locator(FixedLocator(kept))
        axes.xaxis.set_minor_locator(NullLocator())
        letters = room / ((max(ends) - min(ends) or 1.0) if self.numeric else len(self.positions))
        crowded = any(
            letters * (scale(right) - scale(left)) < (len(labels[left]) + len(labels[right])) / 2 + 2
            for left, right in itertools.pairwise(kept)
        )
        steep = crowded and max(len(labels[place]) for place in kept) > 10
        options = {"rotation": 90, "fontsize": 8} if steep else {"rotation": 30, "ha": "right"} if crowded else {}
        axes.set_xticklabels([labels[place] for place in kept], **options)
        if not self.numeric:
            axes.set_xlim(-0.5, len(self.positions) - 0.5)
        elif NULL in self.positions:
            last, null = sorted(self.positions.values())[-2:]
            middle = math.sqrt(last * null) if self.log else (last + null) / 2
            axes.axvline(middle, color="#777777", linestyle=":", linewidth=0.8)

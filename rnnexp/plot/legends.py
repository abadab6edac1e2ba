"""Legends that cover nothing that is drawn."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnnexp.plot.axes import MARK, set_margins


def legend(axes: Any, ax: Any = None, **options: Any) -> None:
    """A legend that covers nothing: below the axes, or inside those that were given as `ax`, which get room above."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    figure = axes.figure.canvas.figure
    options = {"frameon": False, "fontsize": 9, "title_fontsize": 9, **options}
    if ax is None and figure.get_layout_engine() is not None:
        width = figure.get_figwidth()
        columns = next(count for count in _columns(labels, width))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, **options)
        return
    if ax is None:
        box, place = figure.bbox, {"loc": "lower center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 0.3}
        place["bbox_transform"] = figure.transFigure
    elif axes.name == "3d":
        box, place = axes.bbox, {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    else:
        axes.apply_aspect()
        box, place = axes.get_window_extent(), {"loc": "upper left"}
    for columns in _columns(labels, box.width / figure.dpi):
        extent = axes.legend(handles, labels, ncols=columns, **place, **options).get_window_extent()
        if extent.width <= 0.95 * box.width:  # letters are wider at fewer dots per inch
            break
    if ax is None:
        places, height = figure.subplotpars, figure.get_figheight()
        inside, top = (places.top - places.bottom) * height, (1 - places.top) * height
        set_margins(figure, inside, bottom=places.bottom * height + extent.height / figure.dpi + 0.08, top=top)
    elif axes.name != "3d":
        smaller = min(1.0, box.width / extent.width, 0.55 * box.height / extent.height)
        if smaller < 1:
            sizes = {"fontsize": 9 * smaller, "title_fontsize": 9 * smaller}
            extent = axes.legend(handles, labels, ncols=columns, **place, **{**options, **sizes}).get_window_extent()
        _make_room(axes, (box.y1 - extent.y0) / box.height + 0.02)


def _columns(labels: Sequence[str], width: float) -> Iterator[int]:
    """Numbers of columns to try in so many inches, from the largest that may fit to one."""
    usual = 0.4 + 0.05 * sum(map(len, labels)) / len(labels)
    yield from range(max(1, min(len(labels), int(width / usual))), 0, -1)


def _make_room(axes: Any, share: float) -> None:
    """Move the upper limit so that nothing is drawn in the uppermost share of the axes; marks end below it."""
    scale = axes.yaxis.get_transform()
    low, high = scale.transform(np.array(axes.get_ylim()))
    span = (high - low) / (1 - share)
    if axes.get_aspect() == 1:  # x has the same unit, and grows with y
        left, right = axes.get_xlim()
        shape = axes.bbox.width / axes.bbox.height
        span = max(span, (right - left) / shape)
        axes.set_xlim((left + right - span * shape) / 2, (left + right + span * shape) / 2, auto=None)
    axes.set_ylim(top=scale.inverted().transform(np.array([low + span]))[0], auto=None)  # later curves move it again
    for artist in axes.get_children():
        if artist.get_gid() == MARK:
            set_end = getattr(artist, "set_height", None)
            set_end(1 - share) if set_end else artist.set_ydata([0, 1 - share])

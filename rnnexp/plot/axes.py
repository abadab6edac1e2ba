"""What all figures share: colours and strokes, axes, titles, marks and files.

A colour never stands alone: dash and marker differ too, and the colours differ in lightness, so that lines can be told
apart in grey print and by colour-blind readers.
"""

import itertools
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.checks import InvalidValue, one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe & Ito's palette, made to be told apart by colour-blind readers; their lightness is 0, 73, 46 and 58 of 100.
BLACK, ORANGE, BLUE, GREEN = "#000000", "#E69F00", "#0072B2", "#009E73"
#: Of small print.
GREY = "#595959"
#: Colours in the order of their use, and dashes with their markers: all combinations can be told apart.
COLORS = (BLUE, ORANGE, GREEN, BLACK)
STROKES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "v"))
#: Of pictures whose lightness is a value: it rises evenly, also for colour-blind readers.
COLOR_MAP = "cividis"

#: Inches for ticks and labels beside axes, for the colours of a map at their right, for lines of text; and of the axes.
LEFT, RIGHT, COLOURS, BOTTOM, LINE, AXES = 0.95, 0.2, 0.35, 0.52, 0.18, 3.2
#: Marks of a lag or a step, which end below a legend inside the axes.
MARK = "mark"


def looks() -> Iterator[dict[str, Any]]:
    """Line styles, each with another colour, dash and marker than the one before; sixteen differ."""
    for place in itertools.count():
        dash, marker = STROKES[(place + place // len(COLORS)) % len(STROKES)]
        yield {
            "color": COLORS[place % len(COLORS)],
            "linestyle": dash,
            "marker": marker,
            "markersize": 4,
            "linewidth": 1.6,
        }


def axes_with(
    shows: str,
    xlabel: str,
    ylabel: str,
    zlabel: str = "",
    /,
    *,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
    integer: bool = False,
    log: bool = False,
    beside: str = "",
    right: float = RIGHT,
) -> tuple["Figure", Any]:
    """A figure with one pair of axes, titled and labelled; x can have integer ticks only, y a log scale.

    Parameters
    ----------
    shows, title : str
        What is drawn; `title` replaces it where it is given, and there is none if that is empty.
    subtitle : str
        Of the run, or whatever it is drawn of.
    ax : matplotlib Axes, or a sequence of them, optional
        To be used in place of new ones.
    zlabel : str
        Of axes in three dimensions.
    beside : str
        Label of a second pair to the right of the first; both are returned.
    right : float
        Inches right of new axes.
    """
    if ax is None:
        figure, pairs, width, middle = _new(2 if beside else 1, right, solid=bool(zlabel))
    else:
        pairs = given_axes(ax, 2 if beside else 1, kind="3d" if zlabel else "rectilinear")
        figure, middle = pairs[0].figure.canvas.figure, 0.5
        width = pairs[0].get_window_extent().width / figure.dpi
    lines = _head(pairs[0], shows if title is None else title, subtitle, width, middle)
    if ax is None:
        set_margins(figure, 4.4 if zlabel else AXES, bottom=BOTTOM, top=0.12 + LINE * lines)
    if zlabel:
        pairs[0].set_zlabel(zlabel)
    for axes, label in zip(pairs, (ylabel, beside), strict=False):
        axes.set_xlabel(xlabel)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if integer:
            whole_ticks(axes.xaxis)
        if log:
            axes.set_yscale("log")
    return figure, pairs if beside else pairs[0]


def stacked_axes(
    shows: str,
    xlabel: str,
    ylabels: Sequence[str],
    /,
    *,
    title: str | None = None,
    subtitle: str = "",
    ax: Any = None,
) -> tuple["Figure", list[Any]]:
    """A figure with axes above one another, one for each label, that share an x of whole steps; as `axes_with`."""
    from matplotlib.figure import Figure

    if ax is None:
        figure = Figure(figsize=(8.0, 1.2 + 2.2 * len(ylabels)), dpi=110, layout="constrained")
        panels = list(figure.subplots(len(ylabels), 1, sharex=True, squeeze=False)[:, 0])
        width = 7.0
    else:
        panels = given_axes(ax, len(ylabels))
        figure = panels[0].figure.canvas.figure
        width = panels[0].get_window_extent().width / figure.dpi
    _head(panels[0], shows if title is None else title, subtitle, width, 0.5)
    for axes, label in zip(panels, ylabels, strict=True):
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    whole_ticks(panels[-1].xaxis)
    panels[-1].set_xlabel(xlabel)
    return figure, panels


def _new(count: int, right: float, *, solid: bool) -> tuple["Figure", Any, float, float]:
    """A figure with so many pairs of axes, the inches that a title has, and where its middle is above the first."""
    from matplotlib.figure import Figure

    width, gap = 10.4 if count > 1 else 6.4, LEFT + 0.1
    inside = (width - LEFT - right - (count - 1) * gap) / count
    places = {"left": LEFT / width, "right": 1 - right / width, "wspace": gap / inside}
    figure = Figure(figsize=(width, 4.0), dpi=110)
    kind = {"projection": "3d"} if solid else None
    pairs = figure.subplots(1, count, squeeze=False, subplot_kw=kind, gridspec_kw=places)[0]
    whole = count * inside + (count - 1) * gap
    return figure, pairs, whole, whole / inside / 2


def set_margins(figure: "Figure", inside: float, *, bottom: float, top: float) -> None:
    """So many inches for the axes, below and above them."""
    width, height = figure.get_figwidth(), inside + bottom + top
    figure.set_size_inches(width, height)
    figure.subplots_adjust(bottom=bottom / height, top=1 - top / height)


def _head(axes: Any, title: str, subtitle: str, width: float, middle: float) -> int:
    """The title, and below it in small print the subtitle; the number of lines that they take."""
    # Inches of a letter, on average, at the two sizes.
    title = label_text(title, 200, wrap=max(20, int(width / 0.083)))
    subtitle = label_text(subtitle, 250, wrap=max(30, int(width / 0.066)))
    below = 1 + subtitle.count("\n") if subtitle else 0
    if subtitle:
        axes.annotate(
            subtitle,
            (middle, 1.0),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            color=GREY,
            in_layout=not title,  # the title's distance makes room for it
        )
    if title:
        axes.set_title(title, fontsize=11, x=middle, pad=5 + 12 * below)
    return below + (1 + title.count("\n") if title else 0)


def given_axes(ax: Any, count: int, *, kind: str = "rectilinear") -> list[Any]:
    """The axes that were given to be drawn into, or `InvalidValue` if they are not so many, in one figure."""
    from matplotlib.axes import Axes

    found = list(np.ravel(np.array(ax, dtype=object)))
    wanted = "a matplotlib Axes" if count == 1 else f"{count} matplotlib Axes of one figure"
    hint = f"figure, ax = matplotlib.pyplot.subplots({'' if count == 1 else f'1, {count}'})"
    if kind == "3d":
        wanted, hint = f"{wanted} in 3 dimensions", "ax = matplotlib.pyplot.figure().add_subplot(projection='3d')"
    others = [type(one).__name__ for one in found if not isinstance(one, Axes)]
    if others:
        raise InvalidValue("ax", f"a {others[0]}", wanted, hint)
    if len(found) != count or len({id(one) for one in found}) != count:
        raise InvalidValue("ax", f"{len({id(one) for one in found})} of them", wanted, hint)
    if any(one.figure is None for one in found):
        raise InvalidValue("ax", "one that was removed from its figure", wanted, hint)
    if len({id(one.figure.canvas.figure) for one in found}) > 1:
        raise InvalidValue("ax", "axes of another figure among them", wanted, hint)
    if unfit := [one.name for one in found if one.name != kind]:
        raise InvalidValue("ax", f"one with the projection {unfit[0]}", wanted, hint)
    return found


def whole_ticks(axis: Any) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def label_text(value: object, width: int = 60, *, wrap: int | None = None) -> str:
    """Free text as matplotlib draws it as it is: not as mathtext, not too long, on one line or broken after `wrap`."""
    text = one_line(" ".join(str(value).split()), width)
    return (text if wrap is None else textwrap.fill(text, wrap)).replace("$", r"\$")


def mark_lags(
    axes: Any,
    longest: int,
    *,
    bptt_length: int | None = None,
    asked: Sequence[tuple[int, int]] = (),
    label: str = "",
    along: str = "x",
) -> None:
    """Lines behind the last lag within the window, and at the lags of the asked inputs, up to the longest lag drawn.

    Parameters
    ----------
    asked : sequence of (int, int)
        As `rnnexp.tasks.Task.asked` says: an input at one lag gets a line, one within bounds a bar at the axis.
    label : str
        Of the window; ``bptt_length=20`` if empty.
    along : {"x", "y"}
        The axis of the lags; lines across a picture have a white edge.
    """
    line = axes.axvline if along == "x" else axes.axhline

    def draw(at: float, **style: Any) -> None:
        if along == "y":
            line(at, color="white", linewidth=3.0)
        line(at, color=BLACK, gid=MARK if along == "x" else None, **style)

    if bptt_length is not None and bptt_length <= longest:
        draw(bptt_length - 0.5, linestyle="-.", linewidth=1.0, label=label or f"{bptt_length=}")
    within = asked_within(asked, longest)
    label = asked_label(within)
    for index, (low, high) in enumerate(within):
        if low == high:
            draw(low, linestyle=(0, (1, 2)), linewidth=1.6, label=label)
        else:
            bar_of_lags(axes, low, high, index, along=along, label=label)
        label = f"_{label}"  # one entry in the legend


def asked_within(asked: Iterable[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """The bounds of asked inputs (`rnnexp.tasks.Task.asked`), each once, up to the longest lag drawn."""
    return sorted({(low, min(high, longest)) for low, high in asked if low <= longest})


def asked_label(within: Sequence[tuple[int, int]]) -> str:
    """What a legend says of them."""
    told = " and ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in within)
    return f"asked input{'s' if len(within) > 1 else ''}: lag{'s' if not told.isdigit() else ''} {told}"


def bar_of_lags(axes: Any, low: float, high: float, index: int, *, along: str = "x", **style: Any) -> None:
    """A bar at the axis from one lag to another, above those of smaller `index`; beside a picture along y."""
    beyond = 0.012 + 0.025 * index if along == "x" else 1.015 + 0.022 * index
    ends, at = [low - 0.4, high + 0.4], [beyond] * 2
    place = axes.get_xaxis_transform() if along == "x" else axes.get_yaxis_transform()
    both = (ends, at) if along == "x" else (at, ends)
    look = {"color": GREY, "linewidth": 3.5, "solid_capstyle": "butt", "clip_on": along == "x"}
    axes.plot(*both, transform=place, **{**look, **style})


def in_formats(name: str, formats: Iterable[str]) -> list[str]:
    """The names of a figure's files by format: ``loss.png`` in pdf and svg is ``loss.pdf`` and ``loss.svg``."""
    return [f"{name.rpartition('.')[0]}.{one}" for one in formats]


def save_figure(figure: "Figure", path: Path) -> None:
    """Write it in the format that the end of the name says; the same figure gives the same bytes."""
    from matplotlib import rc_context

    # When it was made is left out, and letters are kept as text that other programs can edit.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "rnnexp", "pdf.fonttype": 42}):
        # A letter that the font lacks is drawn as a box; nothing can be done about it here.
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        figure.savefig(path, metadata=undated)

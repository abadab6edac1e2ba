"""The figures of a run. Lines differ in dash and marker too, so that they read in grey print."""

import textwrap
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnexp.checks import one_line
from rnnexp.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's palette, made to be told apart by colour-blind readers.
BLACK, ORANGE, BLUE, GREEN = "#000000", "#E69F00", "#0072B2", "#009E73"


#: Inches for ticks and labels beside axes, for the colours of a map at their right, and for a line of the title.
LEFT, RIGHT, COLOURS, BOTTOM, LINE = 0.95, 0.2, 0.35, 0.52, 0.18


def axes_with(
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    integer: bool = False,
    log: bool = False,
    beside: str = "",
    right: float = RIGHT,
    fitted: bool = False,
) -> tuple["Figure", Any]:
    """A figure with one pair of axes, titled and labelled; x can have integer ticks only, y a log scale.

    With a label `beside`, there is a second pair to the right of it, and both are returned. There are `right` inches
    right of the axes. `fitted` fits the axes to texts of any length around them, which takes as long as drawing them.
    """
    from matplotlib.figure import Figure

    width, height = 10.4 if beside else 6.4, 4.0
    shown, size = label_text(title, 200, wrap=70), 11 if len(title) < 70 else 9
    places: dict[str, float] = {}
    if not fitted:
        top = 0.12 + LINE * (1 + shown.count("\n"))
        places = {"left": LEFT / width, "right": 1 - right / width, "bottom": BOTTOM / height, "top": 1 - top / height}
        places["wspace"] = 2 * (LEFT + 0.1) / (width - 2 * LEFT - 0.1 - right)
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained" if fitted else None)
    pairs: Any = figure.subplots(1, 2 if beside else 1, squeeze=False, gridspec_kw=places)[0]
    titled = figure.suptitle if beside else pairs[0].set_title
    titled(shown, fontsize=size)
    for axes, label in zip(pairs, (ylabel, beside), strict=False):
        axes.set_xlabel(xlabel)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if integer:
            axes.xaxis.get_major_locator().set_params(integer=True)
        if log:
            axes.set_yscale("log")
    return figure, pairs if beside else pairs[0]


def label_text(value: object, width: int = 60, *, wrap: int | None = None) -> str:
    """Free text as matplotlib draws it as it is: not as mathtext, not too long, on one line or broken after `wrap`."""
    text = one_line(" ".join(str(value).split()), width)
    return (text if wrap is None else textwrap.fill(text, wrap)).replace("$", r"\$")


def legend(axes: Any, **options: Any) -> None:
    """A legend without a frame."""
    axes.legend(frameon=False, fontsize=9, **options)


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


def loss_figure(history: History, title: str) -> "Figure":
    """Training and evaluation loss against the update, with the trivial predictor's loss."""
    unit = "nats per scored step" if history.task.target_kind == "classes" else "squared error"
    figure, axes = axes_with(title, "parameter updates", f"loss ({unit})")
    for name, label, style in (
        ("train/loss", "training", {"color": ORANGE, "linewidth": 1.0}),
        ("eval/loss", "evaluation", {"color": BLUE, "linewidth": 2.0, "marker": "o", "markersize": 3.5}),
    ):
        if curve := history.curves.get(name):
            axes.plot(*zip(*curve, strict=True), label=label, **style)
    baseline = history.baseline
    axes.axhline(
        baseline.loss,
        color=BLACK,
        linestyle="--",
        linewidth=1.0,
        label=label_text(f"{baseline.predictor}: {baseline.loss:.4g}", 80),
    )
    axes.set_ylim(bottom=0)
    legend(axes, title=history.repeats or None, title_fontsize=9)
    return figure

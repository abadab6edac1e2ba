"""The figure of a run's losses."""

from typing import TYPE_CHECKING, Any

from rnnexp.history import History
from rnnexp.plot.axes import BLACK, BLUE, ORANGE, axes_with, label_text
from rnnexp.plot.legends import legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def loss_figure(history: History, **frame: Any) -> "Figure":
    """Training and evaluation loss against the update, with the trivial predictor's loss."""
    unit = "nats per scored step" if history.task.target_kind == "classes" else "squared error"
    shows = "Loss in training and evaluation" if "eval/loss" in history.curves else "Loss in training"
    figure, axes = axes_with(shows, "parameter updates", f"loss ({unit})", integer=True, **frame)
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
        label=label_text(f"{baseline.predictor}: {baseline.loss:.3g}", 80),
    )
    axes.set_ylim(bottom=0, auto=None)
    legend(axes, frame.get("ax"), title=history.repeats or None)
    return figure

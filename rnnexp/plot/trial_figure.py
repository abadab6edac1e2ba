"""One trial of a task as a figure: what goes in above, what is wanted below, scored steps shaded."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnexp.checks import InvalidValue
from rnnexp.plot.axes import BLACK, ORANGE, label_text, looks, save_figure
from rnnexp.tasks import Batch, Task

#: More named rows than these would be unreadable.
MOST_NAMES = 20


def save_trial(task: Task, batch: Batch, path: Path, *, title: str) -> None:
    """Draw the first sequence of `batch` into a file of the format that its name ends in.

    Raises
    ------
    InvalidValue
        If the file can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.6), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    above.set_title(label_text(title, 200, wrap=90), fontsize=11)
    scored = batch.mask[:, 0]
    _draw(above, batch.inputs[:, 0], np.ones(len(scored), bool), task.input_size, task.input_names)
    _draw(below, batch.targets[:, 0], scored, task.output_size, task.output_names)
    above.set_ylabel("input" if batch.inputs.ndim == 3 else "input token")
    below.set_ylabel("target" if batch.targets.ndim == 3 else "target class")
    below.set_xlabel("step (scored where shaded)")
    below.xaxis.get_major_locator().set_params(integer=True)
    for step in np.flatnonzero(scored):
        below.axvspan(step - 0.5, step + 0.5, color=ORANGE, alpha=0.18, linewidth=0)
    below.set_xlim(-0.6, len(scored) - 0.4)
    try:
        save_figure(figure, path)
    except OSError as error:
        raise InvalidValue("--figure", str(path), "a file that can be written", error.strerror or str(error)) from None


def _draw(axes: Any, values: Any, shown: Any, size: int, names: Any) -> None:
    """Tokens or classes (T,) as marks on the row of each; values (T, D) as one line each."""
    steps = np.flatnonzero(shown)
    if values.ndim == 1:
        axes.plot(steps, values[shown], color=BLACK, marker="s", markersize=4, linestyle="none")
        axes.set_ylim(size - 0.5, -0.5)
        if size <= MOST_NAMES:
            axes.set_yticks(
                range(size), [label_text(names[index], 30) if names else str(index) for index in range(size)]
            )
        axes.grid(alpha=0.3)
    else:
        for index, look in zip(range(values.shape[1]), looks(), strict=False):
            label = label_text(names[index], 40) if names else str(index)
            axes.plot(steps, values[shown, index], label=label, **{**look, "linewidth": 1.2})
        if 1 < values.shape[1] <= MOST_NAMES:
            beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "ncols": -(-values.shape[1] // 10)}
            axes.legend(frameon=False, fontsize=8, **beside)
        axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)

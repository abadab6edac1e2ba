"""How well the gradients of algorithms align, as a table of colours and numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from rnnexp.gradients import AlignmentMatrix
from rnnexp.plot.axes import COLOR_MAP, COLOURS, axes_with

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def alignment(matrix: AlignmentMatrix, *, title: str | None = None, subtitle: str = "", ax: Any = None) -> "Figure":
    """The cosines of `rnnexp.alignment_matrix`, each in its cell: 1 is the same direction, 0 none in common."""
    frame = {"title": title, "subtitle": subtitle, "ax": ax}
    figure, axes = axes_with("Cosine of the gradients", "", "", right=COLOURS, **frame)
    shown = np.ma.masked_invalid(matrix.cosines)
    mesh = axes.pcolormesh(shown, cmap=COLOR_MAP, vmin=-1.0, vmax=1.0)
    places = np.arange(len(matrix.names)) + 0.5
    axes.set_xticks(places, matrix.names, rotation=30, ha="right")
    axes.set_yticks(places, matrix.names)
    axes.invert_yaxis()
    axes.grid(False)
    for (row, column), value in np.ndenumerate(matrix.cosines):
        text = f"{value:.2f}" if np.isfinite(value) else "-"
        colour = "black" if value > 0.3 else "white"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize="small")
    figure.colorbar(mesh, ax=axes)
    return figure

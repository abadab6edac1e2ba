"""Figures as files."""

import pytest
from matplotlib.backend_bases import FigureCanvasBase

from rnnexp.checks import FORMATS
from rnnexp.plot.axes import axes_with, in_formats, save_figure

BEGIN = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "jpg": b"\xff\xd8", "tif": b"II*\0", "webp": b"RIFF"}


@pytest.mark.parametrize("end", FORMATS)
def test_a_figure_is_saved_in_the_format_of_its_name_and_twice_as_the_same_bytes(end, tmp_path):
    assert end in FigureCanvasBase.filetypes
    figure, axes = axes_with("a title", "x", "y")
    axes.plot([0, 1], [1, 2])
    files = [tmp_path / name for name in (*in_formats("loss_by_a.b.png", [end]), f"again.{end.upper()}")]
    for file in files:
        save_figure(figure, file)
    assert files[0].name == f"loss_by_a.b.{end}"
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(BEGIN[end])

"""The rules of a sweep's figures, asked of the drawn figures' own artists."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import LOSS, NAN, grid, table_of
from matplotlib.colors import to_hex, to_rgba
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rnnexp.comparison.compared import ComparedRuns
from rnnexp.comparison.conclusions import findings
from rnnexp.comparison.effects import grouped, without_runs
from rnnexp.comparison.styles import DASHES, GREY, MARKERS, PALETTE, Looks
from rnnexp.comparison.sweep_figures import comparison_figures, file_names
from rnnexp.records import ASKED
from rnnexp.run_info import RunInfo
from rnnexp.tasks import Adding, LongLag, Recall, TwoLag

LAGS = "gradient_by_lag.png"
RATE = "loss_by_decay_rate.png"


def figures_of(table, curves, keys, title="t", metric=LOSS):
    return {name: figure for name, (figure, _) in comparison_figures(table, curves, title, keys, metric, "").items()}


def with_losses(table, losses):
    """A table whose loss is a function of its rows."""
    return table.assign(**{LOSS: [float(losses(row)) for _, row in table.iterrows()]})


def points(axes):
    """(x, y, hexadecimal colour, corners of the marker, area) of all points."""
    found = []
    for drawn in axes.collections:
        if hasattr(drawn, "get_sizes") and len(drawn.get_offsets()):
            corners = tuple(np.round(drawn.get_paths()[0].vertices.ravel(), 3))
            colors = drawn.get_facecolors() if len(drawn.get_facecolors()) else drawn.get_edgecolors()
            colors = itertools.cycle(map(to_hex, colors))
            rows = zip(drawn.get_offsets(), colors, strict=False)
            found += [(float(x), float(y), color, corners, float(drawn.get_sizes()[0])) for (x, y), color in rows]
    return found


def intervals(axes):
    """Ends of the vertical intervals, by colour."""
    lines = [drawn for drawn in axes.collections if hasattr(drawn, "get_segments")]
    return [
        (to_hex(color), *segment[:, 1])
        for drawn in lines
        for segment, color in zip(drawn.get_segments(), drawn.get_colors(), strict=True)
    ]


def joins(axes):
    """The lines that join points."""
    return [
        line
        for line in axes.lines
        if len(line.get_xdata()) > 1 and line.get_linestyle() != "None" and line.get_transform() == axes.transData
    ]


def parts_of(figure):
    """The figure, the part below its title, and that below its subtitle."""
    return [figure, *figure.subfigs, *figure.subfigs[0].subfigs]


def legend_of(figure):
    """The labels of the legend outside the axes, and its handles by label."""
    (legend,) = [found for part in parts_of(figure) for found in part.legends]
    return {text.get_text(): handle for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)}


def said(figure):
    """All that a figure says outside its axes."""
    parts = parts_of(figure)
    notes = [text.get_text() for part in parts for text in part.texts]
    notes += [part._supxlabel.get_text() for part in parts if part._supxlabel is not None]
    return " ".join(" ".join(notes).split())


def shade(color):
    """Relative luminance (WCAG 2), which is what grey print keeps."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgba(color)[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_colour_is_a_value_of_the_first_key_and_a_marker_one_of_the_second_in_all_figures():
    table, curves, keys = grid(3, hidden_size=[5, 10, 20], bptt_length=[2, 3], **{"init.gain": [0.5, 1.5]})
    looks = Looks.of(table, keys, LOSS)
    assert (looks.color_key, looks.marker_key) == ("hidden_size", "bptt_length")
    colors = {value: to_hex(looks.color(value)) for value in (5, 10, 20)}
    figures = figures_of(table, curves, keys)
    legends = {name: legend_of(figure) for name, figure in figures.items()}
    assert "hidden_size" not in legends["loss_by_hidden_size.png"], "its values are at the axis"
    assert [{"hidden_size", "bptt_length"} <= set(own) for own in legends.values()].count(True) == 3
    for own in legends.values():
        sized = "hidden_size" in own
        assert [to_hex(own[str(value)].get_color()) for value in colors if sized] == list(colors.values()) * sized
        marked = "bptt_length" in own
        assert [own[str(value)].get_marker() for value in (2,) if marked] == [MARKERS[0]] * marked
    for name in ("loss_by_hidden_size.png", "loss_by_init.gain.png", RATE, "loss_by_bptt_length.png"):
        for axes in figures[name].axes:
            assert {color for _, _, color, _, _ in points(axes)} <= {*colors.values(), "#ffffff"}
            assert len({corner for _, _, _, corner, _ in points(axes)}) == 2
    by_size = figures["loss_by_hidden_size.png"]
    assert [axes.get_title() for axes in by_size.axes] == ["init.gain = 0.5", "init.gain = 1.5"], (
        "panels of the third key"
    )
    for axes in by_size.axes:
        for x, _, color, _, _ in points(axes):
            assert color == colors[min(colors, key=lambda value: abs(value - x))]
    for axes in figures[LAGS].axes:
        drawn = {
            (to_hex(line.get_color()), line.get_marker(), line.get_linestyle())
            for line in axes.lines
            if len(line.get_xdata()) > 2
        }
        dashes = [Line2D([], [], linestyle=dash).get_linestyle() for dash in DASHES]
        assert drawn == {(c, MARKERS[at], dashes[at]) for c in colors.values() for at in (0, 1)}


def test_no_line_joins_categories_and_numbers_are_joined_in_order():
    table, curves, keys = grid(2, cell=["rnn", "gru", "lstm"], steps=[10, 20, 40])
    figures = figures_of(table, curves, keys)
    assert joins(figures["loss_by_cell.png"].axes[0]) == []
    lines = joins(figures["loss_by_steps.png"].axes[0])
    assert len(lines) == 3 and {to_hex(line.get_color()) for line in lines} == set(map(to_hex, PALETTE[:3]))
    for line in lines:
        assert len(line.get_xdata()) == 3 and (np.diff(line.get_xdata()) > 0).all()
    # `null` is not on the scale of the numbers, and a list is no number.
    table, curves, keys = grid(2, bptt_length=[5, 10, None], **{"task.lags": ["[1, 2]", "[3, 4]"]})
    figures = figures_of(table.assign(bptt_length=table["bptt_length"].astype(object)), curves, keys)
    assert joins(figures["loss_by_task.lags.png"].axes[0]) == []
    assert {len(line.get_xdata()) for line in joins(figures["loss_by_bptt_length.png"].axes[0])} == {2}


def test_runs_of_a_random_search_are_neither_joined_nor_averaged():
    rng = np.random.default_rng(0)
    table = table_of(rng.uniform(1, 2, 60), rate=10 ** rng.uniform(-4, -1, 60), width=rng.integers(1, 20, 60))
    figures = figures_of(table, {}, ["rate", "width"])
    for name in ("loss_by_rate.png", "loss_by_width.png"):
        (axes,) = [axes for axes in figures[name].axes if axes.get_ylabel().startswith("final")]
        assert joins(axes) == [] and intervals(axes) == [] and len(points(axes)) == 60


@pytest.mark.parametrize("seeds", [1, 2, 3, 100])
def test_single_runs_are_points_and_from_three_on_there_is_an_interval_above_zero(seeds):
    table, _, keys = grid(seeds, cell=["a", "b"], width=[1, 2])
    table = with_losses(table, lambda row: (0.01 if row["seed"] % 2 else 1.0) * (1 + 0.1 * row["width"]))
    (axes,) = figures_of(table, {}, keys)["loss_by_width.png"].axes
    found, sizes = points(axes), {size for *_, size in points(axes)}
    assert axes.get_yscale() == ("linear" if seeds == 1 else "log")
    if seeds < 3:
        assert len(found) == len(table) and len(sizes) == 1 and intervals(axes) == []
        return
    assert len(found) == len(table) + 4 and len(sizes) == 2 and len(intervals(axes)) == 4
    means = grouped(table, ["cell", "width"])
    large = sorted(y for _, y, *_, size in found if size == max(sizes))
    assert large == pytest.approx(sorted(means["median"])), "where runs are, and not at their mean"
    ends = sorted((low, high) for _, low, high in intervals(axes))
    assert np.allclose(ends, sorted(zip(means["lower"], means["upper"], strict=True)))
    assert min(low for low, _ in ends) >= table[LOSS].min() > 0


def test_losses_within_a_decade_have_means_and_their_intervals_do_not_set_the_axis():
    table = table_of([0.2, 0.9, 0.5, 0.4, 1.0, 0.6], width=[4, 4, 4, 8, 8, 8], seed=[0, 1, 2] * 2)
    figure = figures_of(table, {}, ["width", "seed"])["loss_by_width.png"]
    (axes,) = figure.axes
    means = grouped(table, ["width"])
    assert np.allclose([ends[1:] for ends in intervals(axes)], means[["low", "high"]])
    assert axes.get_yscale() == "linear" and -0.1 < axes.get_ylim()[0] <= 0
    assert "cut at the axis" in said(figure) and "Student's t" in said(figure)


def test_of_seeds_alone_all_runs_are_shown_in_order():
    losses = [0.01, 1.0, 0.02, 1.2, 1.1]
    figures = figures_of(table_of(losses, seed=range(5)), {}, ["seed"])
    assert list(figures) == ["loss_of_all_runs.png"]
    (axes,) = figures["loss_of_all_runs.png"].axes
    assert [y for _, y, *_ in points(axes)] == sorted(losses) and axes.get_yscale() == "log"
    assert axes.lines[0].get_ydata()[0] == 1.0, "the median"
    assert figures_of(table_of([0.5], seed=[0]), {}, ["seed"]) == {}, "one job is compared with nothing"


def test_ticks_of_lags_and_of_whole_numbers_are_whole():
    table, curves, keys = grid(1, hidden_size=list(range(3, 23)))
    figures = figures_of(table, {run: curve.iloc[:4] for run, curve in curves.items()}, keys)
    for name in (LAGS, "loss_by_hidden_size.png"):
        for axes in figures[name].axes:
            figures[name].draw_without_rendering()
            ticks = axes.get_yticks() if axes.get_ylabel() == "hidden_size" else axes.get_xticks()
            if axes.get_ylabel() == "hidden_size" or axes.get_xlabel():
                assert len(ticks) > 2 and all(float(tick).is_integer() for tick in ticks)


def test_titles_say_what_is_drawn_and_the_sweep_is_a_subtitle():
    table, curves, keys = grid(2, hidden_size=[4, 8])
    titles = {
        "loss_by_hidden_size.png": "Final evaluation loss by hidden_size",
        LAGS: "The gradient on its way back, after training",
        RATE: "Final evaluation loss against the gradient's decay rate",
    }
    for name, figure in figures_of(table, curves, keys, title="sweep: hidden_size=4,8").items():
        assert figure.get_suptitle() == titles[name]
        assert figure.subfigs[0].get_suptitle() == "sweep: hidden_size=4,8"


def curve(*values):
    return pd.Series(list(values), index=range(len(values)), dtype=float)


def test_curves_begin_at_the_same_height_with_the_median_of_their_runs_and_quartiles():
    table = table_of([1.0, 2.0, 3.0], cell=["new", "old", "broken"], seed=[0, 0, 0])
    curves = {"r0": curve(0, -1), "r1": curve(-3, -5), "r2": pd.Series([-3.0], index=[1])}
    (axes,) = figures_of(table, curves, ["cell", "seed"])[LAGS].axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.0, -1.0], [0.0, -2.0]]
    table = table_of([1.0, 2.0, 3.0], seed=[0, 1, 2])
    curves = {"r0": curve(0, -1, -2), "r1": curve(0, -2, -3), "r2": curve(0, -9)}
    figure = figures_of(table, curves, ["seed"])[LAGS]
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.0, -2.0, -3.0]], "a zero is below all numbers"
    (band,) = axes.collections
    assert set(band.get_paths()[0].vertices[:, 1]) == {0.0, -1.5, -5.5, -2.5, -6.0}
    curves["r1"] = curve(0, -2)
    figure = figures_of(table, curves, ["seed"])[LAGS]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[0.0, -2.0]]
    assert "A curve ends where a sequence does, or where the gradient is zero." in said(figure)
    # Over settings whose sequences may differ in length, what a run lacks is not known to be zero.
    table, _, keys = grid(1, cell=["a", "b"], width=[1, 2], **{"task.length": range(9, 14)})
    curves = {run: curve(0, -1, -2) if row["task.length"] > 9 else curve(0, -1) for run, row in table.iterrows()}
    figure = figures_of(table, curves, keys)[LAGS]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[0.0, -1.0]] * 4
    assert "Over all settings of task.length" in said(figure)


def marks(figure):
    """Lags of the vertical lines, and ends of the bars at the axis, by colour."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_transform() != axes.transData]
    ends = [(sorted({float(x) for x in line.get_xdata()}), to_hex(line.get_color())) for line in lines]
    return sorted(
        (tuple(lags), color) for (lags, color), line in zip(ends, lines, strict=True) if len(line.get_xdata()) == 2
    )


def test_the_window_and_what_is_asked_for_are_marked_where_they_are_the_same_or_have_a_look():
    def asked(*tasks):
        return [RunInfo({}, {}, [], Path(), Path()).of(task).asked for task in tasks]

    table, curves, keys = grid(1, hidden_size=[4, 8], bptt_length=[3, 6, None, 500])
    table[ASKED] = asked(Recall(lag=8)) * 8
    figure = figures_of(table, curves, keys)[LAGS]
    assert marks(figure) == [((2.5,), GREY), ((5.5,), GREY), ((8.0,), GREY)]
    ends = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert [(line.get_xdata()[0], line.get_marker()) for line in ends] == [(2.5, "o"), (5.5, "s")]
    assert "asked input: lag 8" in legend_of(figure)
    looks = Looks.of(table, keys[::-1], LOSS)
    figure = figures_of(table, curves, ["bptt_length", "hidden_size"])[LAGS]
    assert marks(figure)[:2] == [((2.5,), to_hex(looks.color(3))), ((5.5,), to_hex(looks.color(6)))]
    figure = figures_of(table, curves, ["hidden_size"])[LAGS]
    assert marks(figure) == [((8.0,), GREY)], "several windows without a look of their own"
    table["bptt_length"] = 3
    assert "the window ends: bptt_length = 3" in legend_of(figures_of(table, curves, ["hidden_size"])[LAGS])
    table["algorithm"] = "artbp"
    assert marks(figures_of(table, curves, ["hidden_size"])[LAGS]) == [((8.0,), GREY)]
    table = table.assign(task=["recall", "long_lag"] * 4, **{ASKED: asked(Recall(lag=8), LongLag(lag=8)) * 4})
    figure = figures_of(table, curves, ["task"])[LAGS]
    assert marks(figure) == [((7.0,), to_hex(PALETTE[0])), ((8.0,), to_hex(PALETTE[1]))]
    assert "asked inputs" in legend_of(figure), "of two colours"
    table[ASKED] = asked(TwoLag(first_lag=2, second_lag=5), Adding(length=8)) * 4
    assert marks(figures_of(table, curves, ["task"])[LAGS]) == [
        ((-0.4, 3.4), to_hex(PALETTE[0])),
        ((2.0,), to_hex(PALETTE[1])),
        ((3.6, 7.4), to_hex(PALETTE[0])),
        ((5.0,), to_hex(PALETTE[1])),
    ]
    table[ASKED] = asked(Adding(length=8)) * 8
    figure = figures_of(table, curves, ["hidden_size"])[LAGS]
    assert marks(figure) == [((-0.4, 3.4), GREY), ((3.6, 7.4), GREY)]
    assert "asked inputs: lags 0 to 3 and 4 to 7" in legend_of(figure)
    for unknown in ("", None):  # a task that asks for the whole past; a run of an earlier version
        assert marks(figures_of(table.assign(**{ASKED: unknown}), curves, ["hidden_size"])[LAGS]) == []


@pytest.mark.parametrize(
    "values",
    [
        {"task": [f"a task of a {'very ' * 9}long name, number {at}" for at in range(30)], "width": [1, 2]},
        {"hidden_size": list(range(1, 21)), "cell": list("abcdefgh")},
        {"a": [1, 2], "b": [3, 4], "c": ["x", "y"]},
    ],
    ids=["names", "numbers", "panels"],
)
def test_legends_are_beside_the_axes_and_within_the_figure_and_no_labels_are_alike(values):
    table, curves, keys = grid(1, **values)
    for figure in figures_of(table, curves, keys, title="sweep: " + "hidden_size=1,2,3, " * 20).values():
        figure.draw_without_rendering()
        for axes in figure.axes:
            assert axes.get_legend() is None
            ticks = [label.get_text() for label in axes.get_xticklabels() if label.get_text()]
            assert len(set(ticks)) == len(ticks)
        for legend in parts_of(figure)[-1].legends:
            box = legend.get_window_extent()
            titles = [part._suptitle for part in parts_of(figure)[:-1]]
            assert not any(box.overlaps(other.get_window_extent()) for other in (*figure.axes, *titles))
            assert figure.bbox.x1 + 1 > box.x1 and box.y0 > -1
            labels = [text.get_text() for text in legend.get_texts()]
            assert {text.get_text() for text in legend.get_texts() if text.get_fontweight() == "bold"} <= set(keys)
            assert [text.get_fontweight() for text in legend.get_texts()].count("bold") == len(set(keys) & set(labels))
            sections = [list(group) for is_key, group in itertools.groupby(labels, keys.__contains__) if not is_key]
            assert len(labels) <= 24 and all(len(set(section)) == len(section) for section in sections)


def test_numbers_have_a_steady_lightness_and_categories_the_colours_of_okabe_and_ito():
    for found in ([1, 2, 4], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, None], list(range(40))):
        table = table_of(np.linspace(1, 2, len(found)), key=pd.Series(found, dtype=object).to_list())
        looks = Looks.of(table, ["key"], LOSS)
        shades = [shade(looks.color(value)) for value in ["null" if one is None else one for one in found]]
        assert (np.diff(shades) > 0).all() and shades[-1] < 0.6, "dark to light, and never too light for paper"
        assert (looks.scale is not None) == (len(found) > 8)
    named = Looks.of(table_of([1.0] * 4, key=["a", "b", "c", "d"]), ["key"], LOSS)
    assert [named.color(value) for value in "abcd"] == list(PALETTE[:4])
    apart = sorted(shade(color) for color in PALETTE[:3])
    assert min(np.diff(apart)) > 0.1
    assert [named.marker(value, None) for value in "abcd"] == list(MARKERS[:4]), "no second key: markers as well"
    assert len({str(named.dash(value, None)) for value in "abcd"}) == 4
    # Of too many categories the best have colours, and the others are said to be others.
    table = table_of(np.arange(12.0, 0.0, -1.0), key=[f"k{at:02d}" for at in range(12)])
    many = Looks.of(table, ["key"], LOSS)
    assert sorted(many.colors) == [f"k{at:02d}" for at in range(5, 12)] and many.color("k00") == GREY
    assert many.entries(["key"], lines=True)[1][-1] == "5 others"


def test_a_file_name_is_safe_and_not_taken():
    names = file_names(["a/b", "a b", "A_B", "../../x", "decay_rate"], "loss", ["loss_by_decay_rate.png"])
    assert list(names.values()) == [
        "loss_by_a_b.png",
        "loss_by_a_b_2.png",
        "loss_by_A_B_3.png",
        "loss_by_.._.._x.png",
        "loss_by_decay_rate_2.png",
    ]


def test_values_without_a_run_that_counts_are_told_and_marked():
    table = table_of([1.0, 2.0, 9.0, 9.0], learning_rate=[0.1, 0.1, 1e5, 1e6], seed=[0, 1, 0, 1])
    table.loc[["r2", "r3"], "status"] = "DIVERGED"
    looks = [ComparedRuns.of(rows, ["learning_rate"], LOSS, "", "").looks for rows in (table, table[:2])]
    assert looks[0].colors == looks[1].colors, "as in a report, which has only the finished ones"
    assert "All runs with learning_rate=100000, 1000000 were left out." in findings(table, ["learning_rate", "seed"])
    assert without_runs(table, "learning_rate", LOSS) == [100000, 1000000]
    assert without_runs(table[:2], "learning_rate", LOSS) == []
    assert without_runs(table[2:], "learning_rate", LOSS) == [], "nothing counts"
    figure = figures_of(table, {}, ["learning_rate", "seed"])["loss_by_learning_rate.png"]
    (axes,) = figure.axes
    crosses = [line.get_xdata() for line in axes.lines if line.get_marker() == "x"]
    assert crosses == [pytest.approx([1e5, 1e6])]
    assert axes.get_xscale() == "log" and "all runs there were left out" in said(figure)


@pytest.mark.parametrize("keys", [["cell", "seed"], ["seed"]])
def test_no_side_of_a_chart_calls_a_slope_vanishing_and_what_is_not_a_line_is_hollow(keys):
    table = table_of([1.0, 2.0, 3.0, 4.0], cell=["a", "a", "b", "b"], seed=[0, 1, 0, 1])
    table["final/gradient/decay_rate"] = [-0.5, -0.25, 0.25, 0.5]
    table["final/gradient/decay_fit"] = [0.99, 0.3, 0.94, NAN]
    figure = figures_of(table, {}, keys)[RATE]
    (axes,) = figure.axes
    hollow = {x: color == "#ffffff" for x, _, color, _, _ in points(axes)}
    assert hollow == {-0.5: False, -0.25: True, 0.25: True, 0.5: True}
    text = said(figure) + axes.get_xlabel()
    assert "vanish" not in text and "explod" not in text and "not a line" in text
    assert math.isclose(axes.get_xlim()[0], -0.55)
    table["final/gradient/decay_fit"] = 1.0
    assert "not a line" not in said(figures_of(table, {}, keys)[RATE])


def test_algorithms_are_compared_by_their_alignment_too():
    table, curves, keys = grid(2, algorithm=["bptt", "rtrl", "uoro"])
    measured = np.linspace(-0.1, 1.0, len(table))
    measured[1] = NAN
    table["final/gradient/alignment"] = measured
    figure = figures_of(table, curves, keys)["loss_by_alignment.png"]
    found = sorted((x, y) for x, y, *_ in points(figure.axes[0]))
    assert found == sorted((x, y) for x, y in zip(measured, table[LOSS], strict=True) if x == x)
    assert "1 of the included runs have no alignment" in "".join(text.get_text() for text in figure.findobj(Text))
    assert "loss_by_alignment.png" not in figures_of(table.rename(columns={"algorithm": "cell"}), curves, ["cell"])

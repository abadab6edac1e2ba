import pandas as pd
import pytest
from compared_runs import LOSS, NAN, grid, table_of

from rnnexp.comparison.effects import without_runs
from rnnexp.comparison.influence import findings
from rnnexp.comparison.sweep_figures import comparison_figures, file_names


def test_file_names_are_safe_and_never_the_same():
    names = file_names(["a/b", "a b", "A_B", "../../x", "decay_rate"], "loss", ["loss_by_decay_rate.png"])
    assert list(names.values()) == [
        "loss_by_a_b.png",
        "loss_by_a_b_2.png",
        "loss_by_A_B_3.png",
        "loss_by_.._.._x.png",
        "loss_by_decay_rate_2.png",
    ]


def test_values_without_a_run_that_counts_are_told_and_marked(tmp_path):
    table = table_of([1.0, 2.0, 9.0, 9.0], learning_rate=[0.1, 0.1, 1e5, 1e6], seed=[0, 1, 0, 1])
    table.loc[["r2", "r3"], "status"] = "DIVERGED"
    assert "All runs with learning_rate=100000, 1000000 were left out." in findings(table, ["learning_rate", "seed"])
    assert without_runs(table, "learning_rate", LOSS) == [100000, 1000000]
    assert without_runs(table[:2], "learning_rate", LOSS) == []
    assert without_runs(table[2:], "learning_rate", LOSS) == [], "nothing counts"
    figure = comparison_figures(table, {}, "t", ["learning_rate", "seed"], LOSS, "")["loss_by_learning_rate.png"][0]
    (axes,) = figure.axes
    assert [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "x"] == [[100000.0, 1000000.0]]
    assert axes.get_xscale() == "log"
    assert "all runs there were left out" in figure.get_supxlabel()


def texts(figure):
    """All that a figure says."""
    drawn = [text.get_text() for axes in figure.axes for text in axes.texts]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return " ".join([*drawn, *legends, figure.get_supxlabel(), *(axes.get_xlabel() for axes in figure.axes)])


def filled(figure):
    """Decay rates of the points by whether they are filled."""
    points = {True: [], False: []}
    for axes in figure.axes:
        for drawn in axes.collections:
            for rate, _ in drawn.get_offsets():
                points[bool((drawn.get_facecolors()[0, :3] < 1).any())].append(float(rate))
    return points


@pytest.mark.parametrize("keys", [["cell", "seed"], ["seed"]])
def test_no_side_of_a_chart_calls_a_slope_vanishing_and_what_is_not_a_line_is_hollow(keys):
    table = table_of([1.0, 2.0, 3.0, 4.0], cell=["a", "a", "b", "b"], seed=[0, 1, 0, 1])
    table["final/gradient/decay_rate"] = [-0.5, -0.25, 0.25, 0.5]
    table["final/gradient/decay_fit"] = [0.99, 0.3, 0.94, NAN]
    figure = comparison_figures(table, {}, "t", keys, LOSS, "")["loss_by_decay_rate.png"][0]
    assert filled(figure) == {True: [-0.5], False: [-0.25, 0.25, 0.5]}
    said = texts(figure)
    assert "vanish" not in said
    assert "explod" not in said
    assert "not a line" in said
    table["final/gradient/decay_fit"] = 1.0
    assert "not a line" not in texts(comparison_figures(table, {}, "t", keys, LOSS, "")["loss_by_decay_rate.png"][0])


def test_curves_of_all_versions_are_drawn_relative_to_lag_0():
    table = table_of([1.0, 2.0, 3.0], cell=["new", "old", "broken"], seed=[0, 0, 0])
    curves = {
        "r0": pd.Series([0.0, -1.0], index=[0, 1]),
        "r1": pd.Series([-3.0, -5.0], index=[0, 1]),
        "r2": pd.Series([-3.0], index=[1]),
    }
    figure = comparison_figures(table, curves, "t", ["cell", "seed"], LOSS, "")["gradient_by_lag.png"][0]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[0.0, -1.0], [0.0, -2.0]]


def test_lines_of_many_keys_can_be_told_apart():
    swept = {
        "optimizer.learning_rate": [0.001, 0.01],
        "init.recurrent.gain": [1, 2],
        "cell.activation": ["tanh", "relu"],
    }
    table, curves, keys = grid(**swept)
    figure = comparison_figures(table, curves, "t", keys, LOSS, "")["gradient_by_lag.png"][0]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(set(labels)) == 8
    assert " ".join(labels[0].split()) == "learning_rate=0.001, gain=1, activation=relu"


def test_an_axis_of_losses_does_not_go_far_below_zero():
    table = table_of([0.01, 0.9, 0.02, 1.0], hidden_size=[4, 4, 8, 8], seed=[0, 1, 0, 1])
    figure = comparison_figures(table, {}, "t", ["hidden_size", "seed"], LOSS, "")["loss_by_hidden_size.png"][0]
    assert -0.1 < figure.axes[0].get_ylim()[0] <= 0
    assert "beyond the axis" in figure.get_supxlabel()

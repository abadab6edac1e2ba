from compared_runs import LOSS, grid, table_of

from rnnexp.comparison.effects import findings, without_runs
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

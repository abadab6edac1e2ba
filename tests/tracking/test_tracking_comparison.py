"""The comparison of runs: means, intervals and shares worked out anew, and the files that show them."""

import itertools
import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rnnexp.comparison.effects import (
    explained_variance,
    findings,
    grouped,
    left_out,
    level,
    unit_of,
    usable_values,
    without_runs,
)
from rnnexp.comparison.files import write_comparison
from rnnexp.comparison.key_axis import KeyAxis
from rnnexp.comparison.sweep_figures import comparison_figures, file_names
from rnnexp.report import differing
from rnnexp.report import grouped as grouped_of_report

LOSS = "final/eval/loss"
NAN = math.nan
#: Student's t for 95 %, from a printed table, by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571}


def table_of(losses, **columns):
    """A table of finished runs r0, r1, ... with these losses."""
    rows = {"name": [f"run {index}" for index in range(len(losses))], "status": "FINISHED", **columns, LOSS: losses}
    return pd.DataFrame(rows, index=[f"r{index}" for index in range(len(losses))])


def grid(seeds=2, **values):
    """Every combination, with a loss, a decay rate and a curve for each."""
    rng = np.random.default_rng(0)
    rows = [dict(zip([*values, "seed"], row, strict=True)) for row in itertools.product(*values.values(), range(seeds))]
    table = table_of(rng.uniform(0.1, 1.4, len(rows)), **pd.DataFrame(rows, dtype=object).to_dict("list"))
    table["final/eval/accuracy"] = 0.5
    table["final/gradient/decay_rate"] = rng.normal(-0.2, 0.2, len(rows))
    curves = {run: pd.Series(-0.1 * np.arange(12.0), index=range(12)) for run in table.index}
    return table, curves, [*values, "seed"]


def png_size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.rstrip().endswith(b"IEND\xaeB`\x82")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_means_and_intervals_are_those_worked_out_by_hand():
    table = table_of([1.0, 2.0, 6.0, 0.5, 0.7], hidden_size=[4, 4, 4, 8, 8], seed=[0, 1, 2, 0, 1])
    means = grouped(table, ["hidden_size", "seed"])
    assert list(means.columns) == ["hidden_size", "n", "mean", "low", "high", "best", "left_out"]
    assert means["hidden_size"].tolist() == [4, 8] and means["n"].tolist() == [3, 2]
    # 1, 2, 6: mean 3, squared deviations 4 + 1 + 9 = 14, so s = sqrt(7), and sqrt(7 / 3) is the error of the mean
    half = [T[2] * math.sqrt(7 / 3), T[1] * 0.1]
    assert means["mean"].tolist() == pytest.approx([3.0, 0.6])
    assert means["low"].tolist() == pytest.approx([3 - half[0], 0.6 - half[1]], abs=1e-3)
    assert means["high"].tolist() == pytest.approx([3 + half[0], 0.6 + half[1]], abs=1e-3)
    assert means["best"].tolist() == [1.0, 0.5] and means["left_out"].tolist() == [0, 0]
    pd.testing.assert_frame_equal(grouped_of_report(table, ["hidden_size"]), means)


def test_the_best_accuracy_is_the_largest():
    table = table_of([1.0, 2.0]).assign(**{"final/eval/accuracy": [0.3, 0.9]})
    assert grouped(table, [], "final/eval/accuracy")["best"].tolist() == [0.9]
    assert findings(table, [], "final/eval/accuracy")[1].startswith("Largest final/eval/accuracy: 0.9, by run 1 (r1)")


def test_runs_that_did_not_finish_or_have_no_number_are_left_out_and_counted():
    table = table_of([1.0, 3.0, 100.0, NAN, math.inf, 5.0], key=["a", "a", "a", "a", "b", "b"])
    table["status"] = ["FINISHED", "SKIPPED", "DIVERGED", "FINISHED", "FINISHED", "KILLED"]
    means = grouped(table, ["key"]).set_index("key")
    assert means.loc["a", ["n", "mean", "left_out"]].tolist() == [2, 2.0, 2]
    assert means.loc["b", ["n", "left_out"]].tolist() == [0, 2]
    assert means.loc["b", ["mean", "low", "high", "best"]].isna().all()
    assert left_out(table, LOSS) == "4 of 6 runs left out: 1 DIVERGED, 1 KILLED, 2 without final/eval/loss"
    assert usable_values(table, LOSS).dropna().index.tolist() == ["r0", "r1"]
    assert usable_values(table, "no/such").isna().all()


def test_missing_values_and_null_are_one_group_after_all_others():
    table = table_of([1.0, 2.0, 3.0, 4.0, 5.0], bptt_length=[20, None, "null", 5.0, np.int64(20)])
    means = grouped(table, ["bptt_length"])
    assert means["bptt_length"].tolist() == [5, 20, "null"] and means["n"].tolist() == [1, 2, 2]


def test_any_value_becomes_a_number_or_a_text():
    values = [3, 3.0, 0.5, True, np.bool_(False), "x", None, NAN, pd.NA, math.inf, ["a", "b"], {"a": 1}, np.float32(2)]
    expected = [3, 3, 0.5, "true", "false", "x", "null", "null", "null", "inf", "['a', 'b']", "{'a': 1}", 2]
    assert [level(value) for value in values] == expected
    assert grouped(table_of([1.0, 2.0], freeze=[["a"], ["a"]]), ["freeze"])["n"].tolist() == [2]


def test_no_key_is_one_group_of_all():
    assert grouped(table_of([1.0, 2.0]), [])["n"].tolist() == [2]
    assert grouped(table_of([1.0, 2.0]), ["seed"]).columns[0] == "n"


def test_the_share_of_the_variance_is_that_worked_out_by_hand():
    # On the scale of ln: 0 1 | 4 5. Means 0.5 and 4.5, overall 2.5; between 4 * 2^2 = 16, in all 16 + 4 * 0.5^2 = 17.
    losses = np.exp([0.0, 1.0, 4.0, 5.0])
    table = table_of(losses, hidden_size=[8, 8, 4, 4], seed=[0, 1, 0, 1])
    found = explained_variance(table, ["seed", "hidden_size"])
    assert found.index.tolist() == ["hidden_size", "seed"]
    assert found["share"].tolist() == pytest.approx([16 / 17, 1 / 17])
    assert found["by_chance"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert found.loc["hidden_size", ["values", "best", "worst"]].tolist() == [2, 8, 4]
    # With a loss of zero there is no logarithm: 0, 1 | 4, 5 themselves.
    plain = table_of([0.0, 1.0, 4.0, 5.0], hidden_size=[8, 8, 4, 4])
    assert explained_variance(plain, ["hidden_size"])["share"].tolist() == pytest.approx([16 / 17])


def test_what_chance_gives_is_the_mean_share_over_all_shuffles():
    losses = np.array([0.2, 0.9, 0.4, 1.3, 0.1])
    shares = [
        explained_variance(table_of(losses[list(order)], key=["a", "a", "b", "b", "c"]), ["key"])["share"].iloc[0]
        for order in itertools.permutations(range(5))
    ]
    assert np.mean(shares) == pytest.approx((3 - 1) / (5 - 1))


@pytest.mark.parametrize(
    ("losses", "key"),
    [([0.1, 0.1, 0.1], [1, 1, 2]), ([1.0, 2.0, 3.0], [1, 2, 3]), ([1.0, 2.0], [1, 1]), ([1.0], [1]), ([NAN], [1])],
)
def test_a_share_that_says_nothing_is_not_given(losses, key):
    found = explained_variance(table_of(losses, key=key), ["key"])
    assert found[["share", "by_chance"]].isna().all(axis=None)


def test_the_findings_name_the_best_run_and_the_key_that_stands_out():
    table = table_of(np.exp([0.0, 1.0, 4.0, 5.0]), hidden_size=[8, 8, 4, 4], cell=["rnn", "lstm"] * 2)
    first, best, mattered = findings(table, ["cell", "hidden_size"])
    assert first == "All 4 runs count."
    assert best == "Smallest final evaluation loss: 1, by run 0 (r0)."
    assert mattered.startswith("hidden_size mattered most: its values account for 94% of the variance")
    assert "best at hidden_size=8 (1.859), worst at hidden_size=4 (101.5)" in mattered
    alike = findings(table_of([0.5, 0.7, 0.7, 0.5], cell=["rnn", "rnn", "lstm", "lstm"]), ["cell"])
    assert alike[-1] == "No key accounts for more of the variance than it would if the runs were shuffled."
    assert findings(table_of([0.5, 0.5]), [])[-1] == "The final evaluation loss is the same in all of them."
    assert findings(table_of([NAN]), [])[-1].startswith("No run that finished has a final evaluation loss")
    table = table_of([0.5, 0.7, 0.7, 0.5], cell=["rnn", "rnn", "lstm", "lstm"], seed=[0, 1, 1, 0])
    aside = "No key beside the seed accounts for more of the variance than it would if the runs were shuffled."
    assert findings(table, ["cell", "seed"])[-1] == aside


def test_losses_of_two_kinds_are_not_compared_without_a_word():
    table = table_of([0.5, 0.7, 0.7, 0.9], task=["recall", "recall", "adding", "adding"])
    assert unit_of(table, "final/eval/loss") == "" and "Beware" not in findings(table, ["task"])[-1]
    table["final/eval/accuracy"] = [0.5, 0.6, math.nan, math.nan]
    assert unit_of(table, "final/eval/loss") == "nats per scored step"
    table["final/eval/absolute_error"] = [math.nan, math.nan, 0.1, 0.2]
    assert unit_of(table, "final/eval/loss") == ""
    assert findings(table, ["task"])[-1].startswith("Beware: some runs have a loss in nats, others a squared error")
    assert "Beware" not in findings(table, ["task"], "final/eval/accuracy")[-1]


def test_the_unit_of_a_loss_is_told_from_the_other_metrics():
    classes = table_of([1.0]).assign(**{"final/eval/accuracy": 0.5})
    assert unit_of(classes, LOSS) == "nats per scored step"
    assert unit_of(table_of([1.0]).assign(**{"final/eval/absolute_error": 0.5}), LOSS) == "squared error"
    assert unit_of(table_of([1.0]), LOSS) == unit_of(classes, "final/eval/accuracy") == ""


def test_numbers_are_to_scale_null_at_their_right_and_words_in_order():
    numbers = KeyAxis.of([5, 10, "null", 5])
    assert numbers.numeric and not numbers.log
    assert (numbers.positions[5], numbers.positions[10]) == (5, 10) and numbers.positions["null"] > 10
    rates = KeyAxis.of([0.001, 0.1, "null"])
    assert rates.numeric and rates.log and rates.positions["null"] > 0.1
    assert not KeyAxis.of([0, 100]).log and not KeyAxis.of([5, 100]).log
    assert KeyAxis.of([5, "null"]) == KeyAxis({5: 0.0, "null": 1.0}, False, False)
    words = KeyAxis.of(["rnn", "null", 3, "gru"])
    assert not words.numeric and words.positions == {3: 0, "gru": 1, "rnn": 2, "null": 3}


def test_file_names_are_safe_and_never_the_same():
    names = file_names(["a/b", "a b", "A_B", "../../x", "decay_rate"], "loss", ["loss_by_decay_rate.png"])
    assert list(names.values()) == [
        "loss_by_a_b.png",
        "loss_by_a_b_2.png",
        "loss_by_A_B_3.png",
        "loss_by_.._.._x.png",
        "loss_by_decay_rate_2.png",
    ]


def test_a_sweep_gives_a_table_figures_and_a_page(tmp_path):
    table, curves, keys = grid(3, hidden_size=[4, 8], bptt_length=[5, 10, None])
    table.iloc[0, table.columns.get_loc("status")] = "DIVERGED"
    paths = write_comparison(table, curves, tmp_path / "new" / "folder", title="my sweep", keys=keys)
    assert sorted(path.name for path in paths) == [
        "gradient_by_lag.png",
        "loss_by_bptt_length.png",
        "loss_by_decay_rate.png",
        "loss_by_hidden_size.png",
        "sweep.csv",
        "sweep.html",
    ]
    assert set((tmp_path / "new" / "folder").iterdir()) == set(paths)
    pictures = [path for path in paths if path.suffix == ".png"]
    for path in pictures:
        assert min(png_size(path)) > 300
    text = paths[-1].read_text(encoding="utf-8")
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', text)) == len(pictures)
    assert "1 of 18 runs left out: 1 DIVERGED." in text and "eta squared" in text
    assert text.count('<tr class="out">') == 1
    assert "http" not in text and "<script" not in text


def test_the_table_is_read_back_as_it_was(tmp_path):
    table, curves, keys = grid(2, **{"optimizer.learning_rate": [0.1, 1e-5], "cell": ["rnn", "l,s\n\"t'm"]})
    table["gradient/horizon"] = 1.0
    table.loc["r1", "final/eval/accuracy"] = NAN
    path, *_ = write_comparison(table, curves, tmp_path, title="t", keys=keys)
    read = pd.read_csv(path, index_col="run")
    finals = [name for name in table if name.startswith("final/")]
    expected = table[["name", "status", *keys, *finals]].infer_objects()
    pd.testing.assert_frame_equal(read, expected, check_names=False, rtol=1e-15, atol=0)


def test_another_metric_gets_its_own_names(tmp_path):
    table, curves, keys = grid(2, hidden_size=[4, 8])
    paths = write_comparison(table, curves, tmp_path, title="t", keys=keys, metric="final/eval/accuracy", unit="share")
    names = {path.name for path in paths}
    assert {"accuracy_by_hidden_size.png", "accuracy_by_decay_rate.png"} < names
    assert "final/eval/accuracy (share)" in (tmp_path / "sweep.html").read_text()


def test_html_in_names_values_and_titles_is_shown_as_text(tmp_path):
    evil = "<script>alert('x')</script> & \"q\""
    table, curves, keys = grid(2, **{"<i>key</i>": [evil, "$a$ $b", "_x"]})
    table["name"] = evil
    write_comparison(table, curves, tmp_path, title=f"{evil} \\frac", keys=keys)
    text = (tmp_path / "sweep.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<i>" not in text
    assert "&lt;script&gt;" in text and "&lt;i&gt;key&lt;/i&gt;" in text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "case", ["one", "failed", "constant", "no keys", "no curves", "empty curve", "zero", "empty", "no metric", "huge"]
)
def test_odd_tables_are_compared_all_the_same(case, tmp_path):
    table, curves, keys = grid(2, hidden_size=[4, 8])
    if case == "one":
        table, curves = table.iloc[:1], {"r0": curves["r0"]}
    elif case == "failed":
        table["status"] = "FAILED"
    elif case == "constant":
        table[LOSS], table["final/gradient/decay_rate"] = 0.25, 0.0
    elif case == "no keys":
        keys = []
    elif case == "no curves":
        curves = {}
    elif case == "empty curve":
        curves = {"r0": pd.Series(dtype=float), "r1": pd.Series([0.0], index=[0]), "unknown": pd.Series([1.0])}
    elif case == "zero":
        table[LOSS] = 0.0
    elif case == "empty":
        table = table.iloc[:0]
    elif case == "no metric":
        table = table.drop(columns=LOSS)
    elif case == "huge":
        table[LOSS] = [1e-30, 1e30, 1e38, 0.1]
    paths = write_comparison(table, curves, tmp_path, title="odd", keys=keys)
    assert all(path.stat().st_size for path in paths)
    nothing = case in ("failed", "empty", "no metric")
    assert ([path.suffix for path in paths] == [".csv", ".html"]) == nothing
    assert ("gradient_by_lag.png" in {path.name for path in paths}) == (not nothing and case != "no curves")


@pytest.mark.thorough
def test_two_hundred_runs_over_many_settings_and_a_search_at_random(tmp_path):
    table, curves, keys = grid(2, hidden_size=[4, 8, 16, 400, None], cell=["a", "b", "c", "d"], lag=[1, 2, 3, 4, 5])
    assert len(table) == 200
    table["rate"] = np.random.default_rng(1).uniform(1e-5, 1e-1, 200)
    paths = write_comparison(table, curves, tmp_path, title="x" * 500, keys=[*keys, "rate"])
    assert len(paths) == 8
    assert (tmp_path / "sweep.html").stat().st_size < 3e6


@pytest.mark.thorough
def test_a_sweep_over_very_many_keys_draws_those_that_stand_out(tmp_path):
    table, _, _ = grid(3, hidden_size=[4, 8])
    rng = np.random.default_rng(0)
    more = {f"key{index}": rng.integers(2, size=len(table)) for index in range(20)}
    paths = write_comparison(table.assign(**more), {}, tmp_path, title="t", keys=["hidden_size", *more])
    assert sum(path.name.startswith("loss_by_") for path in paths) == 12 + 1


def test_the_parameters_that_differ_are_told_from_metrics_and_records():
    table = table_of(
        [1.0, 2.0], hidden_size=[4, 4], cell=["rnn", "lstm"], run_name=["a", "b"], skip_finished=["x", "y"]
    )
    table = table.assign(
        sweep=["s", None], seed=[0, 1], bptt_length=[5, None], solved_at_step=[1.0, 2.0], tie=[None, NAN]
    )
    assert differing(table) == ["cell", "seed", "bptt_length"]
    assert differing(table.iloc[:1]) == []


def test_comparing_needs_no_mlflow():
    code = (
        "import sys, tempfile, pandas as pd; from pathlib import Path\n"
        "from rnnexp.comparison.files import write_comparison\n"
        "table = pd.DataFrame({'name': ['a'], 'status': ['FINISHED'], 'final/eval/loss': [1.0]}, index=['r'])\n"
        "write_comparison(table, {}, Path(tempfile.mkdtemp()), title='t', keys=[])\n"
        "assert 'mlflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_configuration_that_ran_twice_counts_once():
    """Its numbers are the same to the bit: two of them are one seed, and no sample."""
    table = table_of([1.0, 1.0, 2.0, 9.0, 5.0], hidden_size=[4, 4, 4, 4, 8], seed=[0, 0, 1, 2, 0])
    table["config"] = ["a", "a", "b", "c", ""]
    table.loc["r3", "status"] = "DIVERGED"
    means = grouped(table, ["hidden_size"]).set_index("hidden_size")
    assert means.loc[4, "n"] == 2 and means.loc[4, "mean"] == 1.5 and means.loc[4, "left_out"] == 2
    assert means.loc[4, "high"] == pytest.approx(1.5 + T[1] * math.sqrt(0.5) / math.sqrt(2), rel=1e-4)
    assert left_out(table, LOSS) == "2 of 5 runs left out: 1 DIVERGED, 1 the same as a later one"
    assert usable_values(table, LOSS).isna().tolist() == [True, False, False, True, False]


def test_values_without_a_run_that_counts_are_told_and_marked(tmp_path):
    table = table_of([1.0, 2.0, 9.0, 9.0], learning_rate=[0.1, 0.1, 1e5, 1e6], seed=[0, 1, 0, 1])
    table.loc[["r2", "r3"], "status"] = "DIVERGED"
    assert "No run with learning_rate=100000, 1000000 counts." in findings(table, ["learning_rate", "seed"])
    assert without_runs(table, "learning_rate", LOSS) == [100000, 1000000]
    assert without_runs(table[:2], "learning_rate", LOSS) == []
    assert without_runs(table[2:], "learning_rate", LOSS) == [], "nothing counts"
    figure = comparison_figures(table, {}, "t", ["learning_rate", "seed"], LOSS, "")["loss_by_learning_rate.png"][0]
    (axes,) = figure.axes
    assert [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "x"] == [[100000.0, 1000000.0]]
    assert axes.get_xscale() == "log"
    assert "no run counts there" in figure.get_supxlabel()


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

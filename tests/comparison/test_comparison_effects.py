"""Means, intervals and shares of the variance worked out anew, and what the findings say."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from compared_runs import LOSS, NAN, table_of
from scipy.stats import f, f_oneway, ttest_ind

from rnnexp.comparison.conclusions import findings, welch
from rnnexp.comparison.effects import (
    MEAN,
    MEDIAN,
    average_of,
    grouped,
    left_out,
    level,
    levels,
    unit_of,
    usable_values,
)
from rnnexp.comparison.influence import all_effects, explained_variance, interactions, what_mattered
from rnnexp.pages import significant
from rnnexp.report import grouped as grouped_of_report

#: Student's t for 95 % and two degrees of freedom, from a printed table.
T2 = 4.303


def test_means_and_intervals_are_those_worked_out_by_hand():
    table = table_of([1.0, 2.0, 6.0, 0.5, 0.7], hidden_size=[4, 4, 4, 8, 8], seed=[0, 1, 2, 0, 1])
    means = grouped(table, ["hidden_size", "seed"])
    statistics = ["n", "mean", "low", "high", "median", "lower", "upper", "best", "left_out"]
    assert list(means.columns) == ["hidden_size", *statistics]
    assert means["hidden_size"].tolist() == [4, 8] and means["n"].tolist() == [3, 2]
    # 1, 2, 6: mean 3, squared deviations 4 + 1 + 9 = 14, so s = sqrt(7), and sqrt(7 / 3) is the error of the mean
    half = T2 * math.sqrt(7 / 3)
    assert means["mean"].tolist() == pytest.approx([3.0, 0.6])
    assert means["median"].tolist() == pytest.approx([2.0, 0.6])
    for column, expected in {"low": 3 - half, "high": 3 + half, "lower": 1.5, "upper": 4.0}.items():
        assert means[column][0] == pytest.approx(expected, abs=1e-3)
        assert math.isnan(means[column][1]), "of two runs there is no interval"
    assert means["best"].tolist() == [1.0, 0.5] and means["left_out"].tolist() == [0, 0]
    pd.testing.assert_frame_equal(grouped_of_report(table, ["hidden_size"]), means)


def test_the_best_accuracy_is_the_largest():
    table = table_of([1.0, 2.0]).assign(**{"final/eval/accuracy": [0.3, 0.9]})
    assert grouped(table, [], "final/eval/accuracy")["best"].tolist() == [0.9]
    said = findings(table, [], "final/eval/accuracy")
    assert said[1:3] == [
        "The final/eval/accuracy over 2 runs with one seed: mean 0.600.",
        "Largest final/eval/accuracy of a single run: 0.900, in run 1.",
    ]


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


def test_levels_are_those_of_each_value():
    columns = ([1, 2, 1], [1.0, NAN, 2.5], ["a", None, "1"], [True, False, True], [1, True, None], [NAN, NAN, NAN])
    for column in columns:
        assert levels(pd.DataFrame({"key": column}), "key") == [level(value) for value in column]


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
    first, setting, best, few, once = findings(table, ["cell", "hidden_size"])
    assert once.startswith("Each combination was run once: ")
    assert first == "All 4 runs are included."
    assert setting == (
        "Best setting: cell=rnn, hidden_size=8, with a final evaluation loss of 1 (one seed); next is cell=lstm, "
        "hidden_size=8 with 2.72 (one seed). With one seed of a setting, this need not be so with other seeds."
    )
    assert best == "Smallest final evaluation loss of a single run: 1, in run 0 (cell=rnn, hidden_size=8)."
    assert few.startswith("hidden_size has the largest share of the variance, 94%, but chance gives as much too often")
    table = pd.concat([table.assign(seed=seed, **{LOSS: table[LOSS] * (1 + 0.2 * seed)}) for seed in range(3)])
    table.index = [f"r{place}" for place in range(len(table))]
    _, setting, _, mattered, other, together = findings(table, ["cell", "hidden_size", "seed"])
    p = ttest_ind(*(np.log([1.0, 1.2, 1.4]) + factor for factor in (0, 1)), equal_var=False).pvalue
    assert setting == (
        "Best setting: cell=rnn, hidden_size=8, with a median final evaluation loss of 1.20 (3 seeds); next is "
        "cell=lstm, hidden_size=8 with 3.26 (3 seeds); the difference is larger than the noise (Welch's t test of the "
        f"logarithms, p = {p:.2g})."
    )
    assert mattered == (
        "hidden_size mattered most: its values account for 94% of the variance (F test, p < 0.001, over 12 runs with 3 "
        "seeds); the median is best at hidden_size=8 (2.06, 6 runs with 3 seeds), worst at hidden_size=4 (112, 6 runs "
        "with 3 seeds)."
    )
    assert other == "With smaller shares of the variance, so did cell (6%, p < 0.001)."
    assert together == "No two keys act together by more than chance (F test, over 12 runs with 3 seeds)."
    table[LOSS] = (
        np.exp(9.0 * table["hidden_size"]) * (1 + 0.01 * (table["cell"] == "rnn")) * (1 + 1e-4 * table["seed"])
    )
    said = " ".join(findings(table, ["cell", "hidden_size", "seed"]))
    assert "account for over 99% of the variance" in said and "so did cell (under 1%, p < 0.001)" in said
    alike = findings(table_of([0.5, 0.7, 0.7, 0.5], cell=["rnn", "rnn", "lstm", "lstm"]), ["cell"])
    nothing = "No key accounts for more of the variance than expected by chance, over 4 runs with"
    assert alike[-1] == f"{nothing} one seed."
    assert findings(table_of([0.5, 0.5]), [])[-1] == "The final evaluation loss is the same in all of them."
    assert findings(table_of([NAN]), [])[-1].startswith("No run that finished has a final evaluation loss")
    table = table_of([0.5, 0.7, 0.7, 0.5], cell=["rnn", "rnn", "lstm", "lstm"], seed=[0, 1, 1, 0])
    assert findings(table, ["cell", "seed"])[-1] == f"{nothing} 2 seeds."


def crossed(effect, seeds=4, noise=0.1):
    """Runs of two keys with two values each, ln of whose losses is `effect` of them, and some noise."""
    rng = np.random.default_rng(0)
    rows = list(itertools.product("ab", "xy", range(seeds)))
    losses = np.exp([effect(cell == "a", data == "x") + noise * rng.standard_normal() for cell, data, _ in rows])
    cell, data, seed = zip(*rows, strict=True)
    return table_of(losses, cell=cell, data=data, seed=seed)


def test_the_share_of_an_interaction_is_what_the_additive_model_leaves():
    table = crossed(lambda a, x: 0.5 * a + 2.0 * (a == x))
    logs = np.log(table[LOSS].to_numpy()).reshape(2, 2, 4)
    cells, total = logs.mean(axis=2), ((logs - logs.mean()) ** 2).sum()
    additive = cells.mean(axis=1, keepdims=True) + cells.mean(axis=0) - cells.mean()
    between, within = 4 * ((cells - additive) ** 2).sum(), ((logs - cells[..., None]) ** 2).sum()
    found = interactions(table, ["cell", "data"]).loc["cell x data"]
    assert found["share"] == pytest.approx(between / total)
    assert found["by_chance"] == pytest.approx(1 / 15)
    assert found["p"] == pytest.approx(f.sf(between / (within / 12), 1, 12), abs=1e-12)
    single = explained_variance(table, ["cell", "data"])
    assert single["share"].sum() + found["share"] + within / total == pytest.approx(1.0)


def test_of_uneven_runs_the_additive_model_is_that_of_least_squares():
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 7, 90), rng.integers(0, 4, 90)
    table = table_of(rng.uniform(0.1, 1.4, 90), lag=rows, cell=columns).drop(index=["r3"])
    logs = np.log(table[LOSS])
    cells = logs.groupby([table["lag"], table["cell"]]).transform("mean")
    dummies = pd.get_dummies(table[["lag", "cell"]].astype(str), dtype=float).to_numpy()
    additive = dummies @ np.linalg.lstsq(dummies, cells.to_numpy())[0]
    expected = ((cells - additive) ** 2).sum() / ((logs - logs.mean()) ** 2).sum()
    for keys in (["lag", "cell"], ["cell", "lag"]):
        assert interactions(table, keys)["share"].iloc[0] == pytest.approx(expected, rel=1e-10)


def test_an_interaction_of_two_keys_with_very_many_values_is_not_looked_for(monkeypatch):
    table = crossed(lambda a, x: 0.5 * a + 2.0 * (a == x))
    monkeypatch.setattr("rnnexp.comparison.influence.MOST_VALUES", 1)
    assert interactions(table, ["cell", "data"])["share"].isna().all()
    assert interactions(table, ["cell", "cell"])["share"].isna().all()


def test_how_often_chance_gives_such_a_share_is_the_f_test():
    table = crossed(lambda a, x: 0.1 * a + 0.2 * x)
    logs = np.log(table[LOSS])
    found = explained_variance(table, ["cell", "data", "seed"])
    for key in ("cell", "data", "seed"):
        expected = f_oneway(*(group.to_numpy() for _, group in logs.groupby(table[key]))).pvalue
        assert found.loc[key, "p"] == pytest.approx(expected, rel=1e-6)


def test_keys_that_interact_are_named():
    *_, together = findings(crossed(lambda a, x: 1.0 * (a == x)), ["cell", "data", "seed"])
    assert together.startswith("cell and data act together: beyond their own effects, their combinations account for 9")
    assert "(F test, p < 0.001, over 16 runs with 4 seeds); the mean is best at cell=" in together
    *_, mattered, alone = findings(crossed(lambda a, x: 1.0 * a), ["cell", "data", "seed"])
    assert alone.startswith("No two keys act together by more than chance (F test")
    assert mattered.startswith("cell mattered most: ")


def test_the_seed_is_noise_and_no_key():
    rng = np.random.default_rng(0)
    rows = list(itertools.product("ab", range(4)))
    losses = [1 + seed + 0.01 * rng.standard_normal() for _, seed in rows]
    table = table_of(losses, cell=[cell for cell, _ in rows], seed=[seed for _, seed in rows])
    assert all_effects(table, ["seed", "cell"]).index.tolist() == ["cell"]
    said = findings(table, ["seed", "cell"])
    assert not any("mattered" in sentence or "seed has" in sentence for sentence in said)


def test_an_effect_is_measured_against_the_noise_of_the_seeds_and_corrected_for_the_number_of_effects():
    table = crossed(lambda a, x: 0.2 * a + 5.0 * x)
    found = all_effects(table, ["cell", "data", "seed"])
    assert found.index.tolist() == ["data", "cell", "data x cell"]
    logs = np.log(table[LOSS].to_numpy()).reshape(2, 2, 4)
    within = ((logs - logs.mean(axis=2, keepdims=True)) ** 2).sum() / 12
    between = 8 * ((logs.mean(axis=(1, 2)) - logs.mean()) ** 2).sum()
    assert found.loc["cell", "p"] == pytest.approx(3 * f.sf(between / within, 1, 12), rel=1e-6)
    assert (
        found.loc["cell", "share"] < 0.01 < 0.05 < float(f_oneway(*np.log(table[LOSS].to_numpy()).reshape(2, 8)).pvalue)
    )
    # Where a combination was run more often than another, the effects are not told apart: all else is noise.
    uneven = crossed(lambda a, x: 0.2 * a + 5.0 * x).iloc[3:]
    logs, cell = np.log(uneven[LOSS]), uneven["cell"]
    expected = 3 * f_oneway(logs[cell == "a"], logs[cell == "b"]).pvalue
    assert all_effects(uneven, ["cell", "data"]).loc["cell", "p"] == pytest.approx(min(1.0, expected), rel=1e-6)


def test_losses_over_decades_have_a_median_and_others_a_mean():
    assert average_of(pd.Series([0.1, 0.5]), LOSS) is MEAN and average_of(pd.Series([0.01, 0.5]), LOSS) is MEDIAN
    assert average_of(pd.Series([0.0, 0.01, 0.5]), LOSS) is MEDIAN
    assert average_of(pd.Series([-0.5, 0.01, 0.5]), LOSS) is MEAN
    assert average_of(pd.Series([0.01, 0.5]), "final/eval/accuracy") is MEAN
    assert average_of(pd.Series(dtype=float), LOSS) is MEAN


def test_the_test_of_two_settings_is_welchs():
    first, second = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.5, 9.0, 4.0])
    assert welch(first, second) == pytest.approx(ttest_ind(first, second, equal_var=False).pvalue)
    assert math.isnan(welch(np.ones(3), np.ones(2)))


def test_measured_numbers_have_three_digits_and_counts_all():
    numbers = [0.061, 0.12345, 123.456, 1234567.8, 123456, 1.0, 0.0, NAN, math.inf, -0.00012]
    expected = ["0.0610", "0.123", "123", "1.23e+06", "123456", "1", "0", "", "", "-0.000120"]
    assert list(map(significant, numbers)) == expected


def test_only_what_exceeds_the_shuffled_level_is_listed():
    listed = what_mattered(crossed(lambda a, x: 1.0 * a), ["cell", "data", "seed"])
    assert listed.index[0] == "cell"
    assert (listed["share"] > listed["by_chance"]).all()
    below = explained_variance(
        table_of([1.0, 2.0, 1.5, 1.4], key=["a", "b", "b", "a"], other=[1, 1, 2, 2]), ["key", "other"]
    )
    assert below.loc["other", "share"] < below.loc["other", "by_chance"]
    table = table_of([1.0, 2.0, 1.5, 1.4], key=["a", "b", "b", "a"], other=[1, 1, 2, 2])
    assert what_mattered(table, ["key", "other"]).index.tolist() == ["key"]


def test_few_runs_do_not_tell_what_mattered():
    losses = [0.1, 0.5, 0.9, 0.3, 1.2, 0.2]
    table = table_of(losses, cell=["a", "b", "c"] * 2, lag=[1, 1, 1, 2, 2, 2], seed=[0] * 6)
    *_, few, once = findings(table, ["cell", "lag"])
    assert few == (
        "cell has the largest share of the variance, 52%, but chance gives as much too often (F test, p = 0.67, over 6 "
        "runs with one seed): these runs do not show that it mattered."
    )
    assert once.startswith("Each combination was run once: interactions and differences between seeds")
    assert interactions(table, ["cell", "lag"])["share"].isna().all()
    again = pd.concat([table, table.assign(seed=1, **{LOSS: np.array(losses) * 1.01})], ignore_index=True)
    assert not any("run once" in sentence for sentence in findings(again, ["cell", "lag", "seed"]))


def test_a_key_that_another_decides_has_no_interaction_with_it():
    table = table_of([1.0, 2.0, 3.0, 4.0], cell=["a", "a", "b", "b"], bias=[1, 1, 2, 2])
    assert interactions(table, ["cell", "bias"])["share"].isna().all()


def test_losses_of_two_kinds_are_not_compared_without_a_word():
    table = table_of([0.5, 0.7, 0.7, 0.9], task=["recall", "recall", "adding", "adding"])
    caution = (
        "Caution: these are 2 tasks (adding, recall), whose losses do not mean the same: compare them task by task"
    )
    assert findings(table, ["task"])[-1] == f"{caution}, or by final/eval/loss_over_baseline."
    assert not any("Caution" in sentence for sentence in findings(table.iloc[:2], ["task"]))
    table = table.rename(columns={"task": "data"})
    assert unit_of(table, "final/eval/loss") == "" and "Caution" not in findings(table, ["data"])[-1]
    table["final/eval/accuracy"] = [0.5, 0.6, math.nan, math.nan]
    assert unit_of(table, "final/eval/loss") == "nats per scored step"
    table["final/eval/mean_absolute_error"] = [math.nan, math.nan, 0.1, 0.2]
    assert unit_of(table, "final/eval/loss") == ""
    assert findings(table, ["data"])[-1].startswith("Caution: some losses are in nats and others are squared errors")
    assert "Caution" not in findings(table, ["data"], "final/eval/accuracy")[-1]


def test_the_unit_of_a_loss_is_told_from_the_other_metrics():
    classes = table_of([1.0]).assign(**{"final/eval/accuracy": 0.5})
    assert unit_of(classes, LOSS) == "nats per scored step"
    assert unit_of(table_of([1.0]).assign(**{"final/eval/mean_absolute_error": 0.5}), LOSS) == "squared error"
    assert unit_of(table_of([1.0]), LOSS) == unit_of(classes, "final/eval/accuracy") == ""


def test_a_configuration_that_ran_twice_counts_once():
    """Its numbers are the same to the bit: two of them are one seed, and no sample."""
    table = table_of([1.0, 1.0, 2.0, 9.0, 5.0], hidden_size=[4, 4, 4, 4, 8], seed=[0, 0, 1, 2, 0])
    table["config"] = ["a", "a", "b", "c", ""]
    table.loc["r3", "status"] = "DIVERGED"
    means = grouped(table, ["hidden_size"]).set_index("hidden_size")
    assert means.loc[4, "n"] == 2 and means.loc[4, "mean"] == 1.5 and means.loc[4, "left_out"] == 2
    assert left_out(table, LOSS) == "2 of 5 runs left out: 1 DIVERGED, 1 repeated later"
    assert usable_values(table, LOSS).isna().tolist() == [True, False, False, True, False]

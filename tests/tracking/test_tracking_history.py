import math

import numpy as np
import pytest

from rnnexp.gradients import GradientStudy, NormsByLag
from rnnexp.history import History, Point, log10_by_lag
from rnnexp.layers import build_network
from rnnexp.tasks import Adding, Baseline, Recall, Text
from rnnexp.training import Evaluation, Report

NAN, INF = math.nan, math.inf


def history(steps=10, task=None):
    return History(task or Recall(lag=3), steps)


def update(step, loss=1.0, norm=2.0, **more):
    return Report(step, loss, norm, **more)


def as_dict(points):
    found = {point.name: point.value for point in points}
    assert len(found) == len(points)
    return found


def study_of(*norms):
    """A study whose norms by lag are these, one row a lag."""
    task = Recall(lag=3, eval_sequences=2)
    network = build_network(
        hidden_size=2, output_size=4, input_size=task.input_size, rng=np.random.default_rng(0), dtype=np.float64
    )
    study = GradientStudy()(network, task.evaluation(rng=np.random.default_rng(1)), "classes", length=2)
    object.__setattr__(study, "norms", NormsByLag(np.array([np.atleast_1d(row) for row in norms], float)))
    return study


@pytest.mark.parametrize(
    ("steps", "losses", "shares"),
    [(1, 1, 1), (19, 19, 19), (100, 100, 100), (101, 51, 21), (199, 67, 23), (200, 50, 20), (4010, 51, 21)],
)
def test_a_curve_of_training_has_about_fifty_points_and_one_of_clipping_twenty(steps, losses, shares):
    kept = history(steps)
    for step in range(1, steps + 1):
        kept.add(update(step, 1.0))
    assert len(kept.curves["train/loss"]) == len(kept.curves["train/grad_norm"]) == losses
    assert len(kept.curves["train/clipped_fraction"]) == len(kept.curves["train/clipped_grad_norm"]) == shares
    assert kept.curves["train/clipped_fraction"][-1][0] == steps


def test_training_values_are_averaged_over_an_interval():
    kept = history(250)  # a point every 5 updates, every 12 for clipping
    points = []
    for step in range(1, 13):
        clipped = step in (2, 3, 7)
        report = update(step, float(step), 10.0 * step, clipped=clipped, clipped_norm=1.0 if clipped else 10.0 * step)
        points.append(kept.add(report))
    assert [len(some) for some in points] == [0, 0, 0, 0, 2] * 2 + [0, 2]
    assert all(point.step == 5 for point in points[4])
    assert as_dict(points[4]) == {"train/loss": 3.0, "train/grad_norm": 30.0}
    assert as_dict(points[9]) == {"train/loss": 8.0, "train/grad_norm": 80.0}
    assert as_dict(points[11]) == {
        "train/clipped_grad_norm": pytest.approx((10 * (12 * 13 / 2 - 2 - 3 - 7) + 3) / 12),
        "train/clipped_fraction": pytest.approx(3 / 12),
    }
    assert kept.curves["train/loss"] == [(5, 3.0), (10, 8.0)]


def test_short_runs_have_a_point_an_update():
    kept = history(3)
    for step in (1, 2, 3):
        kept.add(update(step, float(step)))
    assert kept.curves["train/loss"] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_the_last_interval_may_be_shorter():
    kept = history(103)  # a point every 2 updates
    for step in (100, 101, 102, 103):
        kept.add(update(step, float(step)))
    assert kept.curves["train/loss"] == [(100, 100.0), (102, 101.5), (103, 103.0)]


def test_an_evaluation_does_not_end_an_interval():
    kept = history(200)
    kept.add(update(1, 1.0))
    found = as_dict(kept.add(update(2, 2.0, evaluation=Evaluation(0.5, 0.25))))
    assert (found["eval/loss"], found["eval/accuracy"]) == (0.5, 0.25)
    assert "train/loss" not in found
    kept.add(update(3, 6.0))
    assert as_dict(kept.add(update(4, 11.0)))["train/loss"] == 5.0


def test_without_clipping_the_norm_after_it_is_the_norm_before():
    assert as_dict(history().add(update(1, 1.0, 7.0)))["train/clipped_grad_norm"] == 7.0


EVALUATED = ("loss", "accuracy", "loss_over_baseline", "loss_above_floor", "solved")


def test_before_the_first_update_there_is_no_training_value():
    assert history().add(Report(0)) == []
    found = as_dict(history().add(Report(0, evaluation=Evaluation(0.7, 0.5))))
    assert set(found) == {f"eval/{name}" for name in EVALUATED}


def test_evaluations_are_put_beside_the_baseline():
    found = as_dict(history().add(Report(0, evaluation=Evaluation(math.log(2.0), 0.5))))
    assert found["eval/loss_over_baseline"] == pytest.approx(0.5, rel=1e-14)  # of ln 4


def test_values_without_an_accuracy_have_none():
    found = as_dict(history().add(Report(0, evaluation=Evaluation(1.0, None))))
    assert "eval/accuracy" not in found


def test_a_baseline_of_zero_is_nothing_to_be_put_beside():
    kept = history()
    kept.baseline = Baseline(0.0, None, "perfect")
    assert "eval/loss_over_baseline" not in as_dict(kept.add(Report(0, evaluation=Evaluation(1.0, 1.0))))


def test_a_tasks_further_units():
    kept = history(task=Text(output_size=5))
    found = as_dict(kept.add(Report(0, evaluation=Evaluation(math.log(8.0), 0.1))))
    assert found["eval/bits_per_character"] == pytest.approx(3.0, rel=1e-14)


def test_update_ratios_by_name():
    found = as_dict(history(1000).add(update(1, update_ratios={"output.W": 0.01, "recurrent.b": NAN})))
    assert found == {"update_ratio/output.W": 0.01}


def test_what_is_not_finite_is_counted_and_in_no_curve():
    kept = history()
    kept.add(update(1, 1.0, 2.0))
    assert kept.not_finite == 0
    diverged = update(2, NAN, INF, diverged=True)
    found = as_dict(kept.add(diverged))
    assert found == {"train/clipped_fraction": 0.0}
    assert kept.not_finite == 3  # loss, norm, and norm after clipping
    assert kept.diverged is diverged
    assert kept.curves["train/loss"] == [(1, 1.0)]
    assert kept.last("train/loss") == 1.0


def test_an_evaluation_that_is_not_finite_is_counted():
    kept = history()
    kept.add(Report(0, evaluation=Evaluation(INF, 0.0), diverged=True))
    assert kept.not_finite == 3  # the loss, the loss over the baseline, and above the floor
    assert "eval/loss" not in kept.curves
    assert kept.curves["eval/accuracy"] == [(0, 0.0)]
    assert as_dict(kept.summary()) == {}


def test_a_run_that_diverged_has_no_final_values():
    """What it had before would pass for what it came to: the loss before training, often enough."""
    kept = history()
    kept.add(Report(0, evaluation=Evaluation(1.5, 0.25)))
    assert as_dict(kept.summary())["final/eval/loss"] == 1.5
    kept.add(update(1, INF, INF, diverged=True))
    assert as_dict(kept.summary()) == {}


def test_a_divergence_in_an_interval_is_told_at_once():
    kept = history(10_000)
    kept.add(update(1, 4.0, 1.0))
    kept.add(update(2, 8.0, INF, diverged=True))
    assert kept.curves["train/loss"] == [(2, 6.0)]
    assert kept.not_finite == 2


def test_numbers_that_a_study_cannot_define_are_no_sign_of_divergence():
    kept = history()
    study = study_of([1.0, 1.0], [0.0, 0.0])
    undefined = {name for name, value in study.metrics().items() if not math.isfinite(value)}
    assert undefined >= {"gradient/decay_rate", "gradient/log10_ratio", "gradient/half_life"}
    found = as_dict(kept.add(Report(0, study=study)))
    assert set(found) == set(study.metrics()) - undefined
    assert kept.not_finite == 0
    assert kept.studies == [(0, study)]


def test_the_last_and_the_best_of_a_curve():
    kept = history()
    for step, loss in [(0, 3.0), (1, 0.5), (2, 2.0), (3, NAN)]:
        kept.add(Report(step, evaluation=Evaluation(loss, None)))
    assert kept.last("eval/loss") == 2.0
    assert kept.best("eval/loss") == 0.5
    assert math.isnan(kept.last("eval/accuracy"))
    assert math.isnan(kept.best("eval/accuracy"))


def test_the_summary_has_what_runs_are_compared_by_and_no_more():
    kept = history(5)
    kept.add(Report(0, evaluation=Evaluation(3.0, 0.1)))
    for step in (1, 2, 3):
        kept.add(update(step, 10.0 - step, evaluation=Evaluation([0.5, 0.25, 2.0][step - 1], 0.2 * step)))
    kept.add(update(4, 1.5))
    summary = kept.summary()
    assert all(point.step == 4 for point in summary)
    found = as_dict(summary)
    over = 2.0 / kept.baseline.loss
    assert found == {
        "final/train/loss": 1.5,
        "final/eval/loss": 2.0,
        "final/best_eval_loss": 0.25,
        "final/eval/accuracy": pytest.approx(0.6),
        "final/eval/loss_over_baseline": pytest.approx(over),
    }
    assert len(kept.curves) > len(found)


def test_a_number_that_the_last_study_cannot_define_has_no_final_value():
    kept = history(50)
    kept.add(Report(0, study=study_of(1.0, 0.5)))
    early = {point.name: point.value for point in kept.summary()}
    assert early["final/gradient/decay_rate"] == pytest.approx(-math.log(2.0))
    kept.add(update(50, study=study_of([1.0, 1.0], [0.0, 0.0])))
    found = as_dict([point for point in kept.summary() if point.name.startswith("final/")])
    assert "final/train/loss" in found and "final/gradient/decay_rate" not in found


def test_a_run_without_reports_has_an_empty_summary():
    assert history().summary() == []


def test_the_curves_by_lag_have_the_lag_as_their_step():
    kept = history(50)
    kept.add(Report(0, study=study_of([10.0, 30.0], [1.0, 3.0], [0.0, 0.0], [0.001, 0.003])))
    kept.add(update(30, study=study_of(5.0, 6.0, 7.0)))
    kept.add(update(50, study=study_of(1000.0, 10.0, INF)))
    curves = {which: [] for which in ("first", "last")}
    for point in kept.summary():
        if point.name.startswith("gradient_by_lag/"):
            curves[point.name.removeprefix("gradient_by_lag/")].append((point.step, point.value))
    assert [lag for lag, _ in curves["first"]] == [0, 1, 3]
    np.testing.assert_allclose([value for _, value in curves["first"]], [0.0, -1.0, -4.0], rtol=1e-14)
    assert [lag for lag, _ in curves["last"]] == [0, 1]
    np.testing.assert_allclose([value for _, value in curves["last"]], [0.0, -2.0], rtol=1e-14)


def test_one_study_is_the_first_and_the_last():
    kept = history()
    kept.add(Report(0, study=study_of(1.0, 0.1)))
    by_lag = [point for point in kept.summary() if point.name.startswith("gradient_by_lag/")]
    assert by_lag == [
        Point(f"gradient_by_lag/{which}", value, lag)
        for which in ("first", "last")
        for lag, value in ((0, 0.0), (1, -1.0))
    ]


def test_the_logarithms_are_of_the_lags_that_all_sequences_reach():
    assert log10_by_lag(study_of([1.0, 1.0], [0.1, 0.1], [5.0, NAN]).norms) == [(0, 0.0), (1, pytest.approx(-1.0))]
    assert log10_by_lag(study_of(0.0, 0.0).norms) == []


@pytest.mark.parametrize(("lags", "points"), [(200, 200), (201, 200), (5000, 200)])
def test_a_long_curve_by_lag_has_two_hundred_points(lags, points):
    norms = study_of(*np.exp(-0.01 * np.arange(lags))).norms
    curve = log10_by_lag(norms)
    assert 190 <= len(curve) <= points and (len(curve) == lags) == (lags <= 200)
    at, values = map(np.array, zip(*curve, strict=True))
    assert at[:100].tolist() == list(range(100)) and at[-1] == lags - 1
    np.testing.assert_allclose(values, norms.log10_relative[at], rtol=1e-12)


def test_a_small_loss_does_not_look_like_a_gradient_that_vanishes():
    large, small = (log10_by_lag(study_of(size, 0.5 * size, 0.25 * size).norms) for size in (1.0, 1e-9))
    np.testing.assert_allclose(large, small, rtol=1e-12)
    assert log10_by_lag(study_of(INF, 1.0).norms) == [], "nothing is relative to a norm that is not finite"


def test_the_table_has_a_row_a_study_and_lag():
    kept = history()
    kept.add(Report(0, study=study_of([1.0, 2.0, 3.0, 6.0], [4.0, 4.0, NAN, 4.0])))
    kept.add(update(7, study=study_of([0.0, 0.0])))
    rows = kept.norm_rows()
    assert [(row["step"], row["lag"]) for row in rows] == [(0, 0), (0, 1), (7, 0)]
    assert list(rows[0]) == ["step", "lag", "norm", "log10_relative", "q05", "median", "q95", "state"]
    assert (rows[0]["norm"], rows[0]["median"]) == (3.0, 2.5)
    assert (rows[0]["log10_relative"], rows[1]["log10_relative"]) == (0.0, pytest.approx(np.log10(4.0 / 3.0)))
    assert math.isnan(rows[2]["log10_relative"])
    assert (rows[0]["q05"], rows[0]["q95"]) == (pytest.approx(1.15), pytest.approx(5.55))
    assert [rows[1][name] for name in ("norm", "q05", "median", "q95")] == [4.0] * 4
    assert [rows[2][name] for name in ("norm", "q05", "median", "q95")] == [0.0] * 4
    assert all(type(row["norm"]) is float for row in rows)


class Half(Recall):
    """Solved below a loss of a half; the best there is is a quarter."""

    success, floor = "a loss below 0.5", 0.25

    def solved(self, report):
        return None if report.evaluation is None else report.evaluation.loss < 0.5


def evaluated(step, loss, **more):
    return Report(step, 1.0, 1.0, evaluation=Evaluation(loss, 0.5, **more))


def test_what_is_wrong_and_when_it_was_solved_is_logged():
    kept = history(100, Half(lag=3))
    first = as_dict(kept.add(evaluated(10, 0.75, error=0.5)))
    assert (first["eval/wrong_fraction"], first["eval/solved"], first["eval/loss_above_floor"]) == (0.5, 0.0, 0.5)
    assert "final/solved_at_step" not in as_dict(kept.summary())
    then = as_dict(kept.add(evaluated(20, 0.375, error=0.125)))
    assert (then["eval/solved"], then["eval/wrong_fraction"]) == (1.0, 0.125)
    again = as_dict(kept.add(evaluated(30, 0.75)))
    assert again["eval/solved"] == 0.0
    kept.add(evaluated(40, 0.25))
    assert kept.solved_at == as_dict(kept.summary())["final/solved_at_step"] == 20
    assert kept.curves["eval/solved"] == [(10, 0.0), (20, 1.0), (30, 0.0), (40, 1.0)]


def test_the_absolute_error_is_logged_for_values_only():
    values = as_dict(history(100, Adding()).add(Report(10, 1.0, 1.0, evaluation=Evaluation(0.5, None, None, 0.25))))
    assert values["eval/mean_absolute_error"] == 0.25
    assert not {"eval/accuracy", "eval/wrong_fraction"} & set(values)


def test_a_task_without_a_rule_is_never_solved():
    class Bare(Recall):
        success, floor = "", None

        def solved(self, report):
            return None

    values = as_dict(history(100, Bare(lag=3)).add(evaluated(10, 0.0)))
    assert not {"eval/solved", "eval/loss_above_floor"} & set(values)

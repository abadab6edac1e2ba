"""Of very many runs, those that are shown are spread over all settings, and the best are among them."""

import pandas as pd
import pytest
from compared_runs import NAN

from rnnexp.comparison import shown
from rnnexp.comparison.shown import Curves, best_rows, spread


def test_all_are_drawn_if_they_are_few():
    values = pd.Series([3.0, 1.0, 2.0], index=list("abc"))
    assert spread(values, [0, 1, 0], "loss") == (["a", "b", "c"], "")


@pytest.mark.parametrize(
    ("most", "expected", "told"),
    [
        (3, [2, 7], "2 of 10 runs are drawn: that with the median loss of each setting."),
        (
            6,
            [0, 2, 4, 5, 7, 9],
            "6 of 10 runs are drawn: 3 of each setting, evenly from its lowest loss to its highest.",
        ),
        (
            1,
            [7],
            "1 of 10 runs are drawn: the median ones of 1 of 2 settings, evenly from the lowest loss to the highest.",
        ),
    ],
)
def test_each_setting_has_its_median_and_then_its_best_and_worst_run(most, expected, told, monkeypatch):
    monkeypatch.setattr(shown, "MOST_CURVES", most)
    values = pd.Series([0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 11.0, 12.0, 13.0, 14.0], index=range(10))
    for order in (1, -1):
        mixed = values[::order]
        runs, which = spread(mixed, [run // 5 for run in mixed.index], "loss")
        assert sorted(runs) == expected and runs == [run for run in mixed.index if run in runs]
        assert which == told


def test_of_very_many_settings_the_best_and_the_worst_are_among_those_drawn():
    values = pd.Series(range(1000), index=[f"r{place}" for place in range(1000)], dtype=float)
    runs, which = spread(values, range(1000), "loss")
    assert len(runs) == shown.MOST_CURVES and {"r0", "r999"} <= set(runs)
    assert "50 of 1000 settings" in which


def test_the_best_rows_are_shown_and_some_without_a_value(monkeypatch):
    monkeypatch.setattr(shown, "MOST_ROWS", 2)
    monkeypatch.setattr(shown, "MOST_LEFT_OUT", 1)
    column = pd.Series([NAN, 3.0, 1.0, NAN, 2.0])
    told = "The 2 with the smallest value of 5, then 1 of the 2 without one."
    assert best_rows(column, largest=False) == ([2, 4, 0], told)
    assert best_rows(column, largest=True)[0] == [1, 4, 0]
    assert best_rows(column.dropna(), largest=False) == ([1, 2], "The 2 with the smallest value of 3.")
    assert best_rows(column[:2], largest=False) == ([0, 1], "")


def test_a_curve_is_read_when_it_is_asked_for_and_not_before():
    asked = []
    curves = Curves(["a", "b"], lambda run: asked.append(run) or pd.Series([0.0]))
    assert list(curves) == ["a", "b"] and len(curves) == 2 and "a" in curves and not asked
    assert curves["b"].tolist() == [0.0] and asked == ["b"]
    with pytest.raises(KeyError):
        curves["c"]

"""Fewer points of the curves of a sweep's runs."""

import pytest

from rnnexp.history import Point
from rnnexp.tracking.thinning import Thinned


@pytest.mark.parametrize(
    ("steps", "told", "expected"),
    [
        (50, range(1, 51), [1, 10, 20, 30, 40, 50]),
        (50, range(0, 51, 6), [0, 12, 24, 30, 42, 48]),
        (3, range(4), [0, 1, 2, 3]),
        (1000, range(0, 1001, 50), list(range(0, 1001, 50))),
        (300, range(0, 301, 14), [0, 56, 112, 154, 210, 252, 294]),
        (100_000, range(0, 100_001, 2000), list(range(0, 100_001, 2000))),
    ],
)
def test_the_first_and_the_last_point_stay_and_few_in_between(steps, told, expected):
    thinned, stay = Thinned(steps), []
    for step in told:
        stay += thinned.take([Point("eval/loss", float(step), step)])
    stay += thinned.rest()
    assert [point.step for point in stay] == expected
    assert all(point.value == point.step for point in stay)


def test_each_curve_has_its_own():
    thinned = Thinned(100)
    assert thinned.take([Point("a", 0.0, 0), Point("b", 0.0, 0)]) == [Point("a", 0.0, 0), Point("b", 0.0, 0)]
    assert thinned.take([Point("a", 1.0, 5)]) == []
    assert thinned.take([Point("b", 2.0, 20)]) == [Point("b", 2.0, 20)]
    assert thinned.rest() == [Point("a", 1.0, 5)]

"""Where ARTBP cuts (Tallec & Ollivier 2017), by what it multiplies, and what it refuses."""

import math

import numpy as np
import pytest
from training_cases import Scripted, all_cut_patterns, hazard

from rnnexp.algorithms import RandomizedBPTT, Segment
from rnnexp.checks import InvalidValue

SETTINGS = [(2, 2.5), (3, 6.0), (5, 4.0), (20, 6.0)]
every_setting = pytest.mark.parametrize(("length", "alpha"), SETTINGS)


class Numbers(np.random.Generator):
    """In place of a generator: the numbers that it was given."""

    def __init__(self, *numbers):
        super().__init__(np.random.PCG64(0))
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)


def drawn_lengths(length, alpha, count, seed=0):
    algorithm, rng = RandomizedBPTT(length, alpha=alpha), np.random.default_rng(seed)
    return np.array([algorithm.segment(rng=rng).new for _ in range(count)])


def uncut(length, alpha, steps):
    """The factors of a window that was cut after so many steps, and not before."""
    return RandomizedBPTT(length, alpha=alpha).segment(rng=Scripted([False] * (steps - 1))).step_weights


@every_setting
def test_a_cut_falls_where_the_number_drawn_is_below_the_probability(length, alpha):
    chances = [hazard(since, length, alpha) for since in (1, 2, 3, 4)]
    above = [chance * (1 + 1e-9) for chance in chances[:3]]
    segment = RandomizedBPTT(length, alpha=alpha).segment(rng=Numbers(*above, chances[3] * (1 - 1e-9)))
    assert (segment.new, segment.length) == (4, 4)
    for step in range(3):
        below = chances[step] * (1 - 1e-9)
        assert RandomizedBPTT(length, alpha=alpha).segment(rng=Numbers(*above[:step], below)).new == step + 1


@every_setting
def test_the_factors_make_up_for_the_cut_that_was_not_made_before_each_step(length, alpha):
    step_weights = uncut(length, alpha, 30)
    assert step_weights[0] == 1.0
    np.testing.assert_allclose(step_weights[1:], [1 / (1 - hazard(since, length, alpha)) for since in range(1, 30)])
    assert all(type(factor) is float for factor in step_weights)


def test_the_factors_at_a_hand_computed_point():
    # alpha = 3, L0 = 2: c = 2 / (2 + d), so 2/3, 2/4, 2/5 and factors 3, 2, 5/3.
    np.testing.assert_allclose(uncut(2, 3.0, 4), [1.0, 3.0, 2.0, 5.0 / 3.0], rtol=1e-15)


def test_no_older_step_is_reached_from_a_window_with_factors():
    assert Segment(4, 4, [1.0, 2.0, 2.0, 2.0]).back(2) == 0
    assert Segment(4, 9).back(4) == 5


@every_setting
def test_the_windows_of_a_sequence_follow_its_cuts_and_end_with_it(length, alpha):
    for cuts, expected, _ in all_cut_patterns(5, length, alpha):
        windows = RandomizedBPTT(length, alpha=alpha).windows(5, rng=Scripted(cuts))
        assert [(w.start, w.newest, w.end) for w in windows] == [(w.start, w.newest, w.end) for w in expected]
        for window, own in zip(windows, expected, strict=True):
            np.testing.assert_allclose(window.step_weights, own.step_weights, rtol=1e-14)


def test_the_last_window_is_shortened_with_its_factors():
    (window,) = RandomizedBPTT(4).windows(3, rng=Scripted([False] * 10))
    assert (window.start, window.newest, window.end, len(window.step_weights)) == (0, 0, 3, 3)


@pytest.mark.parametrize(("length", "alpha"), [(2, 6.0), (5, 6.0), (10, 4.0), (20, 8.0)])
def test_the_mean_window_is_the_length(length, alpha):
    lengths = drawn_lengths(length, alpha, 20_000)
    error = lengths.std(ddof=1) / math.sqrt(len(lengths))
    assert error < 0.02 * length
    assert abs(lengths.mean() - length) < 3 * error
    assert lengths.min() == 1


@pytest.mark.parametrize(("length", "alpha"), [(2, 6.0), (5, 6.0), (20, 4.5)])
def test_the_factors_give_the_mean_window_exactly(length, alpha):
    # The probability to live on is one over the product of the factors; its sum over all steps is the mean.
    alive = 1 / np.cumprod(uncut(length, alpha, 30_000))
    assert alive.sum() == pytest.approx(length, rel=1e-6)


@pytest.mark.parametrize(("length", "alpha"), [(5, 6.0), (5, 2.5), (20, 6.0)])
def test_windows_live_on_by_the_product_of_what_is_left_of_the_probabilities(length, alpha):
    lengths = drawn_lengths(length, alpha, 20_000, seed=1)
    steps = np.arange(1, 2 * length + 1)
    alive = np.cumprod(1 - hazard(steps, length, alpha))
    seen = (lengths[:, np.newaxis] > steps).mean(axis=0)
    error = np.sqrt(alive * (1 - alive) / len(lengths))
    assert (np.abs(seen - alive) < 3.5 * error).all()
    assert (error < 0.004).all()


@pytest.mark.parametrize("alpha", [2.5, 4.0, 6.0])
def test_the_factors_of_a_long_lag_grow_as_a_power_of_it(alpha):
    total = np.cumsum(np.log(uncut(4, alpha, 20_001)))
    assert (total[20_000] - total[10_000]) / math.log(2) == pytest.approx(alpha - 1, rel=2e-3)


def test_the_defaults():
    algorithm = RandomizedBPTT()
    assert (algorithm.length, algorithm.stride, algorithm.alpha, algorithm.varies) == (20, None, 6.0, True)


@pytest.mark.parametrize("value", [1, 0, -3, None, 2.0, "20", True])
def test_a_length_under_two_or_none_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^bptt_length must be a whole number >= 2, got .*\n.*the mean window of"):
        RandomizedBPTT(value)
    assert RandomizedBPTT(2).length == 2


@pytest.mark.parametrize("value", [1, 5, 20, 0, "x"])
def test_a_stride_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^bptt_stride must be null with algorithm=artbp, got .*\n.*every cut"):
        RandomizedBPTT(20, value)


@pytest.mark.parametrize("value", [2, 2.0, 1.5, -6, float("nan"), float("inf"), None, "6", True])
def test_an_exponent_not_above_two_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^alpha must be a number > 2, got "):
        RandomizedBPTT(20, alpha=value)
    assert RandomizedBPTT(20, alpha=2.001).alpha == 2.001

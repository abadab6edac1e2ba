"""By what the learning rate is multiplied at each update, and that the optimizer has it before the update."""

import math
from itertools import pairwise

import numpy as np
import pytest
from training_cases import trained

from rnnexp.checks import InvalidValue
from rnnexp.training import SGD, Constant, Cosine, StepDecay, train


class Noting(SGD):
    """Keeps the learning rate of every update."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.rates = []

    def update(self, vector, gradient):
        self.rates.append(self.learning_rate)
        super().update(vector, gradient)


class Halved(Constant):
    """Of the package's own kind, but not constant."""

    def after_warmup(self, done, steps):
        return 0.5


def factors(schedule, steps):
    return [schedule.factor(step, steps) for step in range(1, steps + 1)]


HALF = math.sqrt(0.5)
BY_HAND = [
    (Constant(), 4, [1.0, 1.0, 1.0, 1.0]),
    (Constant(4), 6, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]),
    (Halved(), 4, [0.5, 0.5, 0.5, 0.5]),
    (Constant(1), 2, [1.0, 1.0]),
    (Constant(8), 3, [0.125, 0.25, 0.375]),
    (StepDecay(2, 0.5), 7, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]),
    (StepDecay(1, 0.1), 3, [1.0, 0.1, 0.01]),
    (StepDecay(3, 2.0), 4, [1.0, 1.0, 1.0, 2.0]),
    (StepDecay(2, 0.5, 2), 7, [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25]),
    (Cosine(), 4, [1.0, (1 + HALF) / 2, 0.5, (1 - HALF) / 2]),
    (Cosine(0.2), 4, [1.0, 0.2 + 0.4 * (1 + HALF), 0.6, 0.2 + 0.4 * (1 - HALF)]),
    (Cosine(0.0, 2), 6, [0.5, 1.0, 1.0, (1 + HALF) / 2, 0.5, (1 - HALF) / 2]),
    (Cosine(1.0), 3, [1.0, 1.0, 1.0]),
    (Cosine(0.0), 3, [1.0, 0.75, 0.25]),
    (Cosine(2.0), 2, [1.0, 1.5]),
]


@pytest.mark.parametrize(("schedule", "steps", "expected"), BY_HAND)
def test_the_factors_are_those_computed_by_hand(schedule, steps, expected):
    assert factors(schedule, steps) == pytest.approx(expected, rel=1e-14, abs=1e-16)


def test_half_a_cosine_falls_all_the_way_and_comes_near_its_end():
    found = factors(Cosine(0.1), 1000)
    assert found[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(found))
    assert 0.1 < found[-1] < 0.1 + 1e-5
    assert found[500] == pytest.approx(0.55, rel=1e-12)


@pytest.mark.parametrize("make", [StepDecay, Cosine])
def test_a_warm_up_puts_the_rest_off(make):
    warm = factors(make(warmup=5), 45)
    assert warm[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], rel=1e-15)
    assert warm[5:] == factors(make(), 40)


@pytest.mark.parametrize(("schedule", "steps", "expected"), [case for case in BY_HAND if case[1] > 3])
def test_the_optimizer_has_the_rate_before_its_update_and_the_report_tells_it(
    every_step, network_for, schedule, steps, expected
):
    task, optimizer = every_step(length=3), Noting(0.3)
    network = network_for(task)
    reports = trained(network, task, optimizer, steps, schedule=schedule)
    assert optimizer.rates == pytest.approx([0.3 * factor for factor in expected], rel=1e-14, abs=1e-16)
    told = [report.learning_rate for report in reports]
    assert told == ([None] * steps if schedule.warmup == 0 and type(schedule) is Constant else optimizer.rates)


def test_the_weights_move_by_the_rate_of_the_update(every_step, network_for):
    moves = {}
    for schedule in (None, Constant(10)):
        task = every_step(length=3)
        network = network_for(task)
        before = network.parameters.vector.copy()
        trained(network, task, SGD(0.5), 1, schedule=schedule)
        moves[schedule] = network.parameters.vector - before
    full, tenth = moves.values()
    np.testing.assert_allclose(tenth, full / 10, rtol=1e-9, atol=1e-15)
    assert np.linalg.norm(full) > 1e-3


def test_a_constant_rate_leaves_an_optimizer_without_one_alone(every_step, network_for, frozen):
    task, optimizer = every_step(length=3), frozen()
    assert {report.learning_rate for report in trained(network_for(task), task, optimizer, 3)} == {None}
    assert not hasattr(optimizer, "learning_rate")


def test_the_report_before_the_first_update_has_no_rate(every_step, network_for):
    task = every_step(length=3)
    rng = np.random.default_rng(0)
    first = next(train(network_for(task), task, optimizer=SGD(0.1), steps=3, rng=rng, schedule=Cosine()))
    assert (first.step, first.learning_rate) == (0, None)


def test_the_defaults():
    assert vars(Constant()) == {"warmup": 0}
    assert vars(StepDecay()) == {"warmup": 0, "every": 1000, "decay": 0.5}
    assert vars(Cosine()) == {"warmup": 0, "final": 0.0}


@pytest.mark.parametrize("schedule", [Constant, StepDecay, Cosine])
@pytest.mark.parametrize("value", [-1, 1.0, "5", None, True])
def test_a_warm_up_that_is_no_whole_number_is_refused(schedule, value):
    with pytest.raises(InvalidValue, match=r"^warmup must be a whole number >= 0, got "):
        schedule(warmup=value)


@pytest.mark.parametrize("value", [0, -1, 2.0, None, True])
def test_steps_between_decays_that_are_no_whole_number_are_refused(value):
    with pytest.raises(InvalidValue, match=r"^every must be a whole number >= 1, got "):
        StepDecay(value)


@pytest.mark.parametrize("value", [0, -0.5, float("nan"), float("inf"), "0.5", None, True])
def test_a_decay_not_above_zero_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^decay must be a number > 0, got "):
        StepDecay(decay=value)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "0", None, True])
def test_a_final_factor_below_zero_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^final must be a number >= 0, got "):
        Cosine(value)

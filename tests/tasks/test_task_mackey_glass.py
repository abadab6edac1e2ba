from math import tanh
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.mackey_glass import MackeyGlass


def drawn(task, streams, steps, seed=0):
    rng = np.random.default_rng(seed)
    return task.read(task.begin(streams, rng=rng), steps, rng=rng)


def euler(history, tau, substeps, units):
    """The series at time units 0, 1, ... by one Euler step after the other, from the steps at times 0 to tau."""
    x = list(history)
    delay = tau * substeps
    while len(x) <= units * substeps:
        k = len(x) - 1
        late = x[k - delay]
        x.append(x[k] + (0.2 * late / (1 + late**10) - 0.1 * x[k]) / substeps)
    return x[::substeps]


@pytest.mark.parametrize(("tau", "substeps"), [(17, 10), (30, 10), (17, 1), (8, 3)])
def test_the_series_is_that_of_an_euler_loop(tau, substeps):
    task = MackeyGlass(tau=tau, substeps=substeps)
    rng = np.random.default_rng(0)
    place = task.begin(3, rng=rng)
    history = place.arrays["history"].copy()
    assert history.shape == (tau * substeps + 1, 3)
    batch = task.read(place, 150, rng=rng)
    for stream in range(3):
        expected = euler(history[:, stream].tolist(), tau, substeps, 151)
        # Rounding errors grow with the chaos, but slowly.
        assert batch.inputs[:, stream, 0] == pytest.approx(expected[:150], abs=1e-10)
        assert batch.targets[:, stream, 0] == pytest.approx(expected[1:151], abs=1e-10)


def test_the_transient_is_part_of_the_same_equation():
    # From a history drawn around 1.2 each stream goes on for whole delays: its beginning is found in its own series.
    task, rng = MackeyGlass(tau=8, substeps=1), np.random.default_rng(1)
    history = task.begin(2, rng=rng).arrays["history"]
    rng = np.random.default_rng(1)
    units = rng.uniform(0.6, 1.8, size=(9, 2))
    for stream in range(2):
        series = np.array(euler(units[:, stream].tolist(), 8, 1, 2100))
        starts = [start for start in range(0, 2090, 8) if np.allclose(series[start : start + 9], history[:, stream])]
        assert 1000 <= starts[0] < 2000


@pytest.mark.parametrize("horizon", [1, 5, 20, 84])
def test_the_target_is_the_input_of_horizon_steps_later(horizon):
    task = MackeyGlass(horizon=horizon)
    batch = drawn(task, 4, 200)
    assert np.array_equal(batch.targets[:-horizon], batch.inputs[horizon:])
    assert np.array_equal(batch.inputs, drawn(MackeyGlass(), 4, 200).inputs)


def test_squashed_values_are_the_hyperbolic_tangent_of_the_series():
    plain, squashed = drawn(MackeyGlass(), 3, 60), drawn(MackeyGlass(squash=True), 3, 60)
    for name in ("inputs", "targets"):
        for x, y in zip(getattr(plain, name).ravel(), getattr(squashed, name).ravel(), strict=True):
            assert y == pytest.approx(tanh(x - 1), abs=1e-14)


def test_who_sees_only_the_inputs_can_foretell_every_scored_value_with_one_substep():
    task = MackeyGlass(substeps=1, eval_steps=120)
    batch = task.evaluation(rng=np.random.default_rng(2))
    x = batch.inputs[..., 0]
    errors = []
    for step in range(120):
        assert batch.mask[step].all() == (step >= 17)
        assert batch.mask[step].any() == (step >= 17)
        if step >= 17:
            late = x[step - 17]
            errors.append(0.9 * x[step] + 0.2 * late / (1 + late**10) - batch.targets[step, :, 0])
    assert np.square(errors).mean() == pytest.approx(task.floor, abs=1e-28)


def test_reading_in_pieces_is_reading_at_once_to_the_bit_and_places_are_separate():
    for settings in ({}, {"horizon": 40}, {"tau": 30, "squash": True}):
        task = MackeyGlass(**settings)
        whole = drawn(task, 3, 80, seed=3)
        rng, other = np.random.default_rng(3), np.random.default_rng(4)
        place, beside = task.begin(3, rng=rng), task.begin(3, rng=other)
        parts = []
        for steps in (5, 5, 5, 5, 1, 16, 34, 9):
            parts.append(task.read(place, steps, rng=rng))
            task.read(beside, 7, rng=other)
        for name in ("inputs", "targets", "mask"):
            assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


@pytest.mark.parametrize("settings", [{}, {"tau": 30}, {"squash": True}])
def test_the_baseline_is_the_error_of_always_saying_the_mean(settings):
    task = MackeyGlass(**settings)
    targets = drawn(task, 100, 1500, seed=5).targets[..., 0]
    each = np.square(targets - targets.mean()).mean(axis=0)
    error = each.std() / np.sqrt(len(each))
    # The baseline's own draw is as large: both have a sampling error.
    assert abs(each.mean() - task.baseline.loss) < 5 * np.sqrt(2) * error
    assert error < 0.02 * task.baseline.loss
    assert not task.baseline.exact
    assert task.baseline.accuracy is None
    assert task.error_per is None


def test_streams_are_in_different_phases_from_the_beginning():
    values = drawn(MackeyGlass(), 400, 100, seed=6).inputs[..., 0]
    # The mean at a step spreads as that of 400 independent values does, and not as a common wave would.
    means = values.mean(axis=1) - values.mean()
    assert np.abs(means).max() < 5 * values.std() / np.sqrt(400)
    assert len({round(float(x), 9) for x in values[0]}) == 400


def test_the_series_keeps_to_its_known_range():
    for tau, low, high in ((17, 0.41, 1.33), (30, 0.18, 1.42)):
        values = drawn(MackeyGlass(tau=tau), 50, 1000, seed=7).inputs
        assert low < values.min() < low + 0.1
        assert high - 0.1 < values.max() < high


def test_what_simple_predictors_get():
    task = MackeyGlass()
    batch = drawn(task, 100, 500, seed=8)
    x, y = batch.inputs[..., 0], batch.targets[..., 0]
    last = task.further_metrics(np.square(x - y).mean())["nrmse"]
    line = task.further_metrics(np.square(2 * x[1:] - x[:-1] - y[1:]).mean())["nrmse"]
    assert last == pytest.approx(0.15, abs=0.005)
    assert line == pytest.approx(0.033, abs=0.001)
    assert task.further_metrics(task.baseline.loss) == {"nrmse": 1.0}


def test_solved_is_an_error_below_a_fiftieth_of_the_standard_deviation():
    task = MackeyGlass()
    deviation = np.sqrt(task.baseline.loss)
    for error, expected in ((0.019, True), (0.021, False), (0.0, True), (0.033, False)):
        loss = (error * deviation) ** 2
        assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(loss=loss))) is expected
    assert task.solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 5}, "tau must be a whole number >= 6, got 5"),
        ({"tau": 17.0}, "tau must be a whole number >= 6, got 17.0"),
        ({"substeps": 0}, "substeps must be a whole number >= 1, got 0"),
        ({"horizon": 0}, "horizon must be a whole number >= 1, got 0"),
        ({"squash": 1}, "squash must be true or false, got 1"),
        ({"eval_streams": 0}, "eval_streams must be a whole number >= 1, got 0"),
        ({"eval_steps": 17}, "eval_steps must be a whole number >= 18, got 17"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        MackeyGlass(**settings)


def test_a_delay_whose_powers_would_overflow_is_refused():
    with pytest.raises(InvalidValue, match=r"^tau must be <= 1000, got 1001"):
        MackeyGlass(tau=1001)

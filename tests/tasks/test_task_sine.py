from math import pi, sin, sqrt
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.sine import Sine


def drawn(task, streams, steps, seed=0):
    rng = np.random.default_rng(seed)
    return task.read(task.begin(streams, rng=rng), steps, rng=rng)


def test_a_stream_is_one_sine_wave_and_its_target_the_next_value():
    task = Sine(shortest=4, longest=30, amplitude=0.7)
    rng = np.random.default_rng(0)
    place = task.begin(6, rng=rng)
    phases, periods = place.arrays["phase"].copy(), place.arrays["period"].copy()
    batch = task.read(place, 50, rng=rng)
    for stream, (phase, period) in enumerate(zip(phases, periods, strict=True)):
        for step in range(50):
            for array, time in ((batch.inputs, step), (batch.targets, step + 1)):
                expected = 0.7 * sin(2 * pi * (time / period + phase))
                assert array[step, stream, 0] == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(batch.inputs[1:], batch.targets[:-1])


def test_who_sees_only_the_inputs_can_foretell_every_scored_value():
    task = Sine()
    batch = task.evaluation(rng=np.random.default_rng(1))
    x = batch.inputs[..., 0]
    errors = []
    for step in range(len(x)):
        if not batch.mask[step].any():
            continue
        # x_{k+1} + x_{k-1} = c x_k for every k so far; c by least squares over all of them.
        middle, around = x[1:step], x[: step - 1] + x[2 : step + 1]
        c = (middle * around).sum(axis=0) / (middle**2).sum(axis=0)
        errors.append(c * x[step] - x[step - 1] - batch.targets[step, :, 0])
    assert len(errors) == len(x) - 2
    assert np.square(errors).mean() == pytest.approx(task.floor, abs=1e-20)


def test_scoring_begins_at_step_2():
    mask = Sine(eval_streams=3, eval_steps=5).evaluation(rng=np.random.default_rng(2)).mask
    assert mask.tolist() == [[False] * 3] * 2 + [[True] * 3] * 3


def test_periods_and_phases_are_uniform_in_their_ranges():
    count = 20_000
    place = Sine(shortest=5, longest=9).begin(count, rng=np.random.default_rng(3))
    for name, low, high in (("period", 5.0, 9.0), ("phase", 0.0, 1.0)):
        values = place.arrays[name]
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high >= values.max() > high - 0.01 * (high - low)
        shares = np.histogram(values, bins=10, range=(low, high))[0] / count
        assert np.abs(shares - 0.1).max() < 5 * np.sqrt(0.09 / count)
    assert abs(np.corrcoef(place.arrays["period"], place.arrays["phase"])[0, 1]) < 5 / np.sqrt(count)


def test_one_period_may_be_asked_for():
    place = Sine(shortest=12, longest=12).begin(5, rng=np.random.default_rng(4))
    assert place.arrays["period"].tolist() == [12.0] * 5


@pytest.mark.parametrize("amplitude", [1.0, 0.1, 3.0])
def test_the_baseline_is_the_error_of_always_saying_nought(amplitude):
    task = Sine(amplitude=amplitude)
    count = 20_000
    targets = drawn(task, count, 3, seed=5).targets[-1, :, 0]  # one value a stream: independent ones
    assert task.baseline.loss == pytest.approx(amplitude**2 / 2, rel=1e-15)
    assert abs(np.square(targets).mean() - task.baseline.loss) < 5 * np.square(targets).std() / np.sqrt(count)
    assert abs(targets.mean()) < 5 * targets.std() / np.sqrt(count)
    assert task.baseline.accuracy is None
    assert task.error_per is None
    assert np.abs(targets).max() <= amplitude
    assert np.abs(targets).max() > 0.999 * amplitude


def test_the_loss_relative_to_the_standard_deviation():
    task = Sine(amplitude=2.0)
    assert task.further_metrics(2.0) == {"nrmse": 1.0}
    assert task.further_metrics(0.02)["nrmse"] == pytest.approx(0.1 * sqrt(2.0) / sqrt(2.0))


def test_reading_in_pieces_is_reading_at_once_and_places_are_separate():
    task = Sine()
    whole = drawn(task, 3, 20, seed=6)
    rng, other = np.random.default_rng(6), np.random.default_rng(7)
    place, beside = task.begin(3, rng=rng), task.begin(3, rng=other)
    parts = []
    for _ in range(4):
        parts.append(task.read(place, 5, rng=rng))
        task.read(beside, 7, rng=other)
    for name in ("inputs", "targets", "mask"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_a_long_stream_does_not_drift():
    task = Sine(shortest=7, longest=7)
    rng = np.random.default_rng(8)
    place = task.begin(4, rng=rng)
    first = task.read(place, 7, rng=rng)
    task.read(place, 70_000, rng=rng)
    again = task.read(place, 7, rng=rng)
    assert np.abs(first.inputs - again.inputs).max() < 1e-10


def test_solved_is_an_error_below_a_twentieth_of_the_standard_deviation():
    task = Sine(amplitude=2.0)
    for error, expected in ((0.049, True), (0.051, False), (0.0, True), (1.0, False)):
        loss = (error * 2.0 / sqrt(2.0)) ** 2
        assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(loss=loss))) is expected
    assert task.solved(SimpleNamespace(evaluation=None)) is None


def test_a_line_through_the_last_two_values_does_not_solve_it():
    task = Sine()
    batch = drawn(task, 2000, 200, seed=9)
    x, y = batch.inputs[..., 0], batch.targets[..., 0]
    loss = np.square(2 * x[2:] - x[1:-1] - y[2:]).mean()
    assert task.further_metrics(loss)["nrmse"] == pytest.approx(0.11, abs=0.005)
    assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(loss=loss))) is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shortest": 2}, "shortest must be a number > 2, got 2"),
        ({"shortest": 60}, "longest must be a number >= 60, got 50.0"),
        ({"longest": 9.5}, "longest must be a number >= 10, got 9.5"),
        ({"amplitude": 0}, "amplitude must be a number > 0, got 0"),
        ({"amplitude": True}, "amplitude must be a number > 0, got true"),
        ({"eval_streams": 0}, "eval_streams must be a whole number >= 1, got 0"),
        ({"eval_steps": 2}, "eval_steps must be a whole number >= 3, got 2"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        Sine(**settings)

from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import FlipFlop


def drawn(task, streams, steps, seed=0):
    rng = np.random.default_rng(seed)
    return task.read(task.begin(streams, rng=rng), steps, rng=rng)


@pytest.mark.parametrize(("bits", "p"), [(1, 0.5), (3, 0.1), (4, 0.9)])
def test_a_target_is_the_sign_of_its_channels_last_pulse_step_by_step(bits, p):
    batch = drawn(FlipFlop(bits=bits, pulse_probability=p), 5, 60)
    assert batch.inputs.shape == batch.targets.shape == (60, 5, bits)
    assert set(np.unique(batch.inputs)) == {-1.0, 0.0, 1.0}
    for stream in range(5):
        for bit in range(bits):
            held = 0.0
            for step in range(60):
                pulse = batch.inputs[step, stream, bit]
                held = pulse if pulse else held
                assert held, "a channel without a pulse at step 0"
                assert batch.targets[step, stream, bit] == held
    assert batch.mask.tolist() == [[False] * 5] + [[True] * 5] * 59


@pytest.mark.parametrize("pieces", [(1, 19), (7, 13), (1,) * 20])
def test_what_is_held_and_what_is_scored_do_not_depend_on_the_pieces(pieces):
    task = FlipFlop()
    whole = drawn(task, 3, 20)
    rng = np.random.default_rng(0)
    place = task.begin(3, rng=rng)
    parts = [task.read(place, steps, rng=rng) for steps in pieces]
    for name in ("inputs", "targets", "mask"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_pulses_come_at_their_rate_with_fair_signs_and_independent_channels():
    p, task = 0.2, FlipFlop(bits=2, pulse_probability=0.2)
    inputs = drawn(task, 50, 2001).inputs[1:]
    pulses, count = inputs != 0, inputs.size
    assert abs(pulses.mean() - p) < 5 * np.sqrt(p * (1 - p) / count)
    assert abs(inputs[pulses].mean()) < 5 / np.sqrt(pulses.sum())
    both = (pulses[..., 0] & pulses[..., 1]).mean()
    assert abs(both - p**2) < 5 * p / np.sqrt(count / 2)
    again = (pulses[1:] & pulses[:-1]).mean()
    assert abs(again - p**2) < 5 * p / np.sqrt(count)


@pytest.mark.parametrize(("bits", "p"), [(3, 0.1), (1, 0.5), (2, 0.7)])
def test_the_baseline_is_that_of_the_best_predictor_without_memory(bits, p):
    task = FlipFlop(bits=bits, pulse_probability=p, eval_streams=100, eval_steps=401)
    batch = task.evaluation(rng=np.random.default_rng(2))
    errors = np.square(batch.inputs - batch.targets)[1:]
    assert abs(errors.mean() - task.baseline.loss) < 5 * np.sqrt(p * (1 - p) / errors.size)
    wrong = task.wrong(batch.inputs, batch)[batch.mask]
    right = p**bits
    assert abs(wrong.mean() - task.baseline.error) < 5 * np.sqrt(right * (1 - right) / wrong.size)
    for sign in (-1.0, 0.0, 1.0):  # the mean target, given the pulse at the step: no other answer does better
        targets = batch.targets[1:][batch.inputs[1:] == sign]
        assert abs(targets.mean() - sign) < 5 / np.sqrt(len(targets))


def test_an_output_is_wrong_where_one_sign_is():
    batch = drawn(FlipFlop(), 4, 10)
    assert not FlipFlop().wrong(0.1 * batch.targets, batch).any()
    outputs = batch.targets.copy()
    outputs[3, 2, 1] *= -0.1
    outputs[5, 0, 0] = 0.0
    assert np.argwhere(FlipFlop().wrong(outputs, batch)).tolist() == [[3, 2], [5, 0]]


def test_solved_is_less_than_one_step_wrong_in_a_hundred():
    for error, expected in ((0.0, True), (0.0099, True), (0.01, False), (0.5, False)):
        assert FlipFlop().solved(SimpleNamespace(evaluation=SimpleNamespace(error=error))) is expected
    assert FlipFlop().solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 0}, "bits must be a whole number >= 1, got 0"),
        ({"bits": True}, "bits must be a whole number >= 1, got true"),
        ({"pulse_probability": 0}, "pulse_probability must be a number > 0 and < 1, got 0"),
        ({"pulse_probability": 1.0}, "pulse_probability must be a number > 0 and < 1, got 1.0"),
        ({"eval_streams": 0}, "eval_streams must be a whole number >= 1, got 0"),
        ({"eval_steps": 1}, "eval_steps must be a whole number >= 2, got 1"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        FlipFlop(**settings)

from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.xor import Xor


def drawn(task, streams, steps, seed=0):
    rng = np.random.default_rng(seed)
    return task.read(task.begin(streams, rng=rng), steps, rng=rng)


@pytest.mark.parametrize("lag", [1, 2, 3, 7])
def test_the_target_is_whether_two_bits_of_the_past_differ_step_by_step(lag):
    batch = drawn(Xor(lag=lag, eval_steps=100), 5, 40)
    for stream in range(5):
        bits = batch.inputs[:, stream].tolist()
        for step in range(40):
            assert batch.mask[step, stream] == (step >= 2 * lag)
            if step >= 2 * lag:
                assert batch.targets[step, stream] == abs(bits[step - lag] - bits[step - 2 * lag])


def test_who_remembers_the_inputs_is_never_wrong():
    task = Xor(lag=2, eval_streams=6, eval_steps=60)
    batch = task.evaluation(rng=np.random.default_rng(1))
    outputs = np.zeros((60, 6, 2))
    for step in range(4, 60):
        differ = batch.inputs[step - 2] != batch.inputs[step - 4]
        outputs[step, :, 1] = np.where(differ, 50.0, -50.0)
    wrong = task.wrong(outputs, batch)
    assert not (wrong & batch.mask).any()
    assert np.logaddexp(0.0, -50.0) == pytest.approx(task.floor, abs=1e-20)
    assert (task.wrong(-outputs, batch) & batch.mask).sum() == batch.mask.sum()


def test_bits_are_fair_and_neither_of_the_two_says_anything_of_the_target():
    task = Xor(lag=3)
    batch = drawn(task, 50, 2000)
    assert set(np.unique(batch.inputs)) == {0, 1}
    assert abs(batch.inputs.mean() - 0.5) < 5 * 0.5 / np.sqrt(batch.inputs.size)
    targets = batch.targets[6:]
    for back in range(9):
        inputs = batch.inputs[max(6, back) - back : 2000 - back]
        agree = (inputs == targets[max(6, back) - 6 :]).mean()
        assert abs(agree - 0.5) < 5 * 0.5 / np.sqrt(inputs.size), back


def test_the_baseline_is_a_coin_flip():
    task = Xor(lag=1)
    batch = drawn(task, 20, 2000, seed=3)
    flips = np.random.default_rng(4).random((2000, 20, 2))
    wrong = task.wrong(flips, batch)[batch.mask]
    assert abs(wrong.mean() - task.baseline.error) < 5 * 0.5 / np.sqrt(wrong.size)
    assert task.baseline.accuracy == task.baseline.error == 0.5
    assert task.baseline.loss == pytest.approx(-np.log(0.5), rel=1e-15)
    assert task.error_per == "step"


def test_reading_in_pieces_is_reading_at_once_and_places_are_separate():
    task = Xor(lag=3)
    whole = drawn(task, 3, 20, seed=5)
    rng, other = np.random.default_rng(5), np.random.default_rng(6)
    place, beside = task.begin(3, rng=rng), task.begin(3, rng=other)
    parts = []
    for _ in range(4):
        parts.append(task.read(place, 5, rng=rng))
        task.read(beside, 7, rng=other)
    for name in ("inputs", "targets", "mask"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_the_evaluation_set_has_the_size_asked_for():
    assert Xor(lag=2, eval_streams=4, eval_steps=5).evaluation(rng=np.random.default_rng(0)).mask.sum() == 4


def test_solved_is_less_than_one_step_wrong_in_a_hundred():
    for error, expected in ((0.0, True), (0.0099, True), (0.01, False), (0.5, False)):
        assert Xor().solved(SimpleNamespace(evaluation=SimpleNamespace(error=error))) is expected
    assert Xor().solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lag": 0}, "lag must be a whole number >= 1, got 0"),
        ({"lag": 1.5}, "lag must be a whole number >= 1, got 1.5"),
        ({"eval_streams": 0}, "eval_streams must be a whole number >= 1, got 0"),
        ({"lag": 5, "eval_steps": 10}, "eval_steps must be a whole number >= 11, got 10"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        Xor(**settings)

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.parity import Parity


def test_the_parity_of_every_prefix_step_by_step():
    batch = Parity(length=23).sample(9, rng=np.random.default_rng(0))
    assert batch.inputs.shape == batch.targets.shape == (23, 9)
    assert batch.mask.all()
    for sequence in range(9):
        odd = False
        for bit, target in zip(batch.inputs[:, sequence], batch.targets[:, sequence], strict=True):
            odd = not odd if bit == 1 else odd
            assert Parity.output_names[target] == ("odd" if odd else "even")


def test_every_short_sequence_occurs_equally_often():
    count = 32_000
    batch = Parity(length=4).sample(count, rng=np.random.default_rng(1))
    columns = [tuple(column) for column in batch.inputs.T.tolist()]
    for sequence in product((0, 1), repeat=4):
        assert abs(columns.count(sequence) / count - 1 / 16) < 5 * np.sqrt(15 / 256 / count)


def test_who_keeps_one_bit_is_never_wrong_and_one_slip_spoils_the_rest():
    task = Parity(length=30, eval_sequences=40)
    batch = task.evaluation(rng=np.random.default_rng(2))
    assert batch.mask.shape == (30, 40)
    state, outputs = np.zeros(40, bool), np.zeros((30, 40, 2))
    for step in range(30):
        state = np.where(batch.inputs[step] == 1, ~state, state)
        outputs[step, :, 1] = np.where(state, 50.0, -50.0)
    assert not task.wrong(outputs, batch).any()
    assert np.logaddexp(0.0, -50.0) == pytest.approx(task.floor, abs=1e-20)
    outputs[10:] *= -1
    assert task.wrong(outputs, batch).sum(axis=0).tolist() == [20] * 40


@pytest.mark.parametrize("length", [2, 3, 6])
def test_the_baseline_is_a_coin_flip_at_every_step(length):
    count = 20_000
    task = Parity(length=length)
    batch = task.sample(count, rng=np.random.default_rng(3))
    flips = np.random.default_rng(4).random((length, count, 2))
    wrong = task.wrong(flips, batch)
    error = 1 - 1 / 2**length
    assert task.baseline.error == error
    assert abs(wrong.any(axis=0).mean() - error) < 5 * np.sqrt(error * (1 - error) / count)
    assert abs(wrong.mean() - 0.5) < 5 * 0.5 / np.sqrt(length * count)
    assert task.baseline.accuracy == 0.5
    assert task.baseline.loss == pytest.approx(-np.log(0.5), rel=1e-15)
    assert task.error_per == "sequence"
    # The parities themselves are fair coins, so no constant answer does better.
    assert abs(batch.targets.mean() - 0.5) < 5 * 0.5 / np.sqrt(length * count)


def test_solved_is_no_sequence_wrong():
    for error, expected in ((0.0, True), (0.002, False), (1.0, False)):
        assert Parity().solved(SimpleNamespace(evaluation=SimpleNamespace(error=error))) is expected
    assert Parity().solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be a whole number >= 2, got 1"),
        ({"length": 5.0}, "length must be a whole number >= 2, got 5.0"),
        ({"eval_sequences": 0}, "eval_sequences must be a whole number >= 1, got 0"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        Parity(**settings)

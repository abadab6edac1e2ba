from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import RandomPermutation


def test_a_trial_begins_with_one_of_two_symbols_that_is_the_answer_at_the_end():
    batch = RandomPermutation(length=7, alphabet=9).sample(4000, rng=np.random.default_rng(0))
    assert batch.inputs.shape == (7, 4000)
    assert set(batch.inputs[0]) == {0, 1}
    assert set(np.unique(batch.inputs[1:])) == set(range(2, 9))
    assert batch.mask.tolist() == [[False] * 4000] * 6 + [[True] * 4000]
    assert (batch.targets[-1] == batch.inputs[0]).all()


def test_symbols_are_equally_likely_and_first_ones_too():
    count = 20_000
    batch = RandomPermutation(length=3, alphabet=7).sample(count, rng=np.random.default_rng(1))
    assert abs(batch.inputs[0].mean() - 0.5) < 5 * 0.5 / np.sqrt(count)
    for step in (1, 2):
        shares = np.bincount(batch.inputs[step], minlength=7)[2:] / count
        assert np.abs(shares - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / count)
    together = np.zeros((2, 7))
    np.add.at(together, (batch.inputs[0], batch.inputs[2]), 1)
    assert np.abs(together[:, 2:] / count - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / count)


def test_the_baseline_is_a_guess_between_two_symbols():
    count = 20_000
    task = RandomPermutation(length=4, alphabet=5)
    batch = task.sample(count, rng=np.random.default_rng(2))
    logits = np.full((1, count, 5), -np.inf)
    logits[..., :2] = 0.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    at_target = np.take_along_axis(probabilities[0], batch.targets[-1][:, np.newaxis], axis=-1)
    assert -np.log(at_target).mean() == pytest.approx(task.baseline.loss, rel=1e-12)
    assert task.baseline.loss == pytest.approx(0.6931471805599453)
    wrong = task.wrong(np.concatenate([logits[..., :1] + 1, logits[..., 1:]], axis=-1), batch.steps(3, 4))
    assert abs(wrong.mean() - task.baseline.error) < 5 * 0.5 / np.sqrt(count)
    assert task.baseline.accuracy == 0.5


def test_an_oracle_is_never_wrong():
    task = RandomPermutation(length=6, alphabet=12)
    batch = task.sample(50, rng=np.random.default_rng(3))
    logits = np.zeros((6, 50, 12))
    for sequence in range(50):
        logits[5, sequence, batch.inputs[0, sequence]] = 1.0
    assert not task.wrong(logits, batch)[batch.mask].any()
    assert task.floor == 0.0


def test_the_shortest_sequence_asks_at_once():
    batch = RandomPermutation(length=1).sample(5, rng=np.random.default_rng(4))
    assert batch.inputs.tolist() == batch.targets.tolist()
    assert batch.mask.all()


@pytest.mark.parametrize(("error", "solved"), [(0.0, True), (0.0099, True), (0.01, False), (0.5, False)])
def test_solved_is_less_than_one_percent_wrong(error, solved):
    report = SimpleNamespace(evaluation=SimpleNamespace(error=error))
    assert RandomPermutation().solved(report) is solved
    assert RandomPermutation().solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("key", "values"),
    [("length", [0, -1, 1.5, None]), ("alphabet", [2, 0, "many", True]), ("eval_sequences", [0])],
)
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= "):
            RandomPermutation(**{key: value})

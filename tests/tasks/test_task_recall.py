from itertools import product

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import Recall


def test_a_trial_step_by_step():
    task = Recall(4, lag=3, distractors=2)
    batch = task.sample(6, rng=np.random.default_rng(42))
    assert task.input_size == 7
    assert task.output_size == 4
    assert batch.inputs.shape == (4, 6)
    for sequence in range(6):
        symbol, *between, question = batch.inputs[:, sequence]
        assert symbol in range(4)
        assert len(between) == 2
        assert set(between) <= {4, 5}
        assert question == 6
        assert batch.mask[:, sequence].tolist() == [False, False, False, True]
        assert batch.targets[-1, sequence] == symbol


@pytest.mark.parametrize(("symbols", "lag", "distractors"), [(2, 1, 1), (2, 2, 1), (2, 3, 2), (3, 2, 4), (4, 3, 3)])
def test_every_sequence_of_a_small_alphabet_occurs_and_no_other(symbols, lag, distractors):
    task = Recall(symbols, lag=lag, distractors=distractors)
    batch = task.sample(4000, rng=np.random.default_rng(1))
    between = range(symbols, symbols + distractors)
    expected = set(product(range(symbols), *[between] * (lag - 1), [symbols + distractors]))
    assert {tuple(column) for column in batch.inputs.T.tolist()} == expected


def test_symbols_and_distractors_are_uniform_and_independent():
    count = 30_000
    batch = Recall(3, lag=3, distractors=2).sample(count, rng=np.random.default_rng(2))
    cells = np.zeros((3, 2, 2))
    np.add.at(cells, (batch.inputs[0], batch.inputs[1] - 3, batch.inputs[2] - 3), 1)
    share = 1 / 12
    assert np.abs(cells / count - share).max() < 5 * np.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("symbols", [2, 4, 7])
def test_the_baseline_is_what_a_uniform_guess_gets(symbols):
    task = Recall(symbols, lag=2)
    count = 20_000
    batch = task.sample(count, rng=np.random.default_rng(3))
    targets = batch.targets[batch.mask]
    probabilities = np.full((count, symbols), 1 / symbols)
    cross_entropy = -np.log(probabilities[np.arange(count), targets]).mean()
    assert task.baseline.loss == pytest.approx(cross_entropy, rel=1e-12)
    assert task.baseline.loss == pytest.approx(np.log(symbols), rel=1e-15)

    guesses = np.random.default_rng(4).integers(symbols, size=count)
    share = 1 / symbols
    assert task.baseline.accuracy == share
    assert abs(np.mean(guesses == targets) - share) < 5 * np.sqrt(share * (1 - share) / count)


def test_no_constant_predictor_beats_the_baseline():
    task = Recall(5)
    batch = task.sample(50_000, rng=np.random.default_rng(5))
    shares = np.bincount(batch.targets[batch.mask]) / 50_000
    # The entropy of the shares falls short of ln K by a chi-square over 2 n, whose mean here is 4e-5.
    assert task.baseline.loss == pytest.approx(-(shares * np.log(shares)).sum(), abs=3e-4)


def test_four_symbols_at_lag_eight_without_settings():
    task = Recall()
    assert (task.output_size, task.input_size, task.lag) == (4, 7, 8)
    assert task.sample(1, rng=np.random.default_rng(0)).inputs.shape == (9, 1)


def test_the_evaluation_set_has_the_size_asked_for():
    task = Recall(lag=2, eval_sequences=17)
    assert task.evaluation(rng=np.random.default_rng(0)).mask.shape == (3, 17)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("output_size", [1, 0, -1, 2.0, "4", True]),
        ("lag", [0, -3, 1.5, None, True]),
        ("distractors", [0, -1, "two"]),
        ("eval_sequences", [0, -1, 10.0, None]),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= "):
            Recall(**{key: value})

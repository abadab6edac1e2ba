from itertools import product
from math import log
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.two_lag import TwoLag


def entropy(p):
    return -sum(q * log(q) for q in (p, 1 - p) if q > 0)


def drawn(task, streams=50, steps=2000, seed=0):
    rng = np.random.default_rng(seed)
    return task.read(task.begin(streams, rng=rng), steps, rng=rng)


def bits_before(batch, lag, depth):
    """The inputs `lag` steps before each scored step, for steps from `depth` on."""
    return batch.inputs[depth - lag : len(batch.inputs) - lag]


@pytest.mark.parametrize("lags", [(3, 8), (1, 2), (2, 11)])
@pytest.mark.parametrize("weights", [(0.5, -0.25), (-0.2, 0.4), (0.5, -0.5)])
def test_the_coin_is_loaded_by_the_two_bits_as_defined(lags, weights):
    task = TwoLag(first_lag=lags[0], second_lag=lags[1], first_weight=weights[0], second_weight=weights[1])
    batch = drawn(task)
    first, second = (bits_before(batch, lag, lags[1]) for lag in lags)
    targets = batch.targets[lags[1] :]
    for one, other in product((0, 1), repeat=2):
        cell = targets[(first == one) & (second == other)]
        share = 0.5 + weights[0] * one + weights[1] * other
        assert len(cell) > 20_000
        assert abs(cell.mean() - share) <= 5 * np.sqrt(share * (1 - share) / len(cell))


def test_nothing_else_that_was_read_bears_on_the_coin():
    batch = drawn(TwoLag())
    targets = batch.targets[20:]
    for lag in (0, 1, 2, 4, 5, 6, 7, 9, 10, 11):
        ones = targets[bits_before(batch, lag, 20) == 1]
        assert abs(ones.mean() - 0.625) < 5 * np.sqrt(0.625 * 0.375 / len(ones)), lag
    # Given its probability, a coin does not depend on the coin before (whose bits are others).
    after = targets[1:][targets[:-1] == 1]
    assert abs(after.mean() - 0.625) < 5 * np.sqrt(0.625 * 0.375 / len(after))


def test_bits_are_fair():
    inputs = drawn(TwoLag()).inputs
    assert set(np.unique(inputs)) == {0, 1}
    assert abs(inputs.mean() - 0.5) < 5 * 0.5 / np.sqrt(inputs.size)
    pairs = (inputs[1:] == inputs[:-1]).mean()
    assert abs(pairs - 0.5) < 5 * 0.5 / np.sqrt(inputs.size)


def test_scoring_begins_where_both_bits_exist():
    task = TwoLag(first_lag=2, second_lag=5, eval_streams=3, eval_steps=9)
    mask = task.evaluation(rng=np.random.default_rng(1)).mask
    assert mask.tolist() == [[False] * 3] * 5 + [[True] * 3] * 4


def test_the_published_floors():
    floors = TwoLag().floors()
    assert list(floors) == ["none", "first", "second", "both"]
    assert floors["none"] == pytest.approx(0.66156, abs=5e-6)
    assert floors["first"] == pytest.approx(0.51917, abs=5e-6)
    assert floors["second"] == pytest.approx(0.62774, abs=5e-6)
    assert floors["both"] == pytest.approx(0.45445, abs=5e-6)


@pytest.mark.parametrize(("w1", "w2"), [(0.5, -0.25), (0.5, -0.5), (-0.1, 0.3), (0.25, 0.25)])
def test_floors_by_enumeration(w1, w2):
    floors = TwoLag(first_weight=w1, second_weight=w2).floors()
    p = {(a, b): 0.5 + w1 * a + w2 * b for a, b in product((0, 1), repeat=2)}
    assert floors["none"] == pytest.approx(entropy(sum(p.values()) / 4))
    assert floors["first"] == pytest.approx(sum(entropy((p[a, 0] + p[a, 1]) / 2) for a in (0, 1)) / 2)
    assert floors["second"] == pytest.approx(sum(entropy((p[0, b] + p[1, b]) / 2) for b in (0, 1)) / 2)
    assert floors["both"] == pytest.approx(sum(map(entropy, p.values())) / 4)


def test_predictors_with_all_degrees_of_knowledge_get_their_floors():
    task = TwoLag()
    batch = drawn(task, seed=2)
    first, second, targets = bits_before(batch, 3, 8), bits_before(batch, 8, 8), batch.targets[8:]
    predicted = {
        "none": np.full(targets.shape, 0.625),
        "first": 0.375 + 0.5 * first,
        "second": 0.75 - 0.25 * second,
        "both": 0.5 + 0.5 * first - 0.25 * second,
    }
    for name, ones in predicted.items():
        with np.errstate(divide="ignore"):
            losses = -np.log(np.where(targets == 1, ones, 1 - ones))
        assert abs(losses.mean() - task.floors()[name]) < 5 * losses.std() / np.sqrt(losses.size), name
    assert task.floor == task.floors()["both"]
    assert task.baseline.loss == task.floors()["none"]
    accuracy = (targets == 1).mean()
    assert task.baseline.accuracy == 0.625
    assert abs(accuracy - 0.625) < 5 * np.sqrt(0.625 * 0.375 / targets.size)
    assert task.baseline.error is None
    assert task.error_per is None


def test_the_likelier_side_is_guessed_whichever_it_is():
    assert TwoLag(first_weight=-0.5, second_weight=0.25).baseline.accuracy == 0.625
    assert TwoLag(first_weight=0.25, second_weight=-0.25).baseline.accuracy == 0.5


def test_reading_in_pieces_is_reading_at_once_and_places_are_separate():
    task = TwoLag()
    whole = drawn(task, 3, 20, seed=5)
    rng, other = np.random.default_rng(5), np.random.default_rng(6)
    place, beside = task.begin(3, rng=rng), task.begin(3, rng=other)
    parts = []
    for _ in range(4):
        parts.append(task.read(place, 5, rng=rng))
        task.read(beside, 7, rng=other)
    for name in ("inputs", "targets", "mask"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    assert whole.mask.sum() == 12 * 3


def test_solved_is_nearer_to_both_bits_than_to_the_first():
    task = TwoLag()
    middle = (0.5191667 + 0.4544544) / 2
    for loss, expected in ((middle - 1e-3, True), (middle + 1e-3, False), (0.40, True), (0.66, False)):
        assert task.solved(SimpleNamespace(evaluation=SimpleNamespace(loss=loss))) is expected
    assert task.solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_lag": 0}, "first_lag must be a whole number >= 1, got 0"),
        ({"second_lag": 3}, "second_lag must be a whole number >= 4, got 3"),
        ({"first_lag": 8}, "second_lag must be a whole number >= 9, got 8"),
        ({"first_weight": 0.6}, "first_weight must be a number other than 0, >= -0.5 and <= 0.5, got 0.6"),
        ({"first_weight": 0}, "first_weight must be a number other than 0, "),
        ({"first_weight": "half"}, "first_weight must be a number, got half"),
        ({"second_weight": 0.1}, "second_weight must be a number other than 0, >= -0.5 and <= 0, got 0.1"),
        ({"first_weight": -0.25, "second_weight": -0.3}, "second_weight must be a number .* >= -0.25 and <= 0.5, got"),
        ({"second_weight": float("nan")}, "second_weight must be a number, got nan"),
        ({"eval_streams": 0}, "eval_streams must be a whole number >= 1, got 0"),
        ({"eval_steps": 8}, "eval_steps must be a whole number >= 9, got 8"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=f"^{message}"):
        TwoLag(**settings)

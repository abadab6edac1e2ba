from math import log
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import LongLag


def names(task, tokens):
    return [task.input_names[token] for token in tokens]


@pytest.mark.parametrize("lag", [2, 3, 10])
def test_2a_has_two_sequences_that_differ_at_their_ends_only(lag):
    task = LongLag(lag=lag)
    batch = task.evaluation(rng=np.random.default_rng(0))
    middle = [f"a{index}" for index in range(1, lag)]
    told = {
        (*names(task, batch.inputs[:, column]), *names(task, batch.targets[-1:, column])): column for column in (0, 1)
    }
    assert set(told) == {("x", *middle, "x"), ("y", *middle, "y")}
    assert batch.inputs.shape == batch.targets.shape == (lag, 2)
    assert batch.mask.all()
    assert np.array_equal(batch.inputs[1:], batch.targets[:-1])
    drawn = task.sample(500, rng=np.random.default_rng(1))
    assert {tuple(column) for column in drawn.inputs.T} == {tuple(column) for column in batch.inputs.T}
    assert abs((drawn.inputs[0] == lag).mean() - 0.5) < 5 * 0.5 / np.sqrt(500)


def test_2b_has_random_symbols_in_between_and_ends_as_it_began():
    lag, count = 5, 20_000
    task = LongLag(variant="2b", lag=lag)
    batch = task.sample(count, rng=np.random.default_rng(2))
    assert batch.inputs.shape == (lag, count)
    assert set(names(task, np.unique(batch.inputs[0]))) == {"x", "y"}
    assert np.array_equal(batch.targets[-1], batch.inputs[0])
    assert np.array_equal(batch.inputs[1:], batch.targets[:-1])
    for step in range(1, lag):
        shares = np.bincount(batch.inputs[step], minlength=lag + 1) / count
        assert not shares[lag - 1 :].any()
        assert np.abs(shares[: lag - 1] - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / count)


@pytest.mark.parametrize(("variant", "lag"), [("2a", 2), ("2a", 10), ("2b", 2), ("2b", 3), ("2b", 10)])
def test_the_baseline_knows_all_but_the_first_symbol(variant, lag):
    task, count = LongLag(variant=variant, lag=lag), 5000
    batch = task.sample(count, rng=np.random.default_rng(3))
    probabilities = np.zeros((lag, count, lag + 1))
    for step in range(lag - 1):
        if variant == "2a":
            probabilities[step, :, step] = 1.0
        else:
            probabilities[step, :, : lag - 1] = 1 / (lag - 1)
    probabilities[-1, :, lag - 1 :] = 0.5
    at_target = np.take_along_axis(probabilities, batch.targets[..., np.newaxis], axis=-1)[..., 0]
    assert -np.log(at_target).mean() == pytest.approx(task.baseline.loss, rel=1e-12)
    # A guess in proportion to the probabilities is right as often as they say.
    assert abs(at_target.mean() - task.baseline.accuracy) < 1e-12
    with np.errstate(divide="ignore"):
        wrong = task.wrong(np.log(probabilities), batch)
    assert wrong.any(axis=0).mean() == task.baseline.error == 1.0


@pytest.mark.parametrize(("variant", "floor"), [("2a", 0.0), ("2b", 3 * log(3) / 4)])
def test_an_oracle_reaches_the_floor_and_is_never_wrong(variant, floor):
    task = LongLag(variant=variant, lag=4)
    batch = task.sample(100, rng=np.random.default_rng(4))
    probabilities = np.full((4, 100, 5), 1e-300)
    for sequence in range(100):
        for step in range(3):
            if variant == "2a":
                probabilities[step, sequence, step] = 1.0
            else:
                probabilities[step, sequence, :3] = 1 / 3
        probabilities[3, sequence, batch.inputs[0, sequence]] = 1.0
    at_target = np.take_along_axis(probabilities, batch.targets[..., np.newaxis], axis=-1)
    assert -np.log(at_target).mean() == pytest.approx(floor, abs=1e-12)
    assert task.floor == pytest.approx(floor, abs=1e-15)
    assert not task.wrong(np.log(probabilities), batch).any()


@pytest.mark.parametrize(("probability", "wrong"), [(0.76, False), (0.74, True), (0.5, True), (0.99, False)])
@pytest.mark.parametrize("variant", ["2a", "2b"])
def test_an_output_is_wrong_if_it_is_off_by_a_quarter(variant, probability, wrong):
    task = LongLag(variant=variant, lag=3)
    batch = task.sample(6, rng=np.random.default_rng(5))
    probabilities = np.full((3, 6, 4), (1 - probability) / 3)
    np.put_along_axis(probabilities, batch.targets[..., np.newaxis], probability, axis=-1)
    found = task.wrong(np.log(probabilities), batch)
    assert (found[-1] == wrong).all()
    assert (found[:-1] == (wrong and variant == "2a")).all()


@pytest.mark.parametrize(("error", "solved"), [(0.0, True), (0.002, False), (1.0, False)])
def test_solved_is_none_wrong(error, solved):
    assert LongLag().solved(SimpleNamespace(evaluation=SimpleNamespace(error=error))) is solved
    assert LongLag().solved(SimpleNamespace(evaluation=None)) is None


def test_values_that_make_no_task_are_refused_by_name():
    for value in (1, 0, 2.5, "ten"):
        with pytest.raises(InvalidValue, match=r"^lag must be a whole number >= 2"):
            LongLag(lag=value)
    with pytest.raises(InvalidValue, match=r"^variant must be one of 2a, 2b, got 2c"):
        LongLag(variant="2c")
    with pytest.raises(InvalidValue, match=r"^eval_sequences"):
        LongLag(eval_sequences=0)

from itertools import product
from math import log
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import NoiselessMemorization

BOTH = pytest.mark.parametrize(("bits", "values", "places"), [(20, 5, 10), (5, 2, 5)])


@BOTH
@pytest.mark.parametrize("length", [1, 2, 7])
def test_every_step_of_a_trial(bits, values, places, length):
    task = NoiselessMemorization(bits=bits, length=length)
    batch = task.sample(40, rng=np.random.default_rng(0))
    blank, mark = values, values + 1
    assert batch.inputs.shape == (length + 2 * places, 40)
    assert batch.mask.all()
    for sequence in range(40):
        inputs, targets = batch.inputs[:, sequence].tolist(), batch.targets[:, sequence].tolist()
        pattern = inputs[:places]
        assert all(0 <= value < values for value in pattern)
        assert inputs[places:] == [blank] * length + [mark] + [blank] * (places - 1)
        assert inputs.index(mark) == length + places
        assert targets == [blank] * (length + places) + pattern


@BOTH
def test_values_are_equally_likely_at_every_place_and_all_are_reached(bits, values, places):
    count = 10_000
    batch = NoiselessMemorization(bits=bits, length=1).sample(count, rng=np.random.default_rng(1))
    for place in range(places):
        shares = np.bincount(batch.inputs[place], minlength=values) / count
        assert len(shares) == values
        assert np.abs(shares - 1 / values).max() < 5 * np.sqrt((1 - 1 / values) / values / count)


@pytest.mark.parametrize(("length", "loss"), [(50, 0.2299), (100, 0.1341), (150, 0.0947), (200, 0.0732)])
def test_the_memoryless_loss_is_the_published_one(length, loss):
    baseline = NoiselessMemorization(length=length).baseline
    assert baseline.loss == pytest.approx(loss, abs=5e-5)
    assert baseline.exact


@BOTH
def test_the_baseline_is_blanks_and_then_a_guess(bits, values, places):
    task, count, length = NoiselessMemorization(bits=bits, length=3), 4000, 3
    batch = task.sample(count, rng=np.random.default_rng(2))
    rng = np.random.default_rng(3)
    steps = length + 2 * places
    answers = np.full((steps, count), values)
    answers[-places:] = rng.integers(values, size=(places, count))
    right = answers == batch.targets
    spread = 5 * 0.5 * np.sqrt(places / count) / steps
    assert abs(right.mean() - task.baseline.accuracy) < spread
    error = 1 - values**-places
    assert task.baseline.error == pytest.approx(error, rel=1e-12)
    assert abs((~right.all(axis=0)).mean() - error) < 5 * np.sqrt(error * (1 - error) / count) + 1e-12
    assert task.baseline.loss == pytest.approx(places * log(values) / steps, rel=1e-12)


def test_the_five_bit_variant_is_evaluated_on_every_pattern_once():
    task = NoiselessMemorization(bits=5, length=4, eval_sequences=500)
    batch = task.evaluation(rng=np.random.default_rng(4))
    patterns = {tuple(pattern) for pattern in batch.inputs[:5].T.tolist()}
    assert batch.inputs.shape[1] == 32
    assert patterns == set(product((0, 1), repeat=5))


def test_the_twenty_bit_variant_is_evaluated_on_as_many_as_asked_for():
    batch = NoiselessMemorization(length=4, eval_sequences=17).evaluation(rng=np.random.default_rng(5))
    assert batch.inputs.shape == (24, 17)


@BOTH
def test_an_oracle_that_reads_the_inputs_is_never_wrong_and_one_slip_is_a_wrong_step(bits, values, places):
    task = NoiselessMemorization(bits=bits, length=6)
    batch = task.sample(30, rng=np.random.default_rng(6))
    logits = np.zeros((*batch.inputs.shape, values + 1))
    for sequence in range(30):
        answer = [values] * (6 + places) + batch.inputs[:places, sequence].tolist()
        for step, token in enumerate(answer):
            logits[step, sequence, token] = 9.0
    assert not task.wrong(logits, batch).any()
    logits[0, 3] = logits[0, 3][::-1]
    assert np.argwhere(task.wrong(logits, batch)).tolist() == [[0, 3]]
    assert task.floor == 0.0
    assert task.error_per == "sequence"


def test_tokens_and_classes_have_names():
    task = NoiselessMemorization(bits=5)
    assert "".join(task.input_names) == "01-!"
    assert "".join(task.output_names) == "01-"
    assert (task.input_size, task.output_size) == (4, 3)
    assert (NoiselessMemorization().input_size, NoiselessMemorization().output_size) == (7, 6)


@pytest.mark.parametrize(("error", "solved"), [(0.0, True), (0.0099, True), (0.01, False), (1.0, False)])
def test_solved_is_less_than_one_percent_of_the_sequences_wrong(error, solved):
    report = SimpleNamespace(evaluation=SimpleNamespace(error=error))
    assert NoiselessMemorization().solved(report) is solved
    assert NoiselessMemorization().solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize("bits", [0, 10, 5.0, "20", None, True])
def test_only_the_two_published_patterns_are_offered(bits):
    with pytest.raises(InvalidValue, match=r"^bits must be 5 or 20, got"):
        NoiselessMemorization(bits=bits)


@pytest.mark.parametrize(("key", "values"), [("length", [0, -3, 1.5]), ("eval_sequences", [0, None])])
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= 1"):
            NoiselessMemorization(**{key: value})

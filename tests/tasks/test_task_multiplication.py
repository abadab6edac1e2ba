from collections import Counter
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.multiplication import Multiplication

VARIANTS = ["hochreiter", "pascanu"]
MARKER = {"hochreiter": 1, "pascanu": 0}


def trials(batch, variant):
    """Values, markers and answer of each sequence, up to the step that is scored."""
    for sequence in range(batch.mask.shape[1]):
        (scored,) = np.flatnonzero(batch.mask[:, sequence])
        markers = batch.inputs[: scored + 1, sequence, MARKER[variant]].tolist()
        values = batch.inputs[: scored + 1, sequence, 1 - MARKER[variant]].tolist()
        yield values, markers, float(batch.targets[scored, sequence, 0])


def hochreiter_pairs(length):
    """Probability of each pair of marked steps: any of ten, then any of the first T/2 - 1 that are left."""
    pairs = Counter()
    for first in range(10):
        left = [step for step in range(length) if step != first][: length // 2 - 1]
        for second in left:
            pairs[tuple(sorted((first, second)))] += Fraction(1, 10 * len(left))
    return pairs


def first_step_marked(length):
    return sum(share for pair, share in hochreiter_pairs(length).items() if 0 in pair)


def within(share, expected, count):
    """Five standard errors of a share."""
    return abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("length", [11, 12, 24, 31])
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_oracle_that_sees_the_inputs_only_is_always_right(variant, length):
    task = Multiplication(variant=variant, length=length, eval_sequences=300)
    batch = task.evaluation(rng=np.random.default_rng(1))
    outputs = np.full(batch.targets.shape, np.nan)
    for sequence, (values, markers, _) in enumerate(trials(batch, variant)):
        first, second = (value for value, marker in zip(values, markers, strict=True) if marker == 1)
        outputs[len(values) - 1, sequence, 0] = first * second
    assert np.square(outputs - batch.targets)[batch.mask].max() == task.floor == 0
    assert not task.wrong(outputs, batch)[batch.mask].any()


def test_a_sequence_of_hochreiter_step_by_step():
    count = 4000
    task = Multiplication(variant="hochreiter", length=20, eval_sequences=count)
    cleared = 0
    for values, markers, answer in trials(task.evaluation(rng=np.random.default_rng(2)), "hochreiter"):
        first, second = (step for step, marker in enumerate(markers) if marker == 1)
        for step, marker in enumerate(markers):
            if step not in (first, second):
                assert marker == (-1 if step in (0, len(markers) - 1) else 0)
        assert (values[0] == 1) == (first == 0)
        assert answer == (values[second] if first == 0 else values[first] * values[second])
        cleared += first == 0
    assert within(cleared / count, float(first_step_marked(20)), count)


@pytest.mark.parametrize("length", [11, 20, 30])
def test_each_pair_of_steps_is_marked_as_often_as_hochreiter_has_it(length):
    count = 20_000
    task = Multiplication(variant="hochreiter", length=length, eval_sequences=count)
    marked = task.evaluation(rng=np.random.default_rng(3)).inputs[..., 1] == 1
    assert (marked.sum(axis=0) == 2).all()
    seen = Counter(map(tuple, np.nonzero(marked.T)[1].reshape(count, 2).tolist()))
    expected = hochreiter_pairs(length)
    assert set(seen) == set(expected)
    assert all(within(seen[pair] / count, float(share), count) for pair, share in expected.items())


def test_a_sequence_of_pascanu_step_by_step():
    task = Multiplication(variant="pascanu", length=30, eval_sequences=6000)
    seen = Counter()
    for values, markers, answer in trials(task.evaluation(rng=np.random.default_rng(4)), "pascanu"):
        first, second = (step for step, marker in enumerate(markers) if marker == 1)
        assert sorted(markers) == [0] * (len(markers) - 2) + [1, 1]
        assert answer == values[first] * values[second]
        seen[len(markers), first, second] += 1
    # int(.1 L) = 3 for all lengths 30, 31 and 32; int(.4 L) = 12.
    expected = {(steps, first, second) for steps in (30, 31, 32) for first in range(3) for second in range(3, 15)}
    assert set(seen) == expected
    assert all(within(times / 6000, 1 / len(expected), 6000) for times in seen.values())


@pytest.mark.parametrize(
    ("variant", "length", "lengths"),
    [
        ("hochreiter", 11, range(11, 13)),
        ("hochreiter", 50, range(50, 56)),
        ("pascanu", 10, range(10, 11)),
        ("pascanu", 50, range(50, 55)),
    ],
)
def test_lengths_are_uniform_over_the_published_range(variant, length, lengths):
    count = 4000
    task = Multiplication(variant=variant, length=length, eval_sequences=count)
    batch = task.evaluation(rng=np.random.default_rng(5))
    assert (batch.mask.sum(axis=0) == 1).all()
    seen = Counter((batch.mask.argmax(axis=0) + 1).tolist())
    assert set(seen) == set(lengths)
    assert all(within(seen[steps] / count, 1 / len(lengths), count) for steps in lengths)


def test_a_training_batch_of_pascanu_has_one_length_and_one_of_hochreiter_many():
    rng, drawn = np.random.default_rng(6), set()
    for _ in range(100):
        batch = Multiplication(variant="pascanu", length=50).sample(20, rng=rng)
        assert batch.mask[-1].all()
        drawn.add(len(batch.mask))
    assert drawn == {50, 51, 52, 53, 54}
    batch = Multiplication(variant="hochreiter", length=50).sample(200, rng=rng)
    assert set(batch.mask.argmax(axis=0) + 1) == {50, 51, 52, 53, 54, 55}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_is_as_long_as_its_longest_sequence_and_padded_with_zeros(variant):
    task = Multiplication(variant=variant, length=60, eval_sequences=3)
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(40):
        batch = task.evaluation(rng=rng)
        last = batch.mask.argmax(axis=0)
        assert len(batch.mask) == last.max() + 1
        beyond = np.arange(len(batch.mask))[:, np.newaxis] > last
        seen.add(bool(beyond.any()))
        assert (batch.inputs[beyond] == 0).all()
        assert (batch.targets[~batch.mask] == 0).all()
    assert True in seen


@pytest.mark.parametrize("variant", VARIANTS)
def test_values_are_uniform_on_the_unit_interval(variant):
    batch = Multiplication(variant=variant, length=40).sample(500, rng=np.random.default_rng(8))
    values = batch.inputs[1:40, :, 1 - MARKER[variant]].ravel()  # the first step may be set to 1
    assert values.min() >= 0
    assert values.max() < 1
    shares = np.histogram(values, bins=10, range=(0, 1))[0] / len(values)
    assert all(within(share, 0.1, len(values)) for share in shares)


@pytest.mark.parametrize(
    ("variant", "length"), [("hochreiter", 11), ("hochreiter", 30), ("pascanu", 10), ("pascanu", 24)]
)
def test_the_baseline_is_what_always_saying_the_mean_gets(variant, length):
    count = 40_000
    mean = (1 + float(first_step_marked(length))) / 4 if variant == "hochreiter" else 0.25
    task = Multiplication(variant=variant, length=length, eval_sequences=count)
    batch = task.evaluation(rng=np.random.default_rng(9))
    off = batch.targets[batch.mask][:, 0] - mean
    squares = np.square(off)
    assert abs(off.mean()) < 5 * off.std() / np.sqrt(count)
    assert abs(squares.mean() - task.baseline.loss) < 5 * squares.std() / np.sqrt(count)
    missed = task.wrong(np.full(batch.targets.shape, mean), batch)[batch.mask]
    assert within(missed.mean(), task.baseline.error, count)
    assert f"{mean:.4g}" in task.baseline.predictor
    assert task.baseline.accuracy is None
    assert task.baseline.exact


def test_the_baseline_of_pascanu_is_the_published_one():
    baseline = Multiplication(variant="pascanu").baseline
    assert baseline.loss == pytest.approx(7 / 144, rel=1e-14)
    # The area of the unit square where x y > .45 or x y < .05, by the midpoint rule over x.
    x = (np.arange(400_000) + 0.5) / 400_000
    area = np.mean(1 - np.minimum(1, 0.45 / x) + np.minimum(1, 0.05 / x))
    assert baseline.error == pytest.approx(area, abs=1e-9)
    assert round(baseline.error, 3) == 0.39


@pytest.mark.parametrize("length", [11, 50, 100])
def test_the_baseline_of_hochreiter_counts_the_first_step_that_is_set_to_one(length):
    single = float(first_step_marked(length))
    mean = (1 - single) / 4 + single / 2
    square = (1 - single) / 9 + single / 3
    x = (np.arange(400_000) + 0.5) / 400_000
    near = np.minimum(1, (mean + 0.04) / x) - np.minimum(1, (mean - 0.04) / x)
    baseline = Multiplication(variant="hochreiter", length=length).baseline
    assert baseline.loss == pytest.approx(square - mean**2, rel=1e-13)
    assert baseline.error == pytest.approx(1 - (1 - single) * near.mean() - single * 0.08, abs=1e-9)


@pytest.mark.parametrize(("variant", "allowed"), [("hochreiter", 0.04), ("pascanu", 0.2)])
def test_a_sequence_is_wrong_beyond_the_allowed_error_on_either_side(variant, allowed):
    task = Multiplication(variant=variant, length=12)
    batch = task.sample(6, rng=np.random.default_rng(10))
    shift = allowed * np.array([0, 0.99, -0.99, 1.01, -1.01, 9.0])
    outputs = batch.targets + shift[np.newaxis, :, np.newaxis]
    wrong = task.wrong(outputs, batch)
    assert wrong.dtype == np.bool_
    assert wrong.shape == batch.mask.shape
    assert wrong[batch.mask.argmax(axis=0), np.arange(6)].tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("variant", "error", "solved"),
    [
        ("hochreiter", 12 / 2000, True),
        ("hochreiter", 13 / 2000, False),
        ("pascanu", 99 / 10_000, True),
        ("pascanu", 100 / 10_000, False),
    ],
)
def test_solved_by_the_rule_of_each_paper(variant, error, solved):
    evaluation = SimpleNamespace(loss=0.02, accuracy=None, error=error, absolute_error=0.02)
    task = Multiplication(variant=variant)
    assert task.solved(SimpleNamespace(evaluation=evaluation)) is solved
    assert task.solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(("variant", "shortest"), [("hochreiter", 11), ("pascanu", 10)])
def test_a_length_too_short_for_the_markers_is_refused(variant, shortest):
    Multiplication(variant=variant, length=shortest).sample(50, rng=np.random.default_rng(0))
    with pytest.raises(
        InvalidValue, match=f"^length must be a whole number >= {shortest}, got {shortest - 1}"
    ) as refused:
        Multiplication(variant=variant, length=shortest - 1)
    assert refused.value.hint


@pytest.mark.parametrize(("key", "values"), [("length", [2.5, None, True, "100"]), ("eval_sequences", [0, -1, "many"])])
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= "):
            Multiplication(**{key: value})


@pytest.mark.parametrize("variant", ["arjovsky", "Pascanu", "", None])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(InvalidValue, match=r"^variant must be one of hochreiter, pascanu, got "):
        Multiplication(variant=variant)

from collections import Counter
from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.adding import Adding

VARIANTS = ["arjovsky", "hochreiter", "pascanu", "uniform"]
MARKER = {"arjovsky": 1, "hochreiter": 1, "pascanu": 0, "uniform": 1}
SCALED = {
    "arjovsky": lambda total: total,
    "hochreiter": lambda total: 0.5 + total / 4,
    "pascanu": lambda total: total / 2,
    "uniform": lambda total: total,
}


def trials(batch, variant):
    """Values, markers and answer of each sequence, up to the step that is scored."""
    for sequence in range(batch.mask.shape[1]):
        (scored,) = np.flatnonzero(batch.mask[:, sequence])
        markers = batch.inputs[: scored + 1, sequence, MARKER[variant]].tolist()
        values = batch.inputs[: scored + 1, sequence, 1 - MARKER[variant]].tolist()
        yield values, markers, float(batch.targets[scored, sequence, 0])


def marked(markers):
    return tuple(step for step, marker in enumerate(markers) if marker == 1)


def hochreiter_pairs(length):
    """Probability of each pair of marked steps: any of ten, then any of the first T/2 - 1 that are left."""
    pairs = Counter()
    for first in range(10):
        left = [step for step in range(length) if step != first][: length // 2 - 1]
        for second in left:
            pairs[tuple(sorted((first, second)))] += Fraction(1, 10 * len(left))
    return pairs


def pascanu_pairs(length):
    """Of lengths L = T .. T + int(T / 10) - 1, any of the first int(.1 L), then any of the next int(.4 L)."""
    pairs = Counter()
    lengths = range(length, length + int(length * 0.1))
    for steps in lengths:
        tenth, more = int(steps * 0.1), int(steps * 0.4)
        for first, second in product(range(tenth), range(tenth, tenth + more)):
            pairs[first, second] += Fraction(1, len(lengths) * tenth * more)
    return pairs


def uniform_pairs(length):
    pairs = [(first, second) for first in range(length) for second in range(first + 1, length)]
    return Counter({pair: Fraction(1, len(pairs)) for pair in pairs})


def within(share, expected, count):
    """Five standard errors of a share."""
    return abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("length", [11, 12, 24, 31])
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_oracle_that_sees_the_inputs_only_is_always_right(variant, length):
    task = Adding(variant=variant, length=length, eval_sequences=300)
    batch = task.evaluation(rng=np.random.default_rng(1))
    outputs = np.full(batch.targets.shape, np.nan)
    for sequence, (values, markers, _) in enumerate(trials(batch, variant)):
        first, second = (value for value, marker in zip(values, markers, strict=True) if marker == 1)
        outputs[len(values) - 1, sequence, 0] = SCALED[variant](first + second)
    assert np.square(outputs - batch.targets)[batch.mask].max() == task.floor == 0
    if variant in ("hochreiter", "pascanu"):
        assert not task.wrong(outputs, batch)[batch.mask].any()


@pytest.mark.parametrize(
    ("variant", "pairs", "length"),
    [
        ("hochreiter", hochreiter_pairs, 11),
        ("hochreiter", hochreiter_pairs, 30),
        ("pascanu", pascanu_pairs, 10),
        ("pascanu", pascanu_pairs, 35),
        ("uniform", uniform_pairs, 2),
        ("uniform", uniform_pairs, 9),
    ],
)
def test_each_pair_of_steps_is_marked_as_often_as_the_paper_has_it(variant, pairs, length):
    count = 20_000
    batch = Adding(variant=variant, length=length, eval_sequences=count).evaluation(rng=np.random.default_rng(2))
    markers = batch.inputs[..., MARKER[variant]] == 1
    assert (markers.sum(axis=0) == 2).all()
    steps = np.nonzero(markers.T)[1].reshape(count, 2)
    seen, expected = Counter(map(tuple, steps.tolist())), pairs(length)
    assert set(seen) == set(expected)
    assert sum(expected.values()) == 1
    assert all(within(seen[pair] / count, float(share), count) for pair, share in expected.items())


@pytest.mark.parametrize(
    ("variant", "length", "lengths"),
    [
        ("arjovsky", 20, range(20, 21)),
        ("hochreiter", 11, range(11, 13)),
        ("hochreiter", 50, range(50, 56)),
        ("pascanu", 10, range(10, 11)),
        ("pascanu", 50, range(50, 55)),
        ("uniform", 20, range(20, 21)),
    ],
)
def test_lengths_are_uniform_over_the_published_range(variant, length, lengths):
    count = 4000
    task = Adding(variant=variant, length=length, eval_sequences=count)
    batch = task.evaluation(rng=np.random.default_rng(3))
    assert (batch.mask.sum(axis=0) == 1).all()
    seen = Counter((batch.mask.argmax(axis=0) + 1).tolist())
    assert set(seen) == set(lengths)
    assert len(batch.mask) == lengths[-1]
    assert all(within(seen[steps] / count, 1 / len(lengths), count) for steps in lengths)


def test_a_training_batch_of_pascanu_has_one_length_and_one_of_hochreiter_many():
    rng, drawn = np.random.default_rng(4), set()
    for _ in range(100):
        batch = Adding(variant="pascanu", length=50).sample(20, rng=rng)
        assert batch.mask[-1].all()
        drawn.add(len(batch.mask))
    assert drawn == {50, 51, 52, 53, 54}
    batch = Adding(variant="hochreiter", length=50).sample(200, rng=rng)
    assert set(batch.mask.argmax(axis=0) + 1) == {50, 51, 52, 53, 54, 55}


@pytest.mark.parametrize("variant", ["hochreiter", "pascanu"])
def test_a_batch_is_as_long_as_its_longest_sequence_and_padded_with_zeros(variant):
    task = Adding(variant=variant, length=60, eval_sequences=3)
    rng = np.random.default_rng(5)
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


def test_the_markers_of_hochreiter_step_by_step():
    batch = Adding(variant="hochreiter", length=20, eval_sequences=2000).evaluation(rng=np.random.default_rng(6))
    cleared = 0
    for values, markers, answer in trials(batch, "hochreiter"):
        first, second = marked(markers)
        for step, marker in enumerate(markers):
            if step not in (first, second):
                assert marker == (-1 if step in (0, len(markers) - 1) else 0)
        assert (values[0] == 0) == (first == 0)
        assert answer == 0.5 + (values[first] + values[second]) / 4
        if first == 0:
            cleared += 1
            assert answer == 0.5 + values[second] / 4
    assert 0 < cleared < 2000


@pytest.mark.parametrize("variant", ["pascanu", "uniform"])
def test_the_markers_of_the_others_step_by_step(variant):
    batch = Adding(variant=variant, length=20, eval_sequences=200).evaluation(rng=np.random.default_rng(7))
    for values, markers, answer in trials(batch, variant):
        first, second = marked(markers)
        assert sorted(markers) == [0] * (len(markers) - 2) + [1, 1]
        total = values[first] + values[second]
        assert answer == (total / 2 if variant == "pascanu" else total)


def test_arjovsky_draws_values_then_the_first_then_the_second_marker():
    batch = Adding(length=7).sample(5, rng=np.random.default_rng(8))
    rng = np.random.default_rng(8)
    values, first, second = rng.random((7, 5)), rng.integers(0, 3, size=5), rng.integers(3, 7, size=5)
    assert np.array_equal(batch.inputs[..., 0], values)
    for sequence in range(5):
        assert marked(batch.inputs[:, sequence, 1]) == (first[sequence], second[sequence])


@pytest.mark.parametrize(("variant", "low"), [("hochreiter", -1), ("pascanu", 0), ("uniform", 0)])
def test_values_are_uniform_over_their_range(variant, low):
    batch = Adding(variant=variant, length=40).sample(500, rng=np.random.default_rng(9))
    values = batch.inputs[1:40, :, 1 - MARKER[variant]].ravel()  # the first step may be cleared
    assert values.min() >= low
    assert values.max() < 1
    shares = np.histogram(values, bins=10, range=(low, 1))[0] / len(values)
    assert all(within(share, 0.1, len(values)) for share in shares)


@pytest.mark.parametrize(
    ("variant", "length", "constant"),
    [
        ("arjovsky", 9, 1.0),
        ("hochreiter", 11, 0.5),
        ("hochreiter", 30, 0.5),
        ("pascanu", 10, 0.5),
        ("pascanu", 24, 0.5),
        ("uniform", 9, 1.0),
    ],
)
def test_the_baseline_is_what_always_saying_the_mean_gets(variant, length, constant):
    count = 40_000
    task = Adding(variant=variant, length=length, eval_sequences=count)
    batch = task.evaluation(rng=np.random.default_rng(10))
    off = batch.targets[batch.mask][:, 0] - constant
    squares = np.square(off)
    assert abs(off.mean()) < 5 * off.std() / np.sqrt(count)
    assert abs(squares.mean() - task.baseline.loss) < 5 * squares.std() / np.sqrt(count)
    assert task.baseline.accuracy is None
    assert task.baseline.exact
    assert f"{constant:g}" in task.baseline.predictor
    if variant in ("hochreiter", "pascanu"):
        missed = task.wrong(np.full(batch.targets.shape, constant), batch)[batch.mask]
        assert within(missed.mean(), task.baseline.error, count)
    else:
        assert task.baseline.error is None


@pytest.mark.parametrize("length", [11, 50, 100, 500])
def test_the_baseline_of_hochreiter_counts_the_cleared_first_step(length):
    cleared = sum(share for pair, share in hochreiter_pairs(length).items() if 0 in pair)
    # Var(x / 4) = 1/48 for one number on [-1, 1].
    loss = (1 - cleared) * Fraction(2, 48) + cleared * Fraction(1, 48)
    # P(|x + y| < a) = a - a^2 / 4 and P(|x| < a) = a, at a = 4 * 0.04.
    a = Fraction(16, 100)
    right = (1 - cleared) * (a - a**2 / 4) + cleared * a
    baseline = Adding(variant="hochreiter", length=length).baseline
    assert baseline.loss == pytest.approx(float(loss), rel=1e-14)
    assert baseline.error == pytest.approx(float(1 - right), rel=1e-14)


def test_the_published_baselines():
    assert Adding(variant="pascanu").baseline.loss == pytest.approx(1 / 24, rel=1e-15)
    assert Adding(variant="pascanu").baseline.error == pytest.approx(0.36, rel=1e-14)
    for variant in ("arjovsky", "uniform"):
        assert Adding(variant=variant).baseline.loss == pytest.approx(1 / 6, rel=1e-15)


@pytest.mark.parametrize(("variant", "allowed"), [("hochreiter", 0.04), ("pascanu", 0.2)])
def test_a_sequence_is_wrong_beyond_the_allowed_error_on_either_side(variant, allowed):
    task = Adding(variant=variant, length=12)
    batch = task.sample(6, rng=np.random.default_rng(11))
    shift = allowed * np.array([0, 0.99, -0.99, 1.01, -1.01, 9.0])
    outputs = batch.targets + shift[np.newaxis, :, np.newaxis]
    wrong = task.wrong(outputs, batch)
    assert wrong.dtype == np.bool_
    assert wrong.shape == batch.mask.shape
    assert wrong[batch.mask.argmax(axis=0), np.arange(6)].tolist() == [False, False, False, True, True, True]


def test_a_variant_without_a_rule_does_not_say_what_is_wrong():
    for variant in ("arjovsky", "uniform"):
        task = Adding(variant=variant, length=5)
        assert task.error_per is None
        batch = task.sample(2, rng=np.random.default_rng(0))
        with pytest.raises(NotImplementedError):
            task.wrong(batch.targets, batch)


@pytest.mark.parametrize(
    ("variant", "evaluation", "solved"),
    [
        ("hochreiter", {"error": 0.0, "absolute_error": 0.0099}, True),
        ("hochreiter", {"error": 0.0, "absolute_error": 0.01}, False),
        ("hochreiter", {"error": 0.002, "absolute_error": 0.001}, False),
        ("pascanu", {"error": 0.0099, "absolute_error": 0.05}, True),
        ("pascanu", {"error": 0.01, "absolute_error": 0.05}, False),
        ("arjovsky", {"loss": 0.0099}, True),
        ("arjovsky", {"loss": 0.01}, False),
        ("uniform", {"loss": 0.0099}, True),
        ("uniform", {"loss": 0.16}, False),
    ],
)
def test_solved_by_the_rule_of_each_paper(variant, evaluation, solved):
    given = SimpleNamespace(**{"loss": 0.0, "accuracy": None, "error": None, "absolute_error": 0.0, **evaluation})
    assert Adding(variant=variant).solved(SimpleNamespace(evaluation=given)) is solved


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_solved_or_not_before_an_evaluation(variant):
    assert Adding(variant=variant).solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_each_variant_says_of_itself(variant):
    task = Adding(variant=variant)
    assert task.error_per == ("sequence" if variant in ("hochreiter", "pascanu") else None)
    assert ("this project's own rule" in task.success) == (task.error_per is None)
    assert {"arjovsky": "Arjovsky", "hochreiter": "Hochreiter", "pascanu": "Pascanu", "uniform": "Bai"}[
        variant
    ] in task.paper


@pytest.mark.parametrize(
    ("variant", "shortest"), [("arjovsky", 2), ("hochreiter", 11), ("pascanu", 10), ("uniform", 2)]
)
def test_a_length_too_short_for_the_markers_is_refused(variant, shortest):
    Adding(variant=variant, length=shortest).sample(50, rng=np.random.default_rng(0))
    with pytest.raises(
        InvalidValue, match=f"^length must be a whole number >= {shortest}, got {shortest - 1}"
    ) as refused:
        Adding(variant=variant, length=shortest - 1)
    assert refused.value.hint


@pytest.mark.parametrize("variant", ["arjowsky", "Pascanu", "", None, 1])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(InvalidValue, match=r"^variant must be one of arjovsky, hochreiter, pascanu, uniform, got "):
        Adding(variant=variant)

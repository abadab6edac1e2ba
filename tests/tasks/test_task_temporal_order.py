from collections import Counter
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks.temporal_order import TemporalOrder

KINDS = [("pascanu", 2), ("pascanu", 3), ("hochreiter", 2), ("hochreiter", 3)]


def steps_of(batch, sequence):
    """Tokens of a sequence up to the step that is scored, and its class."""
    (scored,) = np.flatnonzero(batch.mask[:, sequence])
    return batch.inputs[: scored + 1, sequence].tolist(), int(batch.targets[scored, sequence])


def places(variant, symbols, length):
    """Steps (from 0) that each relevant symbol may stand at, as the papers have them."""
    if variant == "pascanu":
        width = int(length * 0.1)
        starts = {2: (0.1, 0.5), 3: (0.1, 0.3, 0.6)}[symbols]
        return [range(int(length * start), int(length * start) + width) for start in starts]
    bounds = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}[symbols]
    # The first step is at place 1.
    return [range(low * length // 100 - 1, high * length // 100) for low, high in bounds]


def within(share, expected, count):
    """Five standard errors of a share."""
    return abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("length", [20, 37, 100])
@pytest.mark.parametrize(("variant", "symbols"), KINDS)
def test_an_oracle_that_sees_the_inputs_only_is_always_right(variant, symbols, length):
    task = TemporalOrder(variant=variant, symbols=symbols, length=length, eval_sequences=300)
    batch = task.evaluation(rng=np.random.default_rng(1))
    logits = np.zeros((*batch.mask.shape, 2**symbols))
    relevant = "AB" if variant == "pascanu" else "XY"
    for sequence in range(300):
        tokens, _ = steps_of(batch, sequence)
        seen = "".join(task.input_names[token] for token in tokens[1:-1] if task.input_names[token] in relevant)
        assert len(seen) == symbols
        logits[len(tokens) - 1, sequence, task.output_names.index(seen)] = 1000.0
    assert (logits.argmax(axis=-1) == batch.targets)[batch.mask].all()
    assert not task.wrong(logits, batch)[batch.mask].any()
    shifted = logits - logits.max(axis=-1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    at_target = np.take_along_axis(probabilities, batch.targets[..., np.newaxis], axis=-1)[..., 0]
    assert -np.log(at_target[batch.mask]).mean() == task.floor == 0


def test_the_class_of_pascanu_has_the_first_symbol_as_its_lowest_digit():
    for symbols in (2, 3):
        batch = TemporalOrder(symbols=symbols, length=30).sample(300, rng=np.random.default_rng(2))
        for sequence in range(300):
            tokens, answer = steps_of(batch, sequence)
            values = [token for token in tokens if token < 2]
            assert answer == sum(value * 2**digit for digit, value in enumerate(values))
    assert TemporalOrder(symbols=2).output_names == ["AA", "BA", "AB", "BB"]
    assert TemporalOrder(symbols=3).output_names == ["AAA", "BAA", "ABA", "BBA", "AAB", "BAB", "ABB", "BBB"]


def test_the_classes_of_hochreiter_are_in_the_order_of_the_paper():
    for symbols in (2, 3):
        task = TemporalOrder(variant="hochreiter", symbols=symbols, length=30)
        batch = task.sample(300, rng=np.random.default_rng(3))
        orders = list(product((6, 7), repeat=symbols))
        for sequence in range(300):
            tokens, answer = steps_of(batch, sequence)
            assert orders[answer] == tuple(token for token in tokens if token >= 6)
    assert TemporalOrder(variant="hochreiter", symbols=2).output_names == ["XX", "XY", "YX", "YY"]
    assert TemporalOrder(variant="hochreiter", symbols=3).output_names == [*map("".join, product("XY", repeat=3))]


def test_tokens_have_names():
    assert "".join(TemporalOrder().input_names) == "ABcdef"
    assert "".join(TemporalOrder(variant="hochreiter").input_names) == "EBabcdXY"
    assert TemporalOrder().input_size == 6
    assert TemporalOrder(variant="hochreiter").input_size == 8


@pytest.mark.parametrize("length", [20, 100])
@pytest.mark.parametrize(("variant", "symbols"), KINDS)
def test_relevant_symbols_stand_at_every_allowed_step_equally_often(variant, symbols, length):
    count = 8000
    task = TemporalOrder(variant=variant, symbols=symbols, length=length)
    batch = task.sample(count, rng=np.random.default_rng(4))
    relevant = batch.inputs < 2 if variant == "pascanu" else batch.inputs >= 6
    assert (relevant.sum(axis=0) == symbols).all()
    allowed = places(variant, symbols, length)
    for steps in allowed:
        block = relevant[steps.start : steps.stop]
        assert (block.sum(axis=0) == 1).all()
        assert all(within(share, 1 / len(steps), count) for share in block.mean(axis=1))
    # Which step one stands at says nothing about the other's.
    first, second = (relevant[steps.start : steps.stop].astype(float) for steps in allowed[:2])
    together = first @ second.T / count
    assert all(within(share, 1 / together.size, count) for share in together.ravel())


def test_the_places_at_the_published_length_are_the_published_ones():
    for symbols, bounds in {2: [(10, 20), (50, 60)], 3: [(10, 20), (33, 43), (66, 76)]}.items():
        batch = TemporalOrder(variant="hochreiter", symbols=symbols, length=100).sample(
            3000, rng=np.random.default_rng(5)
        )
        found = set((np.flatnonzero((batch.inputs >= 6).any(axis=1)) + 1).tolist())
        assert found == {place for low, high in bounds for place in range(low, high + 1)}
        assert set((batch.mask.argmax(axis=0) + 1).tolist()) == set(range(100, 111))


@pytest.mark.parametrize(("variant", "symbols"), KINDS)
def test_distractors_and_orders_are_uniform(variant, symbols):
    count = 4000
    batch = TemporalOrder(variant=variant, symbols=symbols, length=40).sample(count, rng=np.random.default_rng(6))
    distractors = batch.inputs[(batch.inputs >= 2) & (batch.inputs < 6)]
    shares = np.bincount(distractors, minlength=6)[2:] / distractors.size
    assert all(within(share, 1 / 4, distractors.size) for share in shares)
    orders = np.bincount(batch.targets[batch.mask]) / count
    assert len(orders) == 2**symbols
    assert all(within(share, 2.0**-symbols, count) for share in orders)


def test_a_sequence_of_hochreiter_begins_with_e_and_ends_with_b():
    count = 3000
    task = TemporalOrder(variant="hochreiter", length=50)
    batch = task.sample(count, rng=np.random.default_rng(7))
    assert batch.inputs.dtype == batch.targets.dtype == np.int64
    lengths = Counter()
    for sequence in range(count):
        tokens, _ = steps_of(batch, sequence)
        assert (tokens[0], tokens[-1]) == (0, 1)
        assert set(tokens[1:-1]) <= set(range(2, 8))
        assert not batch.inputs[len(tokens) :, sequence].any()
        lengths[len(tokens)] += 1
    assert (batch.targets[~batch.mask] == 0).all()
    assert (batch.mask.sum(axis=0) == 1).all()
    assert set(lengths) == {50, 51, 52, 53, 54, 55}
    assert all(within(times / count, 1 / 6, count) for times in lengths.values())


def test_a_batch_of_hochreiter_is_as_long_as_its_longest_sequence():
    rng, seen = np.random.default_rng(8), set()
    for _ in range(60):
        batch = TemporalOrder(variant="hochreiter", length=50).sample(2, rng=rng)
        assert batch.mask[-1].any()
        seen.add(len(batch.mask))
    assert len(seen) > 2


def test_sequences_of_pascanu_have_one_length_and_no_other_symbols():
    batch = TemporalOrder(symbols=3, length=25).sample(200, rng=np.random.default_rng(9))
    assert batch.inputs.shape == (25, 200)
    assert batch.inputs.dtype == batch.targets.dtype == np.int64
    assert batch.mask.tolist() == [[False] * 200] * 24 + [[True] * 200]
    assert ((batch.inputs < 2).sum(axis=0) == 3).all()
    assert set(np.unique(batch.inputs)) == set(range(6))


@pytest.mark.parametrize("symbols", [2, 3])
def test_a_batch_between_two_lengths_has_one_length_and_every_length_comes(symbols):
    task, rng, count = TemporalOrder(symbols=symbols, length=20, longest=25), np.random.default_rng(13), 1200
    lengths = Counter()
    for _ in range(count):
        batch = task.sample(3, rng=rng)
        assert batch.mask[-1].all()
        assert batch.mask.sum() == 3
        lengths[len(batch.mask)] += 1
    assert set(lengths) == set(range(20, 26))
    assert all(within(times / count, 1 / 6, count) for times in lengths.values())


@pytest.mark.parametrize("symbols", [2, 3])
def test_in_the_evaluation_set_each_sequence_has_its_own_length_and_places(symbols):
    count = 6000
    task = TemporalOrder(symbols=symbols, length=20, longest=40, eval_sequences=count)
    batch = task.evaluation(rng=np.random.default_rng(14))
    lengths, found = Counter(), {}
    for sequence in range(count):
        tokens, answer = steps_of(batch, sequence)
        lengths[len(tokens)] += 1
        assert not batch.inputs[len(tokens) :, sequence].any()
        at = [step for step, token in enumerate(tokens) if token < 2]
        assert answer == sum(tokens[step] << digit for digit, step in enumerate(at))
        for steps, step in zip(found.setdefault(len(tokens), [set() for _ in at]), at, strict=True):
            steps.add(step)
    assert (batch.mask.sum(axis=0) == 1).all()
    assert set(lengths) == set(range(20, 41))
    assert all(within(times / count, 1 / 21, count) for times in lengths.values())
    for length, places_found in found.items():
        assert [sorted(steps) for steps in places_found] == [[*steps] for steps in places("pascanu", symbols, length)]


def test_a_longest_sequence_that_makes_no_task_is_refused():
    assert TemporalOrder(length=30, longest=30).sample(2, rng=np.random.default_rng(0)).inputs.shape == (30, 2)
    for value in (29, 0, 30.5, True, "40"):
        with pytest.raises(InvalidValue, match=r"^longest must be a whole number >= 30, got "):
            TemporalOrder(length=30, longest=value)
    with pytest.raises(InvalidValue, match=r"^longest must be null with this variant, got 60"):
        TemporalOrder(variant="hochreiter", length=50, longest=60)


@pytest.mark.parametrize(("variant", "symbols"), KINDS)
def test_the_baseline_is_what_a_uniform_guess_gets(variant, symbols):
    count = 20_000
    task = TemporalOrder(variant=variant, symbols=symbols, length=20, eval_sequences=count)
    batch = task.evaluation(rng=np.random.default_rng(10))
    logits = np.zeros((*batch.mask.shape, task.output_size))
    targets = batch.targets[batch.mask]
    shares = np.bincount(targets) / count
    # The entropy of the shares falls short of ln K by a chi-square over 2 n: its mean is (K - 1) / 2 n.
    assert task.baseline.loss == pytest.approx(-(shares * np.log(shares)).sum(), abs=1.5e-3)
    assert task.baseline.loss == pytest.approx(symbols * np.log(2), rel=1e-15)
    right = (logits.argmax(axis=-1) == batch.targets)[batch.mask].mean()
    assert within(right, task.baseline.accuracy, count)
    wrong = task.wrong(logits, batch)[batch.mask].mean()
    assert within(wrong, task.baseline.error, count)
    assert task.baseline.exact


def test_the_published_baselines():
    assert TemporalOrder().baseline.loss == pytest.approx(1.3863, abs=5e-5)
    assert TemporalOrder(symbols=3).baseline.loss == pytest.approx(2.0794, abs=5e-5)
    assert TemporalOrder().baseline.error == 0.75
    assert TemporalOrder(symbols=3).baseline.error == 0.875
    assert TemporalOrder(variant="hochreiter").baseline.error == 1.0


def test_hochreiter_asks_for_a_probability_above_seven_tenths():
    task = TemporalOrder(variant="hochreiter", length=20)
    batch = task.sample(3, rng=np.random.default_rng(11))
    probabilities = np.full((*batch.mask.shape, 4), 0.0)
    for sequence, given in enumerate((0.71, 0.69, 0.4)):
        step = int(batch.mask[:, sequence].argmax())
        probabilities[:, sequence] = (1 - given) / 3
        probabilities[step, sequence, batch.targets[step, sequence]] = given
    wrong = task.wrong(np.log(probabilities), batch)
    assert wrong.shape == batch.mask.shape
    assert wrong.dtype == np.bool_
    assert wrong[batch.mask.argmax(axis=0), np.arange(3)].tolist() == [False, True, True]


def test_pascanu_asks_for_the_likeliest_class():
    task = TemporalOrder(length=20)
    batch = task.sample(2, rng=np.random.default_rng(12))
    logits = np.zeros((20, 2, 4))
    logits[-1, 0, batch.targets[-1, 0]] = 0.01
    logits[-1, 1, (batch.targets[-1, 1] + 1) % 4] = 0.01
    assert task.wrong(logits, batch)[-1].tolist() == [False, True]


@pytest.mark.parametrize(
    ("variant", "error", "solved"),
    [
        ("pascanu", 99 / 10_000, True),
        ("pascanu", 100 / 10_000, False),
        ("hochreiter", 0.0, True),
        ("hochreiter", 1 / 2560, False),
    ],
)
def test_solved_by_the_rule_of_each_paper(variant, error, solved):
    evaluation = SimpleNamespace(loss=0.02, accuracy=1.0, error=error, absolute_error=None)
    task = TemporalOrder(variant=variant)
    assert task.solved(SimpleNamespace(evaluation=evaluation)) is solved
    assert task.solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize("symbols", [2, 3])
@pytest.mark.parametrize(("variant", "shortest"), [("pascanu", 10), ("hochreiter", 20)])
def test_a_length_too_short_for_the_places_is_refused(variant, symbols, shortest):
    batch = TemporalOrder(variant=variant, symbols=symbols, length=shortest).sample(200, rng=np.random.default_rng(0))
    relevant = batch.inputs < 2 if variant == "pascanu" else batch.inputs >= 6
    assert (relevant.sum(axis=0) == symbols).all()
    with pytest.raises(
        InvalidValue, match=f"^length must be a whole number >= {shortest}, got {shortest - 1}"
    ) as refused:
        TemporalOrder(variant=variant, symbols=symbols, length=shortest - 1)
    assert refused.value.hint


@pytest.mark.parametrize("symbols", [1, 4, 0, 2.0, True, "2", None, [2]])
def test_other_numbers_of_symbols_are_refused(symbols):
    with pytest.raises(InvalidValue, match=r"^symbols must be 2 or 3, got "):
        TemporalOrder(symbols=symbols)


@pytest.mark.parametrize(("key", "values"), [("length", [2.5, None, True, "50"]), ("eval_sequences", [0, -1, "many"])])
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= "):
            TemporalOrder(**{key: value})


@pytest.mark.parametrize("variant", ["arjovsky", "Pascanu", "", None])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(InvalidValue, match=r"^variant must be one of hochreiter, pascanu, got "):
        TemporalOrder(variant=variant)

from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import Latch

# After -1 and after +1: class 1, which begins with +1, has the lower target in 3c.
TARGETS = {"3a": (0.0, 1.0), "3b": (0.0, 1.0), "3c": (0.8, 0.2), "bengio": (-0.8, 0.8)}
VARIANTS = pytest.mark.parametrize("variant", TARGETS)


def ends(batch):
    return len(batch.mask) - 1 - batch.mask[::-1].argmax(axis=0)


@VARIANTS
def test_every_step_of_a_trial(variant):
    task = Latch(variant=variant, length=20, informative=3)
    batch = task.evaluation(rng=np.random.default_rng(0))
    minus, plus = TARGETS[variant]
    assert (batch.mask.sum(axis=0) == 1).all()
    for sequence, end in enumerate(ends(batch)):
        inputs, answer = batch.inputs[:, sequence, 0], batch.targets[end, sequence, 0]
        assert answer in (minus, plus)
        sign = 1.0 if answer == plus else -1.0
        if variant != "3b":
            assert inputs[:3].tolist() == [sign] * 3
        else:
            assert len(set(inputs[:3])) == 3
        assert len(set(inputs[3 : end + 1])) == end - 2
        assert not inputs[end + 1 :].any()


@pytest.mark.parametrize(("variant", "length", "shortest", "longest"), [("3a", 30, 30, 33), ("bengio", 30, 30, 30)])
def test_lengths_are_uniform_between_t_and_eleven_tenths_of_it(variant, length, shortest, longest):
    batch = Latch(variant=variant, length=length).sample(8000, rng=np.random.default_rng(1))
    lengths = ends(batch) + 1
    assert (lengths.min(), lengths.max()) == (shortest, longest)
    assert len(batch.inputs) == longest
    share = 1 / (longest - shortest + 1)
    shares = np.bincount(lengths)[shortest:] / 8000
    assert np.abs(shares - share).max() <= 5 * np.sqrt(share * (1 - share) / 8000)


@VARIANTS
@pytest.mark.parametrize("noise", [None, 0.1])
def test_the_noise_has_the_variance_asked_for_and_classes_are_even(variant, noise):
    count, length = 6000, 12
    batch = Latch(variant=variant, length=length, informative=2, noise=noise).sample(
        count, rng=np.random.default_rng(2)
    )
    variance = 0.2 if noise is None else noise**2
    values = batch.inputs[2:length, :, 0]
    assert abs(values.mean()) < 5 * np.sqrt(variance / values.size)
    assert abs(values.var() / variance - 1) < 5 * np.sqrt(2 / values.size)
    first = batch.inputs[0, :, 0]
    sign = np.sign(batch.inputs[:2, :, 0].sum(axis=0))
    assert abs((sign > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(count)
    if variant == "3b":
        off = first[sign > 0] - 1.0
        assert abs(off.var() / variance - 1) < 0.25
    else:
        assert np.array_equal(first, sign)


def test_3c_has_noisy_targets_in_training_only():
    task = Latch(variant="3c", length=10)
    batch = task.sample(8000, rng=np.random.default_rng(3))
    drawn = batch.targets[ends(batch), np.arange(8000), 0]
    # Half around 0.2 and half around 0.8, each with variance 0.1.
    assert abs(drawn.mean() - 0.5) < 5 * np.sqrt(0.19 / 8000)
    assert abs(drawn.var() - 0.19) < 5 * np.sqrt(2 * 0.19**2 / 8000)
    assert len(set(drawn)) == 8000
    held_out = task.evaluation(rng=np.random.default_rng(4))
    assert set(held_out.targets[held_out.mask][:, 0]) == {0.2, 0.8}


@pytest.mark.parametrize(
    ("variant", "loss", "error"), [("3a", 0.25, 1.0), ("3b", 0.25, 1.0), ("3c", 0.09, 1.0), ("bengio", 0.64, 0.5)]
)
def test_the_baseline_is_always_the_middle(variant, loss, error):
    task = Latch(variant=variant, length=9, eval_sequences=4000)
    batch = task.evaluation(rng=np.random.default_rng(5))
    middle = sum(TARGETS[variant]) / 2
    targets = batch.targets[batch.mask][:, 0]
    assert np.square(targets - middle).mean() == pytest.approx(loss, rel=1e-12)
    assert task.baseline.loss == pytest.approx(loss, rel=1e-12)
    outputs = np.full((*batch.mask.shape, 1), middle)
    wrong = task.wrong(outputs, batch)[batch.mask].mean()
    assert task.baseline.error == error
    assert abs(wrong - error) <= 5 * np.sqrt(error * (1 - error) / 4000)
    assert task.baseline.accuracy is None


@VARIANTS
def test_an_oracle_that_reads_the_sign_is_never_wrong_and_its_opposite_always(variant):
    task = Latch(variant=variant, length=15, noise=0.1)
    batch = task.evaluation(rng=np.random.default_rng(6))
    minus, plus = TARGETS[variant]
    answers = np.where(batch.inputs[:3, :, 0].sum(axis=0) > 0, plus, minus)
    outputs = np.broadcast_to(answers[:, np.newaxis], (*batch.mask.shape, 1))
    assert np.square(outputs - batch.targets)[batch.mask].mean() == task.floor == 0.0
    assert not task.wrong(outputs, batch)[batch.mask].any()
    assert task.wrong(minus + plus - outputs, batch)[batch.mask].all()


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(
    ("variant", "off", "wrong"),
    [
        ("3a", 0.19, False),
        ("3a", 0.21, True),
        ("3b", 0.19, False),
        ("3b", 0.21, True),
        ("3c", 0.09, False),
        ("3c", 0.11, True),
        ("bengio", 0.79, False),
    ],
)
def test_an_output_is_wrong_if_it_is_too_far_off_on_either_side(variant, off, wrong, side):
    task = Latch(variant=variant, length=12)
    batch = task.evaluation(rng=np.random.default_rng(7))
    assert (task.wrong(batch.targets + side * off, batch)[batch.mask] == wrong).all()


def test_an_output_of_exactly_a_fifth_is_wrong_after_minus_one_in_3a():
    task = Latch(length=12)
    batch = task.evaluation(rng=np.random.default_rng(8))
    zero = batch.mask & (batch.targets[..., 0] == 0.0)
    assert zero.any()
    assert task.wrong(np.full((*batch.mask.shape, 1), 0.2), batch)[zero].all()


def test_in_bengio_only_the_sign_of_the_output_counts():
    task = Latch(variant="bengio", length=12)
    batch = task.evaluation(rng=np.random.default_rng(9))
    assert not task.wrong(0.01 * batch.targets, batch)[batch.mask].any()
    assert task.wrong(-0.01 * batch.targets, batch)[batch.mask].all()


@pytest.mark.parametrize(
    ("variant", "error", "off", "solved"),
    [
        ("3a", 0.0, 0.009, True),
        ("3a", 0.0, 0.01, False),
        ("3a", 1 / 256, 0.001, False),
        ("3b", 5 / 256, 0.039, True),
        ("3b", 6 / 256, 0.039, False),
        ("3b", 5 / 256, 0.04, False),
        ("3c", 0.0, 0.014, True),
        ("3c", 0.0, 0.016, False),
        ("3c", 1 / 256, 0.001, False),
        ("bengio", 0.0, 0.5, True),
        ("bengio", 0.1, 0.0, False),
    ],
)
def test_solved_is_few_or_none_wrong_and_a_small_error(variant, error, off, solved):
    report = SimpleNamespace(evaluation=SimpleNamespace(error=error, absolute_error=off))
    assert Latch(variant=variant).solved(report) is solved
    assert Latch(variant=variant).solved(SimpleNamespace(evaluation=None)) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 3}, "^length must be > informative, which is 3, got 3"),
        ({"length": 50, "informative": 50}, "^length must be > informative, which is 50, got 50"),
        ({"length": 1}, "^length must be a whole number >= 2"),
        ({"informative": 0}, "^informative must be a whole number >= 1"),
        ({"noise": -0.1}, "^noise must be a number >= 0"),
        ({"noise": "loud"}, "^noise must be a number >= 0"),
        ({"variant": "3d"}, "^variant must be one of 3a, 3b, 3c, bengio, got 3d"),
        ({"eval_sequences": 0}, "^eval_sequences must be"),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(settings, message):
    with pytest.raises(InvalidValue, match=message):
        Latch(**settings)

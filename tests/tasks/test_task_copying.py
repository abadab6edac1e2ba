from math import log
from types import SimpleNamespace

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import CopyingMemory

VARIANTS = pytest.mark.parametrize("variant", ["arjovsky", "tcn"])


@VARIANTS
@pytest.mark.parametrize("length", [1, 2, 5])
def test_every_step_of_a_trial(variant, length):
    batch = CopyingMemory(variant=variant, length=length).sample(50, rng=np.random.default_rng(0))
    assert batch.inputs.shape == batch.targets.shape == (length + 20, 50)
    assert batch.mask.all()
    for sequence in range(50):
        inputs, targets = batch.inputs[:, sequence].tolist(), batch.targets[:, sequence].tolist()
        symbols = inputs[:10]
        assert all(1 <= symbol <= 8 for symbol in symbols)
        rest = [9] + [0] * 10 if variant == "arjovsky" else [9] * 11
        assert inputs[10:] == [0] * (length - 1) + rest
        assert inputs.index(9) == length + 9
        assert targets == [0] * (length + 10) + symbols


def test_both_variants_ask_for_the_same():
    one, other = (CopyingMemory(variant=name, length=6).sample(20, rng=np.random.default_rng(1)) for name in PAIR)
    assert np.array_equal(one.targets, other.targets)
    assert np.array_equal(one.inputs[:16], other.inputs[:16])


PAIR = ("arjovsky", "tcn")


def test_symbols_are_equally_likely_at_every_place():
    count = 16_000
    batch = CopyingMemory(length=1).sample(count, rng=np.random.default_rng(2))
    for place in range(10):
        shares = np.bincount(batch.inputs[place], minlength=10)[1:9] / count
        assert np.abs(shares - 1 / 8).max() < 5 * np.sqrt(1 / 8 * 7 / 8 / count)


@pytest.mark.parametrize(
    ("length", "loss"),
    [(10, 0.6931), (20, 0.5199), (30, 0.4159), (50, 0.2971), (100, 0.1733), (200, 0.0945), (1000, 0.0204)],
)
@VARIANTS
def test_the_memoryless_loss_is_the_published_one(variant, length, loss):
    assert CopyingMemory(variant=variant, length=length).baseline.loss == pytest.approx(loss, abs=6e-5)


def test_the_baseline_is_blanks_and_then_a_guess():
    task, count, steps = CopyingMemory(length=5), 4000, 25
    batch = task.sample(count, rng=np.random.default_rng(3))
    answers = np.zeros((steps, count), int)
    answers[-10:] = np.random.default_rng(4).integers(1, 9, size=(10, count))
    right = answers == batch.targets
    assert abs(right.mean() - task.baseline.accuracy) < 5 * np.sqrt(10 * 1 / 8 * 7 / 8 / count) / steps
    probabilities = np.zeros((steps, count, 9))
    probabilities[:-10, :, 0] = 1.0
    probabilities[-10:, :, 1:] = 1 / 8
    at_target = np.take_along_axis(probabilities, batch.targets[..., np.newaxis], axis=-1)
    assert -np.log(at_target).mean() == pytest.approx(task.baseline.loss, rel=1e-12)
    assert task.baseline.loss == pytest.approx(10 * log(8) / steps, rel=1e-12)
    assert task.baseline.error == pytest.approx(1 - 8.0**-10, rel=1e-15)


@VARIANTS
def test_an_oracle_that_reads_the_inputs_is_never_wrong(variant):
    task = CopyingMemory(variant=variant, length=4)
    batch = task.sample(30, rng=np.random.default_rng(5))
    logits = np.zeros((24, 30, 9))
    for sequence in range(30):
        for step in range(24):
            logits[step, sequence, batch.inputs[step - 14, sequence] if step >= 14 else 0] = 1.0
    assert not task.wrong(logits, batch).any()
    assert (task.floor, task.error_per) == (0.0, "sequence")


def test_names_and_sizes():
    assert (CopyingMemory.input_size, CopyingMemory.output_size) == (10, 9)
    assert "".join(CopyingMemory.input_names) == "-123456789"
    assert "".join(CopyingMemory.output_names) == "-12345678"


@pytest.mark.parametrize(("share", "solved"), [(0.0, True), (0.099, True), (0.101, False), (1.0, False)])
def test_solved_is_a_tenth_of_the_memoryless_loss(share, solved):
    task = CopyingMemory(length=30)
    report = SimpleNamespace(evaluation=SimpleNamespace(loss=share * 10 * log(8) / 50))
    assert task.solved(report) is solved
    assert task.solved(SimpleNamespace(evaluation=None)) is None
    assert "this project's own rule" in task.success


def test_values_that_make_no_task_are_refused_by_name():
    for value in (0, -1, 2.5, None):
        with pytest.raises(InvalidValue, match=r"^length must be a whole number >= 1"):
            CopyingMemory(length=value)
    with pytest.raises(InvalidValue, match=r"^variant must be one of arjovsky, tcn, got pascanu"):
        CopyingMemory(variant="pascanu")
    with pytest.raises(InvalidValue, match=r"^eval_sequences must be"):
        CopyingMemory(eval_sequences=0)

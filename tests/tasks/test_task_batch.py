import numpy as np
import pytest

from rnnexp.tasks import Batch


@pytest.fixture
def batch():
    inputs = np.arange(24.0).reshape(4, 3, 2)
    return Batch(inputs, np.arange(12).reshape(4, 3), np.arange(12).reshape(4, 3) % 2 == 0)


def test_steps_are_a_window_of_every_array(batch):
    part = batch.steps(1, 3)
    assert np.array_equal(part.inputs, batch.inputs[1:3])
    assert np.array_equal(part.targets, [[3, 4, 5], [6, 7, 8]])
    assert np.array_equal(part.mask, batch.mask[1:3])
    assert all(np.shares_memory(getattr(part, name), getattr(batch, name)) for name in ("inputs", "targets", "mask"))


def test_steps_beyond_the_end_are_the_steps_there_are(batch):
    assert len(batch.steps(3, 10).inputs) == len(batch.steps(3, 10).mask) == 1


def test_sequences_are_the_first_of_every_array(batch):
    part = batch.sequences(2)
    assert np.array_equal(part.inputs, batch.inputs[:, :2])
    assert np.array_equal(part.targets, batch.targets[:, :2])
    assert np.array_equal(part.mask, batch.mask[:, :2])
    assert part.inputs.base is not None


def test_cast_changes_real_values_and_leaves_integers(batch):
    cast = batch.cast(np.float32)
    assert cast.inputs.dtype == np.float32
    assert cast.targets is batch.targets
    assert cast.mask is batch.mask
    assert batch.inputs.dtype == np.float64
    assert np.array_equal(cast.inputs, batch.inputs)


def test_cast_covers_real_targets_and_leaves_tokens():
    batch = Batch(np.zeros((2, 1), np.int64), np.full((2, 1, 1), 0.1), np.ones((2, 1), bool)).cast("float32")
    assert batch.inputs.dtype == np.int64
    assert batch.targets.dtype == np.float32
    assert batch.targets[0, 0, 0] == np.float32(0.1)


def test_cast_to_the_dtype_it_has_makes_no_copy(batch):
    assert batch.cast(np.float64).inputs is batch.inputs

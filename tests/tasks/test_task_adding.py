import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import Adding


@pytest.mark.parametrize("length", [2, 3, 5, 8, 11])
def test_one_marker_falls_in_each_half_and_everywhere_in_it(length):
    batch = Adding(length=length).sample(2000, rng=np.random.default_rng(0))
    markers = batch.inputs[..., 1]
    half = length // 2
    assert set(np.unique(markers)) <= {0.0, 1.0}
    assert (markers[:half].sum(axis=0) == 1).all()
    assert (markers[half:].sum(axis=0) == 1).all()
    assert (markers.sum(axis=1) > 0).all(), "a step that is never marked"


def test_each_place_in_a_half_is_marked_equally_often_and_independently():
    count = 30_000
    markers = Adding(length=7).sample(count, rng=np.random.default_rng(1)).inputs[..., 1]
    together = markers[:3] @ markers[3:].T
    share = 1 / 12
    assert np.abs(together / count - share).max() < 5 * np.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("length", [2, 3, 10])
def test_the_target_is_the_sum_of_the_marked_values(length):
    batch = Adding(length=length).sample(200, rng=np.random.default_rng(2))
    for sequence in range(200):
        marked = [value for value, marker in batch.inputs[:, sequence] if marker == 1.0]
        assert len(marked) == 2
        assert batch.targets[-1, sequence, 0] == marked[0] + marked[1]


def test_only_the_last_step_is_scored():
    batch = Adding(length=6).sample(3, rng=np.random.default_rng(3))
    assert batch.mask.tolist() == [[False] * 3] * 5 + [[True] * 3]


def test_values_are_uniform_on_the_unit_interval():
    values = Adding(length=50).sample(400, rng=np.random.default_rng(4)).inputs[..., 0].ravel()
    assert values.min() >= 0
    assert values.max() < 1
    shares = np.histogram(values, bins=10, range=(0, 1))[0] / len(values)
    assert np.abs(shares - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / len(values))


def test_the_baseline_is_the_error_of_always_saying_one():
    count = 20_000
    task = Adding(length=4)
    targets = task.sample(count, rng=np.random.default_rng(5)).targets[-1, :, 0]
    assert task.baseline.loss == pytest.approx(1 / 6, rel=1e-15)
    assert task.baseline.accuracy is None
    # Fourth central moment of a sum of two uniforms: 2 / 80 + 6 / 144; a sample variance spreads by its excess.
    spread = np.sqrt((2 / 80 + 6 / 144 - 1 / 36) / count)
    assert abs(targets.var() - task.baseline.loss) < 5 * spread
    assert abs(np.square(targets - 1.0).mean() - task.baseline.loss) < 5 * spread
    assert abs(targets.mean() - 1.0) < 5 * np.sqrt(1 / 6 / count)


def test_the_evaluation_set_has_the_size_asked_for():
    batch = Adding(length=5, eval_sequences=12).evaluation(rng=np.random.default_rng(0))
    assert batch.inputs.shape == (5, 12, 2)
    assert batch.targets.shape == (5, 12, 1)


@pytest.mark.parametrize(("key", "values"), [("length", [1, 0, -2, 2.5, None, True]), ("eval_sequences", [0, "many"])])
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= "):
            Adding(**{key: value})

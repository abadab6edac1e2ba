import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.tasks import Echo


def read_all(task, chunks, batch_size, seed=0):
    """A stream read in chunks, put together again: inputs, targets and mask."""
    rng = np.random.default_rng(seed)
    place = task.begin(batch_size, rng=rng)
    batches = [task.read(place, steps, rng=rng) for steps in chunks]
    assert [len(batch.inputs) for batch in batches] == list(chunks)
    return [np.concatenate([getattr(batch, name) for batch in batches]) for name in ("inputs", "targets", "mask")]


CHUNKINGS = [[60], [1] * 60, [7, 3, 50], [2] * 30, [59, 1], [4, 4, 1, 1, 50]]


@pytest.mark.parametrize("lag", [1, 3, 9])
@pytest.mark.parametrize("chunks", CHUNKINGS)
def test_the_target_is_the_input_of_lag_steps_before_across_reads(lag, chunks):
    inputs, targets, mask = read_all(Echo(lag=lag), chunks, 4)
    assert np.array_equal(targets[lag:], inputs[:-lag])
    assert not mask[:lag].any()
    assert mask[lag:].all()


@pytest.mark.parametrize("batch_size", [1, 3, 20])
@pytest.mark.parametrize("chunks", CHUNKINGS[1:])
def test_the_stream_is_the_same_however_it_is_cut(batch_size, chunks):
    whole = read_all(Echo(lag=4), [60], batch_size)
    cut = read_all(Echo(lag=4), chunks, batch_size)
    assert all(map(np.array_equal, whole, cut))


def test_bits_are_fair_and_independent_from_step_to_step_and_stream_to_stream():
    (bits, _, _) = read_all(Echo(), [1000], 30)
    signs = 2.0 * bits - 1.0
    bound = 5 / np.sqrt(bits.size)
    assert abs(signs.mean()) < bound
    assert all(abs((signs[lag:] * signs[:-lag]).mean()) < 1.1 * bound for lag in range(1, 8))
    assert abs((signs[:, 1:] * signs[:, :-1]).mean()) < 1.1 * bound


def test_the_evaluation_set_is_the_beginning_of_its_streams():
    task = Echo(lag=5, eval_streams=3, eval_steps=12)
    batch = task.evaluation(rng=np.random.default_rng(7))
    assert batch.inputs.shape == batch.targets.shape == batch.mask.shape == (12, 3)
    assert batch.mask.sum() == 3 * (12 - 5)
    assert np.array_equal(batch.targets[5:], batch.inputs[:-5])
    assert np.array_equal(batch.inputs, read_all(task, [12], 3, seed=7)[0])


def test_the_place_is_arrays_that_bring_a_stream_back():
    task = Echo(lag=3)
    rng = np.random.default_rng(0)
    place = task.begin(2, rng=rng)
    task.read(place, 5, rng=rng)
    saved = {name: array.copy() for name, array in place.arrays.items()}
    state = rng.bit_generator.state
    expected = task.read(place, 6, rng=rng)

    again = np.random.default_rng(99)
    again.bit_generator.state = state
    fresh = task.begin(2, rng=np.random.default_rng(1))
    for name, array in saved.items():
        fresh.arrays[name][...] = array
    resumed = task.read(fresh, 6, rng=again)
    assert np.array_equal(resumed.inputs, expected.inputs)
    assert np.array_equal(resumed.targets, expected.targets)
    assert resumed.mask.all()


def test_the_baseline_is_a_coin_flip():
    baseline = Echo().baseline
    assert baseline.loss == pytest.approx(np.log(2), rel=1e-15)
    assert baseline.accuracy == 0.5


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lag", [0, -1, 1.0, None, True, "3"]),
        ("eval_streams", [0, -1, 2.5]),
        ("eval_steps", [0, 3, None]),
    ],
)
def test_values_that_make_no_task_are_refused_by_name(key, values):
    for value in values:
        with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= "):
            Echo(**{key: value})


def test_an_evaluation_set_needs_one_scored_step():
    assert Echo(lag=3, eval_steps=4).evaluation(rng=np.random.default_rng(0)).mask.any(axis=1).sum() == 1
    with pytest.raises(InvalidValue, match="eval_steps must be a whole number >= 4, got 3"):
        Echo(lag=3, eval_steps=3)

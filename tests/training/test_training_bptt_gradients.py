"""Which paths through time the gradient of a window holds, against sums over all paths one by one."""

import numpy as np
import pytest

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.tasks import Adding, Batch, Echo, Recall
from rnnexp.training import train

BATCH = 3


@pytest.fixture
def gradients_of(frozen):
    """The gradient of every update while the weights stay as they are."""

    def captured(network, task, algorithm, updates, seed=1):
        optimizer, before = frozen(), network.parameters.vector.copy()
        list(
            train(
                network,
                task,
                optimizer=optimizer,
                steps=updates,
                rng=np.random.default_rng(seed),
                algorithm=algorithm,
                batch_size=BATCH,
            )
        )
        assert np.array_equal(network.parameters.vector, before)
        assert len(optimizer.gradients) == updates
        return optimizer.gradients

    return captured


def windows(steps, length, stride):
    """Of each window: where its paths may begin, its first loss, and the step after its last one."""
    for first in range(0, steps, stride):
        stop = min(first + stride, steps)
        yield max(0, stop - length), first, stop


def window_weights(mask, first, stop):
    """Each step's share of the window's mean loss."""
    weights = np.zeros(mask.shape)
    weights[first:stop] = mask[first:stop]
    return weights / max(weights.sum(), 1)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_whole_sequence_gives_the_gradient_of_the_episodes_loss(
    every_step, reference, network_for, gradients_of, steps
):
    task = every_step(length=steps)
    gradients = gradients_of(network_for(task), task, TruncatedBPTT(None), 2)
    for gradient, batch in zip(gradients, task.drawn, strict=True):
        assert_close(gradient, reference(network_for(task)).complex_step_gradient(batch))


@pytest.mark.parametrize("task", [Recall(3, lag=4, distractors=1), Adding(length=6)], ids=["recall", "adding"])
def test_the_tasks_own_episodes_give_their_full_gradient(reference, network_for, gradients_of, recording, task):
    task, drawn = recording(task)
    (gradient,) = gradients_of(network_for(task), task, TruncatedBPTT(None), 1)
    assert_close(gradient, reference(network_for(task)).complex_step_gradient(drawn[0]))


@pytest.mark.parametrize("length", [7, 8, 100])
def test_a_window_as_long_as_the_episode_is_the_whole_sequence_bit_for_bit(
    every_step, network_for, gradients_of, length
):
    task = every_step(length=7)
    whole = gradients_of(network_for(task), task, TruncatedBPTT(None), 3)
    cut = gradients_of(network_for(task), task, TruncatedBPTT(length), 3)
    assert all(map(np.array_equal, whole, cut))


@pytest.mark.parametrize(
    ("length", "stride"),
    [(1, 1), (2, 1), (3, 1), (6, 1), (7, 1), (20, 1), (4, 2), (5, 3), (7, 3), (3, 3), (6, 5), (8, 8), (20, 4)],
)
@pytest.mark.parametrize("share_scored", [1.0, 0.5])
def test_each_window_holds_the_paths_that_fit_into_it(
    every_step, reference, network_for, gradients_of, length, stride, share_scored
):
    steps = 7
    mask = np.random.default_rng(5).random((steps, BATCH)) < share_scored
    task = every_step(length=steps, mask=mask)
    parts = [part for part in windows(steps, length, stride) if mask[part[1] : part[2]].any()]
    gradients = gradients_of(network_for(task), task, TruncatedBPTT(length, stride), 2 * len(parts))
    own = reference(network_for(task))
    expected = [
        own.window_gradient(batch, window_weights(mask, first, stop), start)
        for batch in task.drawn
        for start, first, stop in parts
    ]
    assert len(task.drawn) == 2
    for gradient, sums in zip(gradients, expected, strict=True):
        assert_close(gradient, sums)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 9])
def test_with_a_stride_of_one_the_windows_sum_to_the_full_gradient_without_longer_paths(
    every_step, reference, network_for, gradients_of, length
):
    steps = 7
    task = every_step(length=steps)
    gradients = gradients_of(network_for(task), task, TruncatedBPTT(length, 1), steps)
    own, batch = reference(network_for(task)), task.drawn[0]
    truncated = np.zeros_like(own.vector)
    for t in range(steps):
        weights = np.zeros(batch.mask.shape)
        weights[t] = 1 / BATCH
        truncated += own.window_gradient(batch, weights, max(0, t + 1 - length))
    assert_close(np.sum(gradients, axis=0), truncated)

    full = steps * own.complex_step_gradient(batch)
    if length >= steps:
        assert_close(np.sum(gradients, axis=0), full)
    else:
        assert np.linalg.norm(truncated - full) > 1e-3 * np.linalg.norm(full)


@pytest.mark.parametrize("stride", [1, 2, 3, 6])
def test_the_whole_past_stays_in_reach_when_only_the_stride_is_given(
    every_step, reference, network_for, gradients_of, stride
):
    task = every_step(length=7)
    parts = list(windows(7, 7, stride))
    gradients = gradients_of(network_for(task), task, TruncatedBPTT(None, stride), len(parts))
    own, batch = reference(network_for(task)), task.drawn[0]
    for gradient, (_, first, stop) in zip(gradients, parts, strict=True):
        assert_close(gradient, own.window_gradient(batch, window_weights(batch.mask, first, stop), 0))


@pytest.mark.parametrize(("length", "stride"), [(4, 4), (5, 1), (5, 2), (6, 3), (1, 1), (30, 3)])
def test_the_windows_of_a_stream_hold_the_paths_that_fit_into_them(
    reference, network_for, gradients_of, length, stride
):
    task = Echo(lag=3)
    rng = np.random.default_rng(1)
    stream = task.read(task.begin(BATCH, rng=rng), 12, rng=rng)
    parts = [part for part in windows(12, length, stride) if stream.mask[part[1] : part[2]].any()]
    gradients = gradients_of(network_for(task), task, TruncatedBPTT(length, stride), len(parts))
    own = reference(network_for(task))
    for gradient, (start, first, stop) in zip(gradients, parts, strict=True):
        assert_close(gradient, own.window_gradient(stream, window_weights(stream.mask, first, stop), start))


def test_recall_in_short_windows_has_no_gradient_to_its_symbol(network_for, gradients_of, recording):
    task, drawn = recording(Recall(3, lag=5, distractors=1))
    rows = {}
    for length in (5, 6):
        network = network_for(task)
        (gradient,) = gradients_of(network, task, TruncatedBPTT(length, 1), 1)
        rows[length] = gradient[: task.input_size * 3].reshape(task.input_size, 3)
    symbols = np.unique(drawn[0].inputs[0])
    assert not rows[5][symbols].any()
    assert rows[6][symbols].any()


def test_the_reference_of_these_tests_sums_to_the_complex_step_gradient(every_step, reference, network_for):
    task = every_step(length=5)
    batch = task.sample(BATCH, rng=np.random.default_rng(0))
    own = reference(network_for(task))
    weights = np.full(batch.mask.shape, 1 / batch.mask.size)
    assert_close(own.window_gradient(batch, weights, 0), own.complex_step_gradient(batch))
    masked = Batch(batch.inputs, batch.targets, np.arange(15).reshape(5, 3) % 4 == 0)
    assert_close(own.window_gradient(masked, masked.mask / masked.mask.sum(), 0), own.complex_step_gradient(masked))

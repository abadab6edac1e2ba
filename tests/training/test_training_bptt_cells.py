"""BPTT(h; h') for every cell: which part of the gradient a window keeps, against one split by loss and lag."""

import numpy as np
import pytest
from training_cases import CELLS, by_name, complex_step_gradient, every_cell, step_losses, trained

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.gradients import fixed_windows, full_gradient, gradient_by_lag
from rnnexp.tasks import Adding, Batch, Echo, Recall
from rnnexp.training import SGD

STEPS, BATCH = 7, 3
WINDOWS = [(1, 1), (3, 3), (5, 3), (7, 3), (4, 2), (20, 4), (None, 3), (None, 1)]


def some_steps():
    mask = np.zeros((STEPS, BATCH), bool)
    mask[[0, 2, 3, 6, 4, 4], [0, 0, 1, 1, 1, 2]] = True
    return mask


def assert_close(actual, expected):
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def only(batch, step):
    """The batch with the losses of one step alone."""
    return Batch(batch.inputs, batch.targets, batch.mask & (np.arange(len(batch.mask)) == step)[:, np.newaxis])


def split_by_loss(network, batch, target_kind):
    """For every scored step, what its mean loss hands to the parameters at each lag: step -> array (L, P)."""
    beside, split = network.replica(), {}
    for step in np.flatnonzero(batch.mask.any(axis=1)):
        rows = gradient_by_lag(beside, only(batch, step), target_kind)
        split[int(step)] = np.concatenate([rows[name].reshape(len(rows[name]), -1) for name in rows], axis=1)
    return split


def edges(steps, length, stride):
    """Of each window: the step its losses may reach, its first loss, and the step after its last one."""
    for first in range(0, steps, stride):
        end = min(first + stride, steps)
        yield 0 if length is None else max(0, end - length), first, end


def kept(split, mask, start, first, end):
    """The gradient of the mean loss of the steps from `first` to `end` without what reaches beyond `start`."""
    counts = mask.sum(axis=1)
    scored = [step for step in range(first, end) if counts[step]]
    return sum(counts[step] * split[step][: step - start + 1].sum(axis=0) for step in scored) / counts[first:end].sum()


@every_cell
@pytest.mark.parametrize("mask", [None, some_steps()], ids=["every step", "some steps"])
def test_the_whole_sequence_gives_the_full_gradient(every_step, network_for, frozen, cell, mask):
    task, optimizer = every_step(length=STEPS, mask=mask), frozen()
    network = network_for(task, **cell)
    trained(network, task, optimizer, 2, algorithm=TruncatedBPTT(STEPS, STEPS))
    for gradient, batch in zip(optimizer.gradients, task.drawn, strict=True):
        assert_close(gradient, complex_step_gradient(network, batch, "classes"))
        assert_close(gradient, full_gradient(network.replica(), batch, "classes"))


@every_cell
def test_the_whole_sequence_of_real_values_gives_the_full_gradient(network_for, frozen, recording, cell):
    task, drawn = recording(Adding(length=6))
    network, optimizer = network_for(task, **cell), frozen()
    trained(network, task, optimizer, 1, algorithm=TruncatedBPTT(None))
    assert_close(optimizer.gradients[0], complex_step_gradient(network, drawn[0], "values"))


@every_cell
@pytest.mark.parametrize("length", [1, 2, 4, 6, 7, 30])
def test_with_a_stride_of_one_the_updates_add_up_to_the_paths_that_fit_into_a_window(
    every_step, network_for, frozen, cell, length
):
    task, optimizer = every_step(length=STEPS), frozen()
    network = network_for(task, **cell)
    trained(network, task, optimizer, STEPS, algorithm=TruncatedBPTT(length, 1))
    total, split = np.sum(optimizer.gradients, axis=0), split_by_loss(network, task.drawn[0], "classes")
    assert_close(total, sum(rows[:length].sum(axis=0) for rows in split.values()))
    full = STEPS * full_gradient(network.replica(), task.drawn[0], "classes")
    if length >= STEPS:
        assert_close(total, full)
    else:
        assert np.linalg.norm(total - full) > 1e-4 * np.linalg.norm(full)


@every_cell
@pytest.mark.parametrize(("length", "stride"), WINDOWS)
@pytest.mark.parametrize("mask", [np.ones((STEPS, BATCH), bool), some_steps()], ids=["every step", "some steps"])
def test_each_window_keeps_the_lags_that_fit_into_it(every_step, network_for, frozen, cell, length, stride, mask):
    task, optimizer = every_step(length=STEPS, mask=mask), frozen()
    network = network_for(task, **cell)
    parts = [part for part in edges(STEPS, length, stride) if mask[part[1] : part[2]].any()]
    reports = trained(network, task, optimizer, 2 * len(parts), algorithm=TruncatedBPTT(length, stride))
    assert len(reports) == len(optimizer.gradients) == 2 * len(parts)
    assert len(task.drawn) == 2
    splits = [split_by_loss(network, batch, "classes") for batch in task.drawn]
    expected = [kept(split, mask, *part) for split in splits for part in parts]
    for gradient, own in zip(optimizer.gradients, expected, strict=True):
        assert_close(gradient, own)


@every_cell
@pytest.mark.parametrize(("length", "stride"), [(3, 3), (5, 2), (6, 1)])
def test_each_window_of_a_stream_does_too(network_for, frozen, recording, cell, length, stride):
    task, read = recording(Echo(lag=2))
    network, optimizer = network_for(task, **cell), frozen()
    trained(network, task, optimizer, 5, algorithm=TruncatedBPTT(length, stride))
    stream = Batch(*(np.concatenate([getattr(b, name) for b in read]) for name in ("inputs", "targets", "mask")))
    split, steps = split_by_loss(network, stream, "classes"), len(stream.inputs)
    parts = [part for part in edges(steps, length, stride) if stream.mask[part[1] : part[2]].any()]
    for gradient, part in zip(optimizer.gradients, parts, strict=True):
        assert_close(gradient, kept(split, stream.mask, *part))


@every_cell
@pytest.mark.parametrize("length", [1, 3, 5])
def test_stretches_without_a_scored_step_make_no_update_and_yet_are_in_reach(
    network_for, frozen, recording, cell, length
):
    task, drawn = recording(Recall(3, lag=6))
    network, optimizer = network_for(task, **cell), frozen()
    reports = trained(network, task, optimizer, 4, algorithm=TruncatedBPTT(length, 1))
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert len(optimizer.gradients) == len(drawn) == 4, "one update an episode"
    for gradient, batch in zip(optimizer.gradients, drawn, strict=True):
        assert_close(gradient, split_by_loss(network, batch, "classes")[6][:length].sum(axis=0))


@every_cell
@pytest.mark.parametrize(("length", "stride"), WINDOWS)
def test_the_losses_of_episodes_do_not_depend_on_the_windows(every_step, network_for, frozen, cell, length, stride):
    task = every_step(length=STEPS)
    network = network_for(task, **cell)
    parts = list(edges(STEPS, length, stride))
    reports = trained(network, task, frozen(), 2 * len(parts), algorithm=TruncatedBPTT(length, stride))
    losses = [step_losses(network, batch, "classes") for batch in task.drawn]
    expected = [np.mean(of_one[first:end]) for of_one in losses for _, first, end in parts]
    np.testing.assert_allclose([report.train_loss for report in reports], expected, rtol=1e-12)


@every_cell
@pytest.mark.parametrize(("length", "stride"), [(2, 2), (6, 2), (5, 3), (12, 1), (4, 1), (12, 12)])
def test_the_losses_of_a_stream_do_not_depend_on_the_windows(network_for, frozen, cell, length, stride):
    task = Echo(lag=2)
    rng = np.random.default_rng(1)
    stream = task.read(task.begin(BATCH, rng=rng), 24, rng=rng)
    network = network_for(task, **cell)
    parts = [(max(2, first), end) for _, first, end in edges(24, length, stride) if end > 2]
    reports = trained(network, task, frozen(), len(parts), algorithm=TruncatedBPTT(length, stride))
    losses = step_losses(network, stream, "classes")
    expected = [np.mean(losses[first:end]) for first, end in parts]
    np.testing.assert_allclose([report.train_loss for report in reports], expected, rtol=1e-12)


@every_cell
def test_one_window_for_a_sequence_is_the_plain_step_of_its_gradient(every_step, network_for, cell):
    weights = []
    for algorithm in (TruncatedBPTT(None), TruncatedBPTT(STEPS), TruncatedBPTT(100), TruncatedBPTT(None, STEPS)):
        task = every_step(length=STEPS)
        network, before = network_for(task, **cell), network_for(task, **cell)
        trained(network, task, SGD(0.5), 1, algorithm=algorithm)
        weights.append(network.parameters.vector)
    step = 0.5 * full_gradient(before.replica(), task.drawn[0], "classes")
    assert_close(weights[0] - before.parameters.vector, -step)
    assert all(np.array_equal(other, weights[0]) for other in weights[1:])


@pytest.mark.parametrize(("length", "initial"), [(4, [True, False]), (6, [True, True]), (None, [True, True])])
def test_a_learned_initial_state_has_a_gradient_while_it_is_in_reach(every_step, network_for, frozen, length, initial):
    task, optimizer = every_step(length=6), frozen()
    network = network_for(task, **CELLS["two layers"])
    trained(network, task, optimizer, 4, algorithm=TruncatedBPTT(length, 3))
    for layer in (1, 2):
        given = [by_name(network, gradient)[f"recurrent.{layer}.h0"].any() for gradient in optimizer.gradients]
        assert given == initial * 2


@pytest.mark.parametrize(("length", "stride"), [*WINDOWS, (None, None), (4, None)])
@pytest.mark.parametrize("steps", [1, 6, 7, 25])
def test_the_windows_told_beforehand_are_those_of_the_statistics(length, stride, steps):
    windows = TruncatedBPTT(length, stride).windows(steps, rng=np.random.default_rng(0))
    assert windows == fixed_windows(steps, length, stride)
    step = stride or length or steps
    assert [(w.start, w.newest, w.end) for w in windows] == list(edges(steps, length, step))

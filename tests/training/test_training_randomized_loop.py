"""Training with random windows: what is read, what is reported, and what the cuts leave as it is."""

from itertools import pairwise

import numpy as np
import pytest
from training_cases import CELLS, every_cell, step_losses, trained

from rnnexp.algorithms import RandomizedBPTT, TruncatedBPTT
from rnnexp.gradients import Window, windowed_gradient
from rnnexp.tasks import Adding, Batch, Echo, Recall
from rnnexp.training import SGD

TASKS = {"episodes": lambda: Recall(3, lag=9), "values": lambda: Adding(length=11), "stream": lambda: Echo(lag=1)}
every_task = pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)


def together(batches):
    """What was read, one batch after the other."""
    parts = zip(*((batch.inputs, batch.targets, batch.mask) for batch in batches), strict=True)
    return Batch(*(np.concatenate(list(part)) for part in parts))


def test_the_windows_reported_are_the_steps_of_a_stream_that_were_read(network_for, frozen, recording):
    task, read = recording(Echo(lag=1))
    reports = trained(network_for(task), task, frozen(), 60, algorithm=RandomizedBPTT(4))
    made_updates = [len(batch.inputs) for batch in read if batch.mask.any()]
    assert [report.window for report in reports] == made_updates
    assert len(set(made_updates)) > 4


def test_the_windows_reported_fill_each_episode(every_step, network_for, frozen):
    task = every_step(length=11)
    reports = trained(network_for(task), task, frozen(), 80, algorithm=RandomizedBPTT(4))
    ends = np.cumsum([report.window for report in reports])
    within = [end for end in ends if end % 11 == 0]
    assert within == [11 * (at + 1) for at in range(len(within))], "a window went over an episode's end"
    assert len(task.drawn) - len(within) in (0, 1)
    assert len(within) > 15


def test_windows_of_one_length_have_nothing_to_report(every_step, network_for, frozen):
    task = every_step(length=6)
    assert {report.window for report in trained(network_for(task), task, frozen(), 5, algorithm=TruncatedBPTT(2))} == {
        None
    }


@every_cell
def test_the_losses_of_an_episodes_windows_are_those_of_their_steps(every_step, network_for, frozen, cell):
    task = every_step(length=9)
    network = network_for(task, **cell)
    reports, position = trained(network, task, frozen(), 12, algorithm=RandomizedBPTT(3)), 0
    losses = [loss for batch in task.drawn for loss in step_losses(network, batch, "classes")]
    for report in reports:
        own = losses[position : position + report.window]
        assert report.train_loss == pytest.approx(np.mean(own), rel=1e-12)
        position += report.window
    assert len(task.drawn) > 2


@every_cell
def test_the_gradients_of_a_stream_are_of_the_sum_over_the_steps_of_a_mean_window(network_for, recording, frozen, cell):
    task, read = recording(Echo(lag=1))
    network, optimizer, algorithm = network_for(task, **cell), frozen(), RandomizedBPTT(4)
    reports = trained(network, task, optimizer, 8, algorithm=algorithm)
    stream, ends = together(read), np.cumsum([0, *(len(batch.inputs) for batch in read)])
    unscored = [not batch.mask.any() for batch in read].count(True)
    parts = list(pairwise(ends))[unscored:]
    for gradient, (start, end), report in zip(optimizer.gradients, parts, reports, strict=True):
        since = np.arange(1, end - start)
        window = Window(start, start, end, [1.0, *(1 / (1 - 5.0 / (4.0 * 4.0 + since)))])
        total = windowed_gradient(network, stream, "classes", [window]) * stream.mask.sum()
        np.testing.assert_allclose(gradient, total / (4 * 3), rtol=1e-9, atol=1e-13)
        assert report.grad_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-12)


@every_task
def test_the_same_seed_gives_the_same_cuts_and_the_same_weights(network_for, make):
    runs = []
    for seed in (0, 0, 1):
        task = make()
        network = network_for(task)
        reports = trained(network, task, SGD(0.1), 30, seed=seed, algorithm=RandomizedBPTT(4))
        runs.append(([(r.train_loss, r.grad_norm, r.window) for r in reports], network.parameters.vector.tobytes()))
    assert runs[0] == runs[1]
    assert [window for *_, window in runs[0][0]] != [window for *_, window in runs[2][0]]


@every_task
def test_the_training_data_are_the_same_as_with_fixed_windows(network_for, frozen, recording, make):
    drawn = []
    for algorithm in (TruncatedBPTT(4), RandomizedBPTT(4), RandomizedBPTT(2, alpha=3.0)):
        task, kept = recording(make())
        trained(network_for(task), task, frozen(), 40, algorithm=algorithm)
        drawn.append(together(kept))
    steps = min(len(batch.inputs) for batch in drawn)
    assert steps >= 40
    for other in drawn[1:]:
        assert np.array_equal(other.inputs[:steps], drawn[0].inputs[:steps])
        assert np.array_equal(other.targets[:steps], drawn[0].targets[:steps])


def test_the_cuts_do_not_depend_on_the_data(network_for, frozen):
    windows = []
    for task in (Echo(lag=1), Echo(lag=1), Echo(lag=1)):
        batch_size = 2 + len(windows)  # other draws from the stream of data
        reports = trained(network_for(task), task, frozen(), 30, batch_size=batch_size, algorithm=RandomizedBPTT(5))
        windows.append([report.window for report in reports])
    assert windows[0] == windows[1] == windows[2]


def test_a_stretch_without_a_scored_step_makes_no_update(network_for, frozen, recording):
    task, drawn = recording(Recall(3, lag=9))
    optimizer = frozen()
    reports = trained(network_for(task), task, optimizer, 20, algorithm=RandomizedBPTT(3))
    assert [report.step for report in reports] == list(range(1, 21))
    assert len(optimizer.gradients) == len(drawn) == 20, "one update an episode"
    assert max(report.window for report in reports) <= 10
    assert len({report.window for report in reports}) > 3


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_single_precision_stays_so_and_near_double(every_step, network_for, frozen, name):
    gradients = []
    for dtype in (np.float32, np.float64):
        task, optimizer = every_step(length=10), frozen()
        trained(network_for(task, dtype=dtype, **CELLS[name]), task, optimizer, 12, algorithm=RandomizedBPTT(4))
        assert {gradient.dtype for gradient in optimizer.gradients} == {np.dtype(dtype)}
        gradients.append(np.array(optimizer.gradients))
    scale = np.abs(gradients[1]).max()
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=0, atol=1e-5 * scale)
    assert not np.array_equal(*gradients)

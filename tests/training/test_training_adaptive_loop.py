"""Training with windows that follow the gradient: what is reported, and that measuring disturbs nothing."""

import numpy as np
import pytest
from training_cases import CELLS, every_cell, step_losses, trained

from rnnexp.algorithms import AdaptiveBPTT, TruncatedBPTT
from rnnexp.layers import Initializers, Orthogonal
from rnnexp.tasks import Echo, Recall
from rnnexp.training import SGD, Adam

TASKS = {"episodes": lambda: Recall(3, lag=9), "stream": lambda: Echo(lag=1)}
every_task = pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)


class Retuning:
    """An optimizer that gives Wh the decay that is next in the list, after so many updates."""

    def __init__(self, network, decays, every):
        self.Wh, self.decays, self.every, self.updates, self.slots = None, list(decays), every, 0, {}
        self.Wh = network.parameters.values["recurrent.Wh"]

    def update(self, vector, gradient):
        self.updates += 1
        if self.updates % self.every == 0 and self.decays:
            self.Wh *= self.decays.pop(0) / np.linalg.norm(self.Wh, 2)


@pytest.fixture
def linear(network_for):
    def made(task, decay):
        start = Initializers(recurrent=Orthogonal(decay))
        return network_for(task, init=start, cell_options={"activation": "identity"}, scale=1.0)

    return made


def test_the_window_reported_follows_the_weights_of_a_stream(linear):
    task = Echo(lag=1)
    network = linear(task, 0.5)
    algorithm = AdaptiveBPTT(20, every=4, max_length=40)
    reports = trained(network, task, Retuning(network, [0.8, 0.5, 1.0, 0.8], 4), 20, algorithm=algorithm)
    # From test_training_adaptive_bptt.py: 4 steps at a decay of 0.5, 12 at 0.8, and the longest without any.
    assert [report.window for report in reports] == [20] * 4 + [12] * 4 + [4] * 4 + [40] * 4 + [12] * 4


def test_with_a_stride_of_its_own_a_longer_window_fills_step_by_step(linear):
    task = Echo(lag=1)
    network = linear(task, 0.5)
    algorithm = AdaptiveBPTT(20, 2, every=6, max_length=40)
    reports = trained(network, task, Retuning(network, [0.8, 0.5], 6), 18, algorithm=algorithm)
    expected = [2, 4, 6, 8, 10, 12] + [12] * 6 + [4] * 6
    assert [report.window for report in reports] == expected


def test_the_windows_of_an_episode_do_not_reach_beyond_its_start(every_step, linear, frozen):
    task = every_step(length=10)
    reports = trained(linear(task, 0.5), task, frozen(), 10, algorithm=AdaptiveBPTT(10, 2, every=1))
    assert [report.window for report in reports] == [2, 4, 4, 4, 4] * 2
    reports = trained(linear(task, 1.0), task, frozen(), 10, algorithm=AdaptiveBPTT(10, 2, every=1))
    assert [report.window for report in reports] == [2, 4, 6, 8, 10] * 2


@pytest.mark.parametrize("every", [1, 4])
def test_the_data_for_measuring_are_drawn_when_it_is_due(every_step, network_for, frozen, every):
    task = every_step(length=8)
    algorithm = AdaptiveBPTT(8, 8, max_length=8, every=every, sequences=7)
    trained(network_for(task), task, frozen(), 9, batch_size=2, algorithm=algorithm)
    sizes = [batch.inputs.shape[1] for batch in task.drawn]
    assert sizes.count(2) == 9
    assert sizes.count(7) == len(range(1 + every, 10, every))
    assert sizes.index(7) == every


@every_cell
@every_task
@pytest.mark.parametrize("windows", [(4, 4), (6, 2)])
def test_measuring_disturbs_neither_the_weights_nor_the_state_nor_the_data(network_for, recording, cell, make, windows):
    length, stride = windows
    # The window can be nothing but `length` where the tolerance can't be met.
    adaptive = AdaptiveBPTT(length, stride, tolerance=1e-300, max_length=length, every=1, sequences=5)
    runs = []
    for algorithm in (TruncatedBPTT(length, stride), adaptive):
        task, drawn = recording(make())
        network = network_for(task, dtype=np.float32, **cell)
        reports = trained(network, task, Adam(0.05), 12, algorithm=algorithm)
        data = [batch.inputs.tobytes() for batch in drawn if batch.inputs.shape[1] == 3]
        losses = [(report.train_loss, report.grad_norm) for report in reports]
        runs.append((losses, network.parameters.vector.tobytes(), network.parameters.gradient.tobytes(), data))
    assert runs[0] == runs[1]
    assert adaptive.estimate is not None


class Watching:
    """An optimizer that changes nothing and notes the window's length."""

    def __init__(self, algorithm):
        self.algorithm, self.slots, self.lengths = algorithm, {}, []

    def update(self, vector, gradient):
        self.lengths.append(self.algorithm.length)


def test_the_losses_are_those_of_the_newest_steps_whatever_the_window(every_step, network_for):
    task, algorithm = every_step(length=12), AdaptiveBPTT(12, every=1, tolerance=0.5, max_length=12)
    network, optimizer = network_for(task, **CELLS["lstm"]), Watching(algorithm)
    reports = trained(network, task, optimizer, 12, algorithm=algorithm)
    drawn = [batch for batch in task.drawn if batch.inputs.shape[1] == 3]
    losses, position = [loss for batch in drawn for loss in step_losses(network, batch, "classes")], 0
    for report, length in zip(reports, optimizer.lengths, strict=True):
        end = min(position + length, position - position % 12 + 12)
        assert report.train_loss == pytest.approx(np.mean(losses[position:end]), rel=1e-12)
        position = end
    assert len(set(optimizer.lengths)) > 2
    assert position > 24


@every_task
def test_the_same_seed_gives_the_same_windows_and_weights(network_for, make):
    runs = []
    for _ in range(2):
        task = make()
        network = network_for(task, scale=1.0)
        reports = trained(network, task, SGD(0.5), 30, algorithm=AdaptiveBPTT(5, every=3, max_length=30))
        runs.append(([report.window for report in reports], network.parameters.vector.tobytes()))
    assert runs[0] == runs[1]


def test_a_memory_of_one_step_is_learned_and_the_window_stays_short(network_for):
    task = Echo(lag=1)
    network = network_for(task, hidden_size=8, scale=1.0, **CELLS["lstm"])
    algorithm = AdaptiveBPTT(20, every=25, max_length=30, tolerance=0.3)
    reports = trained(network, task, Adam(0.02), 150, batch_size=10, algorithm=algorithm)
    assert np.mean([report.train_loss for report in reports[-20:]]) < 0.1
    assert 2 <= algorithm.length < 30

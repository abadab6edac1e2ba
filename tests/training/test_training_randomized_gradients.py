"""ARTBP's gradient is on average that of the whole sequence: over all cuts exactly, over drawn ones within errors."""

import functools

import numpy as np
import pytest
from training_cases import CELLS, Scripted, all_cut_patterns, every_cell, trained

from rnnexp.algorithms import RandomizedBPTT, TruncatedBPTT
from rnnexp.gradients import Window, full_gradient, windowed_gradient
from rnnexp.tasks import Batch
from rnnexp.training import Constant, NoClipping, NoRegularizer
from rnnexp.training.loop import Trainer

STEPS, COUNT, LENGTH = 18, 2, 4


class OneEpisode:
    """The same sequences again and again."""

    def __init__(self, task, count):
        self.task, self.batch, self.given = task, task.sample(count, rng=np.random.default_rng(3)), 0
        task.sample = self.sample

    def sample(self, batch_size, *, rng):
        assert batch_size == self.batch.inputs.shape[1]
        self.given += 1
        return self.batch


class ByEpisode:
    """An optimizer that changes nothing and adds up the gradients of each episode."""

    def __init__(self, episode):
        self.slots, self.sums, self.updates, self.episode = {}, {}, {}, episode

    def update(self, vector, gradient):
        at = self.episode.given
        self.sums[at] = self.sums.get(at, 0.0) + gradient
        self.updates[at] = self.updates.get(at, 0) + 1


def masks(steps, count):
    last = np.zeros((steps, count), bool)
    last[-1] = True
    some = np.random.default_rng(5).random((steps, count)) < 0.4
    some[[0, 2]] = [[True] + [False] * (count - 1), [False] * count]
    return {"every step": np.ones((steps, count), bool), "last step": last, "some steps": some}


every_mask = pytest.mark.parametrize("scored", ["every step", "last step", "some steps"])


def assert_close(actual, expected, tolerance=1e-12):
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@every_cell
@every_mask
@pytest.mark.parametrize(("length", "alpha"), [(2, 2.5), (3, 6.0)])
def test_over_all_cuts_the_mean_is_the_full_gradient(every_step, network_for, cell, scored, length, alpha):
    task = every_step(length=4, mask=masks(4, COUNT)[scored])
    network, batch = network_for(task, **cell), task.sample(COUNT, rng=np.random.default_rng(0))
    mean, total = 0.0, 0.0
    for _, windows, probability in all_cut_patterns(4, length, alpha):
        mean += probability * windowed_gradient(network, batch, "classes", windows)
        total += probability
    assert total == pytest.approx(1.0, rel=1e-14)
    assert_close(mean, full_gradient(network, batch, "classes"))


@every_cell
@every_mask
@pytest.mark.parametrize("length", [2, 3, 8])
def test_over_all_cuts_the_updates_of_an_episode_add_up_to_the_full_gradient(
    every_step, frozen, network_for, cell, scored, length
):
    task = every_step(length=4, mask=masks(4, COUNT)[scored])
    episode, mean = OneEpisode(task, COUNT), 0.0
    for cuts, _, probability in all_cut_patterns(4, length, 6.0):
        network, optimizer = network_for(task, **cell), frozen()
        trainer = Trainer(
            network,
            task,
            optimizer=optimizer,
            steps=4,
            rng=np.random.default_rng(0),
            algorithm=RandomizedBPTT(length),
            clipping=NoClipping(),
            regularizer=NoRegularizer(),
            schedule=Constant(),
            batch_size=COUNT,
        )
        trainer.truncation = Scripted(cuts)
        while trainer.data.position < 4:
            trainer.update()
        updates = task.mask.sum() / trainer.data.scored_per_update(length)
        mean += probability * np.sum(optimizer.gradients, axis=0) / updates
    assert_close(mean, full_gradient(network, episode.batch, "classes"))


def by_window(network, batch):
    """`windowed_gradient`, which is a sum over the windows, each of them computed once."""

    @functools.cache
    def of_one(start, end, step_weights):
        return windowed_gradient(network, batch, "classes", [Window(start, start, end, step_weights)])

    return lambda windows: sum(of_one(w.start, w.end, w.step_weights and tuple(w.step_weights)) for w in windows)


def z_scores(mean, full, draws):
    """How many standard errors `mean` is from the full gradient, where the draws differ at all."""
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    varied = error > 1e-9 * np.abs(full).max()
    assert varied.sum() >= 20
    return (mean - full)[varied] / error[varied]


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.fixture
def long_episode(every_step, network_for):
    """A network that remembers longer than a window, and an episode of many windows."""

    def made(cell, scored="every step", steps=STEPS):
        task = every_step(length=steps, mask=masks(steps, COUNT)[scored])
        return network_for(task, hidden_size=3, scale=1.8, seed=2, **cell), task, OneEpisode(task, COUNT)

    return made


@every_cell
def test_a_windowed_gradient_is_the_sum_over_its_windows(long_episode, cell):
    network, _, episode = long_episode(cell)
    gradient, rng = by_window(network, episode.batch), np.random.default_rng(0)
    for _ in range(5):
        windows = RandomizedBPTT(LENGTH).windows(STEPS, rng=rng)
        assert len(windows) > 1
        assert_close(gradient(windows), windowed_gradient(network, episode.batch, "classes", windows))


@pytest.mark.quick(4)
@every_cell
@pytest.mark.parametrize("scored", ["every step", "last step"])
def test_over_drawn_cuts_the_mean_is_the_full_gradient_within_its_error(long_episode, cell, scored):
    network, _, episode = long_episode(cell, scored)
    algorithm, rng, gradient = RandomizedBPTT(LENGTH), np.random.default_rng(7), by_window(network, episode.batch)
    full = full_gradient(network, episode.batch, "classes")
    cuts = [algorithm.windows(STEPS, rng=rng) for _ in range(4000)]
    draws = np.array([gradient(windows) for windows in cuts])
    # Few numbers decide what is drawn, such as where the last cut falls: the scores of all elements move together.
    assert 0.2 < rms(z_scores(draws.mean(axis=0), full, draws)) < 1.6

    plain = gradient(TruncatedBPTT(LENGTH).windows(STEPS, rng=rng))
    assert rms(z_scores(plain, full, draws)) > 5
    without = [gradient([Window(w.start, w.newest, w.end) for w in windows]) for windows in cuts]
    assert rms(z_scores(np.mean(without, axis=0), full, draws)) > 5


@pytest.mark.parametrize(
    ("name", "scored"), [("rnn", "every step"), ("rnn", "last step"), ("rnn", "some steps"), ("lstm", "some steps")]
)
def test_the_drawn_updates_of_an_episode_add_up_to_the_full_gradient_on_average(long_episode, name, scored):
    network, task, episode = long_episode(CELLS[name], scored, steps=10)
    optimizer = ByEpisode(episode)
    trained(network, task, optimizer, 1200, batch_size=COUNT, algorithm=RandomizedBPTT(LENGTH))
    full = full_gradient(network, episode.batch, "classes")
    with_a_loss = int(task.mask.any(axis=1).sum())
    updates = max(1.0, min(with_a_loss, 10 / LENGTH))  # that an episode has on average, by the count
    draws = np.array([optimizer.sums[at] for at in range(1, episode.given)]) / updates
    assert len(draws) > 300
    assert 0.2 < rms(z_scores(draws.mean(axis=0), full, draws)) < 1.6
    counts = {optimizer.updates[at] for at in range(1, episode.given)}
    assert counts == {1} if scored == "last step" else len(counts) > 3


def test_the_scored_steps_of_an_update_are_counted_by_the_mask(every_step, network_for, frozen):
    task = every_step(length=10, mask=masks(10, COUNT)["last step"])
    trainer = Trainer(
        network_for(task),
        task,
        optimizer=frozen(),
        steps=1,
        rng=np.random.default_rng(0),
        algorithm=RandomizedBPTT(LENGTH),
        clipping=NoClipping(),
        regularizer=NoRegularizer(),
        schedule=Constant(),
        batch_size=COUNT,
    )
    assert trainer.data.scored_per_update(4) == 4 * COUNT, "no episode yet"
    trainer.update()
    assert trainer.data.scored_per_update(4) == COUNT, "one update an episode, of one step"
    whole = np.ones((10, COUNT), bool)
    trainer.data.batch = Batch(whole, whole, whole)
    assert trainer.data.scored_per_update(4) == 4 * COUNT
    assert trainer.data.scored_per_update(100) == 10 * COUNT, "windows are no longer than the episode"

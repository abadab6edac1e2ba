"""Which steps make a window, what a window's loss is, and where the state comes from."""

import numpy as np
import pytest

from rnnexp.algorithms import TruncatedBPTT
from rnnexp.checks import InvalidValue
from rnnexp.tasks import Batch, Echo, Recall
from rnnexp.training import train


@pytest.fixture
def losses_of(frozen, network_for):
    """The training losses of a network that stays as it is."""

    def measured(task, algorithm, updates, *, batch_size=3, seed=1, **settings):
        reports = train(
            network_for(task, **settings),
            task,
            optimizer=frozen(),
            steps=updates,
            rng=np.random.default_rng(seed),
            algorithm=algorithm,
            batch_size=batch_size,
        )
        first, *others = reports
        assert first.train_loss is None
        assert [report.step for report in others] == list(range(1, updates + 1))
        return np.array([report.train_loss for report in others])

    return measured


@pytest.mark.parametrize("value", [0, -1, 2.0, "20", True])
def test_a_length_that_is_no_whole_number_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^bptt_length must be a whole number >= 1, got "):
        TruncatedBPTT(value)


@pytest.mark.parametrize("value", [0, -1, 2.0, "20", True])
def test_a_stride_that_is_no_whole_number_is_refused(value):
    for length in (20, None):
        with pytest.raises(InvalidValue, match=r"^bptt_stride must be a whole number >= 1, got "):
            TruncatedBPTT(length, value)


def test_a_stride_above_the_length_is_refused_with_the_length():
    with pytest.raises(InvalidValue, match=r"^bptt_stride must be <= bptt_length, which is 5, got 6"):
        TruncatedBPTT(5, 6)
    assert TruncatedBPTT(5, 5).stride == 5


def test_the_stride_is_the_length_unless_given():
    assert (TruncatedBPTT().length, TruncatedBPTT().stride) == (20, 20)
    assert (TruncatedBPTT(7).length, TruncatedBPTT(7).stride) == (7, 7)
    assert (TruncatedBPTT(7, 2).length, TruncatedBPTT(7, 2).stride) == (7, 2)
    assert (TruncatedBPTT(None).length, TruncatedBPTT(None).stride) == (None, None)
    assert (TruncatedBPTT(None, 3).length, TruncatedBPTT(None, 3).stride) == (None, 3)


@pytest.mark.parametrize(("length", "stride"), [(3, 3), (3, 2), (7, 3), (10, 10), (1, 1), (5, 4), (None, None)])
def test_the_losses_of_an_episodes_windows_are_those_of_their_newest_steps(
    every_step, reference, network_for, losses_of, length, stride
):
    task, episodes = every_step(length=7), 3
    step = 7 if stride is None else stride
    edges = [(start, min(start + step, 7)) for start in range(0, 7, step)]
    measured = losses_of(task, TruncatedBPTT(length, stride), episodes * len(edges))
    by_step = [reference(network_for(task)).losses(batch) for batch in task.drawn]
    expected = [losses[start:stop].mean() for losses in by_step for start, stop in edges]
    assert len(task.drawn) == episodes
    np.testing.assert_allclose(measured, expected, rtol=1e-12)


def test_a_window_averages_over_its_scored_steps_alone(every_step, reference, network_for, losses_of):
    mask = np.random.default_rng(3).random((9, 3)) < 0.4
    mask[4] = True
    task = every_step(length=9, mask=mask)
    edges = [(0, 4), (4, 8), (8, 9)]
    scored = [edge for edge in edges if mask[slice(*edge)].any()]
    measured = losses_of(task, TruncatedBPTT(4), len(scored))
    losses = reference(network_for(task)).losses(task.drawn[0])
    expected = [losses[slice(*edge)][mask[slice(*edge)]].mean() for edge in scored]
    np.testing.assert_allclose(measured, expected, rtol=1e-12)


STREAM_STEPS, LAG = 60, 3


@pytest.mark.parametrize(("length", "stride"), [(5, 5), (10, 5), (60, 5), (1, 1), (4, 1), (20, 20), (12, 4), (15, 10)])
def test_the_losses_of_a_stream_do_not_depend_on_how_it_is_cut(reference, network_for, losses_of, length, stride):
    task = Echo(lag=LAG)
    rng = np.random.default_rng(1)
    stream = task.read(task.begin(3, rng=rng), STREAM_STEPS, rng=rng)
    by_step = reference(network_for(task)).losses(stream)
    edges = [(max(start, LAG), start + stride) for start in range(0, STREAM_STEPS, stride) if start + stride > LAG]
    measured = losses_of(task, TruncatedBPTT(length, stride), len(edges))
    np.testing.assert_allclose(measured, [by_step[slice(*edge)].mean() for edge in edges], rtol=1e-12)


def test_windows_of_five_average_to_windows_of_ten(losses_of):
    fives = losses_of(Echo(lag=LAG), TruncatedBPTT(5), 12)
    tens = losses_of(Echo(lag=LAG), TruncatedBPTT(10), 6)
    # The first window has 2 scored steps of 5, and all others 5.
    np.testing.assert_allclose(tens[0], (2 * fives[0] + 5 * fives[1]) / 7, rtol=1e-12)
    np.testing.assert_allclose(tens[1:], fives[2:].reshape(-1, 2).mean(axis=1), rtol=1e-12)
    assert len(set(fives)) == len(fives)


def test_the_state_is_carried_within_an_episode_and_starts_from_zero_in_the_next(
    every_step, reference, network_for, losses_of
):
    task = every_step(length=6)
    measured = losses_of(task, TruncatedBPTT(3), 4)
    own = reference(network_for(task))
    for episode, batch in enumerate(task.drawn):
        states, _, _ = own.run(batch.inputs)
        second = batch.steps(3, 6)
        carried, from_zero = own.losses(second, h=states[3]).mean(), own.losses(second).mean()
        assert measured[2 * episode] == pytest.approx(own.losses(batch.steps(0, 3)).mean(), rel=1e-12)
        assert measured[2 * episode + 1] == pytest.approx(carried, rel=1e-12)
        assert measured[2 * episode + 1] != pytest.approx(from_zero, rel=1e-3)


def test_a_window_without_a_scored_step_makes_no_update_and_no_report(frozen, network_for, recording):
    task, drawn = recording(Recall(3, lag=5))  # 6 steps, the last one scored
    optimizer = frozen()
    reports = list(
        train(
            network_for(task),
            task,
            optimizer=optimizer,
            steps=4,
            rng=np.random.default_rng(0),
            algorithm=TruncatedBPTT(2),
            batch_size=5,
        )
    )
    assert [report.step for report in reports] == [0, 1, 2, 3, 4]
    assert len(optimizer.gradients) == 4
    assert len(drawn) == 4, "one update an episode"


def test_a_stream_is_read_on_until_a_step_is_scored(frozen, network_for, recording):
    task, read = recording(Echo(lag=7))
    optimizer = frozen()
    list(
        train(
            network_for(task),
            task,
            optimizer=optimizer,
            steps=2,
            rng=np.random.default_rng(0),
            algorithm=TruncatedBPTT(3),
        )
    )
    assert [batch.mask.any() for batch in read] == [False, False, True, True]
    assert len(optimizer.gradients) == 2


def test_every_window_with_a_scored_step_makes_one_update(every_step, frozen, network_for):
    mask = np.zeros((8, 2), bool)
    mask[[1, 2, 7], [0, 1, 0]] = True  # windows 0-1, 2-3 and 6-7 of two steps each, none in 4-5
    task, optimizer = every_step(length=8, mask=mask), frozen()
    reports = train(
        network_for(task),
        task,
        optimizer=optimizer,
        steps=6,
        rng=np.random.default_rng(0),
        algorithm=TruncatedBPTT(2),
        batch_size=2,
    )
    assert len(list(reports)) == 7
    assert len(task.drawn) == 2


def test_masked_targets_have_no_say(every_step, network_for, losses_of):
    class Relabelled(every_step):
        def sample(self, batch_size, *, rng):
            batch = super().sample(batch_size, rng=rng)
            targets = np.where(batch.mask, batch.targets, (batch.targets + 1) % self.output_size)
            return Batch(batch.inputs, targets, batch.mask)

    mask = np.random.default_rng(3).random((7, 3)) < 0.5
    plain = losses_of(every_step(mask=mask), TruncatedBPTT(None), 2)
    assert np.array_equal(plain, losses_of(Relabelled(mask=mask), TruncatedBPTT(None), 2))

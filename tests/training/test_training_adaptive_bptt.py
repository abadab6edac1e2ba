"""The window that AdaptiveBPTT chooses, on networks whose gradient decays as it is told to, and on others."""

import math

import numpy as np
import pytest
from training_cases import every_cell

from rnnexp.algorithms import AdaptiveBPTT
from rnnexp.checks import InvalidValue
from rnnexp.gradients import adaptive_window, norms_by_lag
from rnnexp.layers import Initializers, Orthogonal
from rnnexp.tasks import Echo, Recall


@pytest.fixture
def linear(network_for):
    """A network whose gradient shrinks by the factor `decay` at every step back, whatever the data."""

    def made(task, decay, **settings):
        start = Initializers(recurrent=Orthogonal(decay))
        options = {"activation": "identity"}
        return network_for(task, init=start, cell_options=options, scale=1.0, **settings)

    return made


def begun(algorithm, network, task, seed=4):
    algorithm.begin(network, task, rng=np.random.default_rng(seed))
    return algorithm


def smallest_window(decay, tolerance):
    """The first K with decay^K / (1 - 2 decay^K) under the tolerance: the bias of geometric norms."""
    return math.floor(math.log(tolerance / (1 + 2 * tolerance)) / math.log(decay)) + 1


def last_step(steps, sequences):
    mask = np.zeros((steps, sequences), bool)
    mask[-1] = True
    return mask


@pytest.mark.parametrize("scored", ["every step", "last step"])
@pytest.mark.parametrize(("decay", "tolerance"), [(0.5, 0.1), (0.8, 0.1), (0.8, 0.01), (0.9, 0.1), (0.9, 1.0)])
def test_the_window_is_the_closed_form_of_a_known_decay(every_step, linear, scored, decay, tolerance):
    task = every_step(length=70, mask=None if scored == "every step" else last_step(70, 20))
    algorithm = begun(AdaptiveBPTT(20, tolerance=tolerance), linear(task, decay), task)
    assert algorithm.estimate is None
    algorithm.adapt(algorithm.every + 1)
    assert algorithm.length == smallest_window(decay, tolerance)
    assert algorithm.estimate.window == algorithm.length
    assert algorithm.estimate.beta == pytest.approx(decay, rel=1e-9)


def test_the_window_of_a_stream_is_the_closed_form_too(linear):
    task = Echo(lag=2)
    for decay in (0.5, 0.8):
        algorithm = begun(AdaptiveBPTT(20, max_length=60), linear(task, decay), task)
        algorithm.adapt(algorithm.every + 1)
        assert algorithm.length == smallest_window(decay, 0.1)


def test_hand_computed_windows():
    assert smallest_window(0.5, 0.1) == 4  # 0.5^3 = 0.125 and 0.5^4 = 0.0625 beside 1/12
    assert smallest_window(0.8, 0.1) == 12  # 0.8^11 = 0.0859 and 0.8^12 = 0.0687


def test_slower_decay_and_less_tolerance_ask_for_longer_windows(every_step, linear):
    task, lengths = every_step(length=90), []
    for decay, tolerance in [(0.3, 0.1), (0.5, 0.1), (0.8, 0.1), (0.8, 0.01), (0.9, 0.01)]:
        algorithm = begun(AdaptiveBPTT(20, tolerance=tolerance), linear(task, decay), task)
        algorithm.adapt(algorithm.every + 1)
        lengths.append(algorithm.length)
    assert lengths == sorted(set(lengths))


@every_cell
@pytest.mark.parametrize("tolerance", [0.05, 0.5])
def test_of_episodes_the_whole_is_measured(network_for, cell, tolerance):
    task = Recall(3, lag=30, distractors=2)
    network = network_for(task, scale=1.0, **cell)
    algorithm = begun(AdaptiveBPTT(5, tolerance=tolerance, max_length=25, sequences=7), network, task)
    algorithm.adapt(algorithm.every + 1)
    batch = task.sample(7, rng=np.random.default_rng(4))
    norms = norms_by_lag(network.replica(), batch, "classes", whole_state=True).common
    assert len(norms) == 32
    found = adaptive_window(norms, tolerance)
    assert algorithm.estimate.window == found.window
    assert algorithm.estimate.beta == found.beta
    assert np.array_equal(algorithm.estimate.relative_bias, found.relative_bias, equal_nan=True)
    assert algorithm.length == (25 if found.window is None else min(25, found.window))


@every_cell
def test_of_a_stream_the_longest_window_is_measured_and_the_next_time_the_steps_after_it(network_for, cell):
    task = Echo(lag=3)
    network = network_for(task, scale=1.0, **cell)
    algorithm = begun(AdaptiveBPTT(5, max_length=40, sequences=6, every=2), network, task)
    rng = np.random.default_rng(4)
    place = task.begin(6, rng=rng)
    for step in (3, 5, 7):
        algorithm.adapt(step)
        norms = norms_by_lag(network.replica(), task.read(place, 40, rng=rng), "classes", whole_state=True).common
        assert len(norms) == 41
        assert np.array_equal(algorithm.estimate.relative_bias, adaptive_window(norms).relative_bias, equal_nan=True)
    assert np.isfinite(algorithm.estimate.relative_bias).any()


@pytest.mark.parametrize("decay", [1.0, 1.02, 1.3])
def test_without_decay_the_longest_window_is_used(every_step, linear, decay):
    task = every_step(length=60)
    algorithm = begun(AdaptiveBPTT(5, max_length=33), linear(task, decay), task)
    algorithm.adapt(algorithm.every + 1)
    assert algorithm.length == 33
    assert algorithm.estimate.window is None


@pytest.mark.parametrize(
    ("decay", "stride", "longest", "expected"),
    [(0.8, None, 12, 12), (0.8, None, 11, 11), (0.5, 3, 100, 4), (0.5, 6, 100, 6), (0.8, 6, 10, 10), (0.2, 5, 5, 5)],
)
def test_the_window_stays_between_the_stride_and_the_longest(every_step, linear, decay, stride, longest, expected):
    task = every_step(length=70)
    algorithm = begun(AdaptiveBPTT(stride or 5, stride, max_length=longest), linear(task, decay), task)
    algorithm.adapt(algorithm.every + 1)
    assert algorithm.length == expected
    assert type(algorithm.length) is int


def test_the_stride_follows_the_window_unless_it_is_given(every_step, linear):
    task = every_step(length=70)
    following = begun(AdaptiveBPTT(20), linear(task, 0.5), task)
    fixed = begun(AdaptiveBPTT(20, 3), linear(task, 0.5), task)
    assert (following.length, following.stride, fixed.length, fixed.stride) == (20, 20, 20, 3)
    for algorithm in (following, fixed):
        algorithm.adapt(algorithm.every + 1)
    assert (following.length, following.stride, fixed.length, fixed.stride) == (4, 4, 4, 3)
    segment = fixed.segment(rng=np.random.default_rng(0))
    assert (segment.new, segment.length, segment.step_weights) == (3, 4, None)


def test_it_is_measured_every_so_many_updates_and_kept_between_them(every_step, linear):
    task = every_step(length=70)
    network = linear(task, 0.5)
    algorithm, kept, lengths = begun(AdaptiveBPTT(20, every=3), network, task), [], []
    for step in range(1, 9):
        algorithm.adapt(step)
        kept.append(algorithm.estimate)
        lengths.append(algorithm.length)
        network.parameters.values["recurrent.Wh"][...] *= 1.1  # the weights that it looks at are the present ones
    assert [step for step in range(2, 9) if kept[step - 1] is not kept[step - 2]] == [4, 7]
    assert len(task.drawn) == 2
    expected = [smallest_window(0.5 * 1.1**done, 0.1) for done in (3, 6)]
    assert lengths == [20] * 3 + [expected[0]] * 3 + [expected[1]] * 2
    assert expected == sorted(set(expected))


def test_until_the_first_measurement_and_in_a_new_training_the_window_is_the_given_one(every_step, linear):
    task = every_step(length=70)
    algorithm = begun(AdaptiveBPTT(20, every=3), linear(task, 0.5), task)
    for step in (1, 2, 3):
        algorithm.adapt(step)
        assert (algorithm.length, algorithm.estimate) == (20, None)
    algorithm.adapt(4)
    assert algorithm.length == 4
    begun(algorithm, linear(task, 0.5), task)
    assert (algorithm.length, algorithm.estimate) == (20, None)


def test_the_measured_sequences_are_as_many_as_asked_for(every_step, linear):
    task = every_step(length=20)
    begun(AdaptiveBPTT(5, sequences=13), linear(task, 0.5), task).adapt(101)
    assert [batch.inputs.shape for batch in task.drawn] == [(20, 13)]


def test_sequences_without_a_scored_step_leave_the_window_as_it_is(linear):
    task = Echo(lag=30)
    algorithm = begun(AdaptiveBPTT(7, max_length=20, every=1), linear(task, 0.5), task)
    algorithm.adapt(2)
    assert (algorithm.length, algorithm.estimate) == (7, None)
    algorithm.adapt(3)
    assert algorithm.length == 4
    assert algorithm.estimate is not None


def test_the_defaults():
    algorithm = AdaptiveBPTT()
    assert (algorithm.length, algorithm.stride, algorithm.fixed_stride, algorithm.estimate) == (20, 20, None, None)
    assert (algorithm.tolerance, algorithm.every, algorithm.max_length, algorithm.sequences, algorithm.varies) == (
        0.1,
        100,
        100,
        20,
        True,
    )


@pytest.mark.parametrize("value", [None, 0, -1, 2.0, "20", True])
def test_a_first_window_that_is_no_whole_number_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^bptt_length must be a whole number >= 1, got .*\n.*algorithm=bptt"):
        AdaptiveBPTT(value)


@pytest.mark.parametrize("key", ["every", "max_length", "sequences"])
@pytest.mark.parametrize("value", [0, -1, 1.5, None, True])
def test_a_count_that_is_no_whole_number_is_refused(key, value):
    with pytest.raises(InvalidValue, match=f"^{key} must be a whole number >= 1, got "):
        AdaptiveBPTT(**{key: value})


@pytest.mark.parametrize("value", [0, -0.1, float("nan"), float("inf"), None, "0.1", True])
def test_a_tolerance_not_above_zero_is_refused(value):
    with pytest.raises(InvalidValue, match=r"^tolerance must be a number > 0, got "):
        AdaptiveBPTT(tolerance=value)


def test_a_stride_above_the_first_window_and_a_longest_below_it_are_refused():
    with pytest.raises(InvalidValue, match=r"^bptt_stride must be <= bptt_length, which is 5, got 6"):
        AdaptiveBPTT(5, 6)
    with pytest.raises(InvalidValue, match=r"^bptt_stride must be a whole number >= 1, got 0"):
        AdaptiveBPTT(5, 0)
    with pytest.raises(InvalidValue, match=r"^max_length must be >= bptt_length, which is 5, got 4"):
        AdaptiveBPTT(5, max_length=4)
    assert AdaptiveBPTT(5, 5, max_length=5).length == 5

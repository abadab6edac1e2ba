import numpy as np
import pytest

from rnnexp.gradients import NormsByLag, norms_by_lag
from rnnexp.gradients.shape import fitted_line
from rnnexp.layers import CRITERIA, build_network
from rnnexp.tasks import Batch

NAN, INF = np.nan, np.inf


def norms(*rows):
    """One row a lag; a number stands for one sequence."""
    return NormsByLag(np.array([np.atleast_1d(row) for row in rows], float))


@pytest.mark.parametrize("kind", ["tanh", "relu", "identity", "sigmoid"])
def test_the_norms_are_those_of_finite_differences_of_the_last_loss_in_each_state(kind):
    rng = np.random.default_rng(3)
    network = build_network(
        hidden_size=4,
        output_size=3,
        embedding_dim=3,
        input_size=4,
        rng=rng,
        cell_options={"activation": kind},
        dtype=np.float64,
    )
    network.parameters.values["recurrent.b"][...] = 0.3
    last = [6, 3, 5]
    mask = rng.random((7, 3)) < 0.5
    for sequence, step in enumerate(last):
        mask[step:, sequence] = np.arange(step, 7) == step
    batch = Batch(rng.integers(4, size=(7, 3)), rng.integers(3, size=(7, 3)), mask)
    found = norms_by_lag(network, batch, "classes").per_sequence

    def last_loss(sequence, start, state):
        """Of the rest of the sequence, the state before its step `start` given."""
        inputs = batch.inputs[start : last[sequence] + 1, [sequence]]
        target = batch.targets[[last[sequence]]][:, [sequence]]
        network.recurrent.set_state(state[np.newaxis])
        if len(inputs):
            network.forward(inputs, scored=slice(0, 0))
        return CRITERIA["classes"]().forward(network.output.forward(network.recurrent.h[np.newaxis]), target)

    network.reset_state()
    network.forward(batch.inputs)
    states, step = network.recurrent.states.copy(), 1e-6
    for sequence in range(3):
        for lag in range(last[sequence] + 2):
            start = last[sequence] + 1 - lag
            slopes = [
                (
                    last_loss(sequence, start, states[start, sequence] + moved)
                    - last_loss(sequence, start, states[start, sequence] - moved)
                )
                / (2 * step)
                for moved in step * np.eye(4)
            ]
            assert found[lag, sequence] == pytest.approx(np.linalg.norm(slopes), rel=1e-6, abs=1e-10), (sequence, lag)
        assert np.isnan(found[last[sequence] + 2 :, sequence]).all()


def test_quantiles_are_over_the_sequences_of_one_lag():
    found = norms([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 10.0, 10.0, 10.0, 20.0])
    expected = [[1.4, 10.0], [3.0, 10.0], [4.6, 16.0]]
    np.testing.assert_allclose(found.quantiles(0.1, 0.5, 0.9), expected, rtol=1e-14)
    assert found.quantiles(0.5).shape == (1, 2)
    np.testing.assert_allclose(found.quantiles(0.0, 1.0), [[1.0, 10.0], [5.0, 20.0]])


def test_quantiles_leave_out_what_is_not_finite():
    found = norms([1.0, 3.0], [2.0, NAN], [INF, 5.0], [INF, NAN]).quantiles(0.0, 0.5, 1.0)
    np.testing.assert_array_equal(found, [[1.0, 2.0, 5.0, NAN], [2.0, 2.0, 5.0, NAN], [3.0, 2.0, 5.0, NAN]])


def test_quantiles_of_zeros_are_zero():
    np.testing.assert_array_equal(norms([0.0, 0.0], [0.0, 4.0]).quantiles(0.5), [[0.0, 2.0]])


@pytest.mark.parametrize(
    ("rows", "horizon"),
    [
        ([1.0, 0.5, 2e-3, 1.1e-3, 9e-4, 0.0], 3),
        ([1.0, 1e-4, 1e-4, 0.5, 1e-4], 3),  # the largest such lag, whatever lies between
        ([1.0, 1e-3], 0),  # not above it
        ([1.0, 10.0, 100.0], 2),
        ([2000.0, 1.9, 2.1], 2),
        ([5.0], 0),
        ([0.0, 0.0], 0),
        ([INF, 1.0, 1.0], 0),
        ([1.0, 1e-9, INF], 2),
    ],
)
def test_the_horizon_is_the_last_lag_above_a_thousandth(rows, horizon):
    found = norms(*rows).horizon
    assert found == horizon
    assert type(found) is int


def test_the_horizon_is_of_the_lags_that_all_sequences_reach():
    assert norms([1.0, 1.0], [0.5, 0.5], [0.4, NAN], [0.4, NAN]).horizon == 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([1.0, 2.0, 3.0], (0, 2)),
        ([0.0, 2.0, 3.0, 0.0], (1, 2)),
        ([1.0, 0.0, 0.0, 4.0, INF], (0, 3)),
        ([[1.0, 1.0], [1.0, 1.0], [1.0, NAN], [1.0, NAN]], (0, 1)),
        ([1.0, 0.0], None),
        ([3.0], None),
        ([0.0, 0.0, 0.0], None),
        ([INF, INF], None),
    ],
)
def test_the_range_of_lags_that_the_slope_is_fitted_on(rows, expected):
    found = norms(*rows)
    assert found.lag_range == expected
    assert np.isnan(found.decay_rate) == (expected is None)


def test_the_half_life():
    assert norms(*0.5 ** np.arange(5)).half_life == pytest.approx(1.0, rel=1e-12)
    assert norms(*0.5 ** (np.arange(50) / 7.0)).half_life == pytest.approx(7.0, rel=1e-12)
    assert norms(2.0, 2.0, 2.0).half_life == INF
    assert norms(1.0, 2.0).half_life == INF
    assert np.isnan(norms(1.0, 0.0).half_life)
    assert np.isnan(norms(1.0).half_life)


def test_the_share_that_a_window_sees():
    found = norms([1.0, 7.0], [1.0, 3.0], [0.5, 1.5], [1.0, 1.0])  # means 4, 2, 1, 1 of h_3 .. h_0: three steps
    for length, share in [(1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0), (50, 1.0), (None, 1.0)]:
        assert found.seen_by_window(length) == pytest.approx(share, rel=1e-15), length


def test_the_share_is_of_the_lags_that_all_sequences_reach():
    assert norms([1.0, 1.0], [1.0, 1.0], [100.0, NAN]).seen_by_window(1) == 0.5


@pytest.mark.parametrize("rows", [[0.0, 0.0], [1.0, INF], [INF, 1.0]])
def test_there_is_no_share_of_nothing_or_of_infinity(rows):
    assert np.isnan(norms(*rows).seen_by_window(1))


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_window_as_long_as_the_sequence_sees_as_much_as_no_window(linear_network, steps):
    # It truncates nothing: the gradient is the full one, bit for bit, as with length None.
    rng = np.random.default_rng(0)
    mask = np.zeros((steps, 3), bool)
    mask[-1] = True
    batch = Batch(rng.integers(4, size=(steps, 3)), rng.integers(3, size=(steps, 3)), mask)
    found = norms_by_lag(linear_network(), batch, "classes")
    assert found.seen_by_window(steps) == found.seen_by_window(None)


def test_zero_norms_give_defined_results():
    found = norms(0.0, 0.0, 0.0)
    assert not found.mean.any()
    assert not found.usable.any()
    assert np.isnan([found.log10_ratio, found.decay_rate, found.half_life, found.seen_by_window(2)]).all()
    assert found.lag_range is None
    assert found.horizon == 0


def test_infinite_norms_give_defined_results():
    found = norms([1.0, 1.0], [2.0, 2.0], [INF, 4.0], [INF, INF])
    assert found.usable.tolist() == [True, True, False, False]
    assert found.decay_rate == pytest.approx(np.log(2.0), rel=1e-14)
    assert found.lag_range == (0, 1)
    assert np.isnan(found.log10_ratio)
    assert np.isnan(found.seen_by_window(1))
    assert found.half_life == INF


def test_the_common_lags_end_where_the_first_sequence_does():
    found = norms([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, NAN, 9.0], [10.0, NAN, NAN])
    assert found.common.tolist() == [2.0, 5.0]
    assert found.mean.tolist() == [2.0, 5.0, 8.0, 10.0]
    assert found.lags.tolist() == [0, 1, 2, 3]
    assert found.log10_ratio == pytest.approx(np.log10(2.5), rel=1e-14)


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_gradient_that_is_not_finite_counts_as_infinite_not_as_missing(tanh_network, bad):
    rng = np.random.default_rng(0)
    mask = np.zeros((5, 2), bool)
    mask[-1] = True
    network = tanh_network()
    network.parameters.values["recurrent.Wh"][0, 0] = bad
    batch = Batch(rng.integers(4, size=(5, 2)), rng.integers(3, size=(5, 2)), mask)
    found = norms_by_lag(network, batch, "classes")
    assert found.per_sequence.shape == (6, 2)
    assert np.isinf(found.per_sequence).all()
    assert np.isnan([found.log10_ratio, found.decay_rate, found.half_life, found.seen_by_window(3)]).all()
    assert found.lag_range is None
    assert found.horizon == 0


def test_the_slope_of_logarithms():
    assert fitted_line(np.exp(0.3 * np.arange(8) - 5))[0] == pytest.approx(0.3, rel=1e-13)
    values = np.exp(np.random.default_rng(0).standard_normal(20))
    values[[0, 4, 5, 19]] = [0.0, INF, NAN, -1.0]
    kept = np.setdiff1d(np.arange(20), [0, 4, 5, 19])
    assert fitted_line(values)[0] == pytest.approx(np.polyfit(kept, np.log(values[kept]), 1)[0], rel=1e-12)
    for values in ([], [1.0], [0.0, 1.0, NAN]):
        assert np.isnan(fitted_line(np.array(values))[0])

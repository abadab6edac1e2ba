"""Series that a network continues by itself: against recurrences that a network can hold exactly."""

import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.layers import build_network
from rnnexp.training import Continuation
from rnnexp.training.sampling import continue_series, generate

OMEGA = 0.37


def linear(Wx, Wh, W):
    """h_t = x_t Wx + h_{t-1} Wh, y_t = h_t W."""
    Wx, Wh, W = (np.array(given, float) for given in (Wx, Wh, W))
    network = build_network(
        hidden_size=len(Wh),
        input_size=len(Wx),
        output_size=W.shape[1],
        input_kind="values",
        cell_options={"activation": "identity"},
        rng=np.random.default_rng(0),
        dtype=np.float64,
    )
    for name, array in (("recurrent.Wx", Wx), ("recurrent.Wh", Wh), ("output.W", W)):
        network.parameters.values[name][...] = array
    network.parameters.values["recurrent.b"][...] = network.parameters.values["output.b"][...] = 0.0
    return network


def oscillator(horizon):
    """It keeps (x_t, x_{t-1}); x_{t+1} = 2 cos(omega) x_t - x_{t-1}, applied `horizon` times."""
    step = np.array([[2 * np.cos(OMEGA), 1.0], [-1.0, 0.0]])  # (x_t, x_{t-1}) to (x_{t+1}, x_t)
    return linear([[1, 0]], [[0, 1], [0, 0]], np.linalg.matrix_power(step, horizon)[:, :1])


@pytest.mark.parametrize("horizon", [1, 2, 5])
@pytest.mark.parametrize("prompt", [7, 30])
def test_a_network_that_knows_the_recurrence_continues_the_wave(horizon, prompt):
    wave = np.cos(OMEGA * np.arange(100) + 1.0)[:, np.newaxis]
    # With horizon > 1 the closed loop has a root outside of the unit circle: rounding errors grow.
    made = continue_series(oscillator(horizon), wave[:prompt], prompt, 12, fed_back={0: 0}, horizon=horizon)
    assert made.shape == (12, 1)
    assert np.allclose(made, wave[prompt : prompt + 12], atol=1e-9)


def test_nothing_after_the_prompt_is_read():
    wave = np.cos(OMEGA * np.arange(100))[:, np.newaxis]
    spoilt = wave.copy()
    spoilt[20:] = np.nan
    whole, part = (continue_series(oscillator(1), series, 20, 30, fed_back={0: 0}) for series in (wave, spoilt))
    assert np.array_equal(whole, part)


def test_fewer_steps_than_the_horizon_come_from_the_prompt_alone():
    wave = np.cos(OMEGA * np.arange(30))[:, np.newaxis]
    made = continue_series(oscillator(5), wave, 20, 3, fed_back={0: 0}, horizon=5)
    assert np.allclose(made, wave[20:23])


def running_sum():
    """s_{t+1} = s_t + b_t, for inputs (b, s) and the output s."""
    return linear([[1], [1]], [[0]], [[1]])


def test_inputs_that_are_not_predicted_are_read_from_the_series():
    b = np.arange(40.0)
    series = np.stack([b, np.cumsum(b) - b], axis=1)
    made = continue_series(running_sum(), series, 10, 30, fed_back={1: 0})
    assert np.array_equal(made[:, 0], series[10:, 1])


def test_they_have_to_be_there_to_the_end():
    series = np.zeros((20, 2))
    assert len(continue_series(running_sum(), series, 10, 11, fed_back={1: 0})) == 11
    with pytest.raises(InvalidValue, match="length must be at most 11 after 10 steps of this series, got 12"):
        continue_series(running_sum(), series, 10, 12, fed_back={1: 0})


@pytest.mark.parametrize(("prompt", "length"), [(4, 10), (31, 10), (10, 0)])
def test_a_prompt_that_is_too_short_or_too_long_is_refused(prompt, length):
    with pytest.raises(InvalidValue, match="must be"):
        continue_series(oscillator(5), np.zeros((30, 1)), prompt, length, fed_back={0: 0}, horizon=5)


def test_the_networks_own_state_is_left_alone():
    network = oscillator(1)
    network.forward(np.ones((3, 1, 1)))
    before = network.recurrent.state
    continue_series(network, np.ones((5, 1)), 5, 5, fed_back={0: 0})
    assert network.recurrent.state is before


def test_the_distance_counts_the_known_steps_only():
    true = np.array([[0.0], [1.0], [2.0], [np.nan]])
    series = Continuation(["x"], 1, true, np.array([[1.0], [5.0], [7.0]]))
    assert series.rmse == pytest.approx(np.sqrt(9 / 2))
    assert "3 steps of x after 1" in repr(series)
    table = series.table
    assert list(table.columns) == ["step", "name", "true", "generated"]
    assert np.isnan(table["generated"][0])
    assert table["generated"].tolist()[1:] == [1.0, 5.0, 7.0]


@pytest.fixture
def counting():
    """It predicts the next token, modulo 5, with odds of e^2 to 1 against each of the others."""
    network = build_network(hidden_size=5, output_size=5, rng=np.random.default_rng(0), dtype=np.float64)
    values = network.parameters.values
    for array in values.values():
        array[...] = 0.0
    values["recurrent.Wx"][...] = 100.0 * np.eye(5)  # tanh of it is 1
    values["output.W"][...] = 2.0 * np.roll(np.eye(5), 1, axis=1)
    return network


def test_a_prompt_of_several_tokens_is_read_to_its_end(counting):
    made = generate(counting, [0, 3, 1], 6, temperature=0, rng=np.random.default_rng(0))
    assert made.tolist() == [2, 3, 4, 0, 1, 2]


def test_a_temperature_near_zero_is_like_zero(counting):
    cold, zero = (generate(counting, 0, 9, temperature=t, rng=np.random.default_rng(0)) for t in (1e-310, 0))
    assert np.array_equal(cold, zero)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_divides_the_logits(counting, temperature):
    made = generate(counting, 0, 20_000, temperature=temperature, rng=np.random.default_rng(1))
    share = np.mean(np.diff([0, *made]) % 5 == 1)
    odds = np.exp(2.0 / temperature)
    assert share == pytest.approx(odds / (odds + 4), abs=0.015)


@pytest.mark.parametrize("temperature", [-1.0, np.nan, np.inf, "hot"])
def test_a_temperature_that_is_none_is_refused(counting, temperature):
    with pytest.raises(InvalidValue, match="temperature must be a number >= 0"):
        generate(counting, 0, 1, temperature=temperature, rng=np.random.default_rng(0))

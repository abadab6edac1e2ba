import numpy as np
import pytest

from rnnexp.checks import InvalidValue
from rnnexp.gradients import lyapunov, mean_field
from rnnexp.layers import Gaussian, Initializers, build_network
from rnnexp.tasks import Batch

UNITS, STEPS, CHANNELS = 200, 100, 50


@pytest.mark.parametrize("gain", [0.0, 0.3, 1.0])
def test_without_drive_and_up_to_gain_1_the_state_is_zero_and_the_units_are_linear(gain):
    found = mean_field(gain)
    assert found.variance == pytest.approx(0.0, abs=1e-12)
    assert found.chi == pytest.approx(gain**2, abs=1e-12)


def test_just_above_gain_1_the_variance_is_that_of_the_expansion():
    # E tanh^2(sqrt(q) z) = q - 2 q^2 + ... and E sech^4(sqrt(q) z) = 1 - 2 q + ...: to first order in e = gain^2 - 1,
    # q = e / 2, and the growth cancels: chi = (1 + e)(1 - 2 q) = 1 + O(e^2).
    small = 1e-4
    found = mean_field(np.sqrt(1 + small))
    assert found.variance == pytest.approx(small / 2, rel=1e-3)
    assert found.chi == pytest.approx(1.0, abs=10 * small**2)


def test_far_out_tanh_is_a_step():
    # E tanh^2 = 1 - 2/sqrt(2 pi q) and E sech^4 = (4/3)/sqrt(2 pi q) up to higher orders of 1/sqrt(q).
    gain = 100.0
    found = mean_field(gain)
    assert found.variance == pytest.approx(gain**2 * (1 - 2 / np.sqrt(2 * np.pi * gain**2)), rel=1e-3)
    assert found.chi == pytest.approx(gain**2 * 4 / 3 / np.sqrt(2 * np.pi * found.variance), rel=1e-3)


def test_without_recurrence_the_drive_is_all_there_is():
    found = mean_field(0.0, 0.7)
    assert (found.variance, found.chi) == (pytest.approx(0.7), 0.0)
    assert found.rate == -np.inf


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize(("gain", "drive"), [(0.8, 0.5), (1.5, 0.01), (2.0, 0.3)])
def test_it_is_the_fixed_point_by_another_integral(activation, gain, drive):
    found = mean_field(gain, drive, activation=activation)
    z, weights = np.polynomial.hermite_e.hermegauss(100)
    weights = weights / weights.sum()
    phi = np.tanh(np.sqrt(found.variance) * z)
    slope = 1 - phi**2
    if activation == "sigmoid":
        phi = 1 / (1 + np.exp(-np.sqrt(found.variance) * z))
        slope = phi * (1 - phi)
    assert gain**2 * (phi**2 @ weights) + drive == pytest.approx(found.variance, rel=1e-5)
    assert gain**2 * (slope**2 @ weights) == pytest.approx(found.chi, rel=1e-4)


def test_a_drive_moves_the_edge_to_a_higher_gain():
    rates = [mean_field(1.2, drive).rate for drive in (0.0, 0.01, 0.1, 1.0)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0 > rates[-1]


@pytest.mark.parametrize("gain", [0.6, *(pytest.param(gain, marks=pytest.mark.thorough) for gain in (1.0, 2.0)), 3.0])
def test_a_wide_network_driven_by_noise_has_its_variance_and_its_exponent(gain):
    rng = np.random.default_rng(0)
    drive = 0.04
    network = build_network(
        hidden_size=UNITS,
        output_size=1,
        input_size=CHANNELS,
        input_kind="values",
        rng=rng,
        dtype=np.float64,
        init=Initializers(input=Gaussian(np.sqrt(drive)), recurrent=Gaussian(gain)),
    )
    inputs = rng.standard_normal((STEPS, 1, CHANNELS))
    batch = Batch(inputs, np.zeros((STEPS, 1, 1)), np.ones((STEPS, 1), bool))
    exponent = lyapunov(network, batch, count=1)[0]
    values = network.parameters.values
    states = network.recurrent.states[1:]
    before = inputs[1:] @ values["recurrent.Wx"] + states[:-1] @ values["recurrent.Wh"]
    expected = mean_field(gain, drive)
    assert np.square(before[20:]).mean() == pytest.approx(expected.variance, rel=0.1)
    assert exponent == pytest.approx(expected.rate, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gain": -1.0}, "gain must be a number >= 0"),
        ({"gain": 1.0, "drive": -0.1}, "drive must be a number >= 0"),
        ({"gain": 1.0, "activation": "relu"}, "activation must be"),
    ],
)
def test_what_has_no_fixed_point_is_refused(arguments, words):
    with pytest.raises(InvalidValue, match=words):
        mean_field(**arguments)

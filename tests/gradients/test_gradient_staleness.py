import numpy as np
import pytest
from linear_unit import one_unit

from rnnexp.gradients import state_staleness
from rnnexp.layers import TimeLSTM, build_network


def test_one_linear_unit_and_one_change_of_its_weight():
    # Three ones in: h_3 = 1 + w + w^2, which is 1.75 with w = 1/2 and 3 with w = 1.
    network, ones = one_unit(0.5), np.ones((3, 1, 1))
    network.forward(ones)
    carried = network.recurrent.state
    assert carried[0].item() == 1.75
    assert state_staleness(network, ones, carried) == 0.0
    network.forward(ones)
    network.parameters.values["recurrent.Wh"][...] = 1.0
    assert state_staleness(network, ones, carried).item() == pytest.approx(1.25 / 3.0, rel=1e-15)
    assert network.recurrent.state is None


def test_from_a_given_state():
    network, ones = one_unit(0.7), np.ones((2, 1, 1))
    recomputed = 0.7 * (0.7 * 3.0 + 1.0) + 1.0
    found = state_staleness(network, ones, (np.array([[2.0]]),), (np.array([[3.0]]),))
    assert found.item() == pytest.approx(abs(2.0 - recomputed) / recomputed, rel=1e-14)


def test_the_mean_over_sequences_of_the_whole_state_of_all_layers():
    rng = np.random.default_rng(3)
    network = build_network(
        hidden_size=3, output_size=2, input_size=4, rng=rng, cell=TimeLSTM, num_layers=2, dtype=np.float64
    )
    tokens = rng.integers(4, size=(6, 5))
    network.forward(tokens)
    carried = [array.copy() for array in network.recurrent.state]
    network.parameters.vector += 0.1 * rng.standard_normal(network.parameters.vector.shape)
    network.reset_state()
    network.forward(tokens)
    now = network.recurrent.state
    expected = []
    for n in range(5):
        distance = np.sqrt(sum(np.sum((a[n] - b[n]) ** 2) for a, b in zip(carried, now, strict=True)))
        expected.append(distance / np.sqrt(sum(np.sum(b[n] ** 2) for b in now)))
    assert state_staleness(network, tokens, carried).item() == pytest.approx(np.mean(expected), rel=1e-13)
    assert state_staleness(network, tokens, carried, window=4).item() == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize(("carried", "expected"), [(0.0, 0.0), (1.0, np.inf)])
def test_beside_a_recomputed_state_of_zero(carried, expected):
    network = one_unit(0.5)
    assert state_staleness(network, np.zeros((2, 1, 1)), (np.array([[carried]]),)) == expected

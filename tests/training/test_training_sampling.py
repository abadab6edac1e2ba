import numpy as np
import pytest

from rnnexp.layers import build_network
from rnnexp.training.sampling import generate

SIZE = 5


@pytest.fixture
def network():
    return build_network(hidden_size=6, output_size=SIZE, embedding_dim=3, rng=np.random.default_rng(0))


@pytest.fixture
def rigged():
    """A network whose output is `bias` alone, whatever it is given."""

    def make(bias, dtype=np.float64):
        made = build_network(hidden_size=4, output_size=len(bias), rng=np.random.default_rng(0), dtype=dtype)
        made.parameters.values["output.W"][...] = 0.0
        made.parameters.values["output.b"][...] = bias
        return made

    return make


def test_the_same_generator_state_draws_the_same_tokens(network):
    first, second, other = (generate(network, 0, 200, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_tokens_are_integers_in_range(network):
    tokens = generate(network, 2, 300, rng=np.random.default_rng(0))
    assert tokens.shape == (300,)
    assert tokens.dtype == np.int64
    assert set(tokens) == set(range(SIZE))


@pytest.mark.parametrize("token", range(SIZE))
@pytest.mark.parametrize("size", [200.0, 1e30])
def test_a_network_rigged_to_one_token_says_nothing_else(rigged, token, size):
    bias = np.zeros(SIZE)
    bias[token] = size
    for dtype in (np.float32, np.float64):
        assert (generate(rigged(bias, dtype), 0, 50, rng=np.random.default_rng(3)) == token).all()


def test_tokens_follow_the_softmax():
    chances, count = np.array([0.5, 0.3, 0.15, 0.05]), 4000
    network = build_network(hidden_size=2, output_size=4, rng=np.random.default_rng(0), dtype=np.float64)
    network.parameters.vector[...] = 0.0
    network.parameters.values["output.b"][...] = np.log(chances) + 700.0  # exp of which alone would overflow
    shares = np.bincount(generate(network, 0, count, rng=np.random.default_rng(4)), minlength=4) / count
    assert (np.abs(shares - chances) < 5 * np.sqrt(chances * (1 - chances) / count)).all()


@pytest.fixture
def counting():
    """A network that answers token k with token k + 1, without a memory."""
    made = build_network(hidden_size=SIZE, output_size=SIZE, rng=np.random.default_rng(0), dtype=np.float64)
    made.parameters.vector[...] = 0.0
    made.parameters.values["recurrent.Wx"][...] = 5.0 * np.eye(SIZE)
    made.parameters.values["output.W"][...] = 200.0 * np.roll(np.eye(SIZE), 1, axis=1)
    return made


def test_it_is_fed_with_its_own_draws_after_the_first_token(counting):
    assert generate(counting, 1, 7, rng=np.random.default_rng(0)).tolist() == [2, 3, 4, 0, 1, 2, 3]


def test_the_state_is_carried_from_step_to_step():
    # One unit that is fed nothing and doubles itself: from a start of tanh(0.1) it says 0, then 1 for good.
    network = build_network(hidden_size=1, output_size=2, rng=np.random.default_rng(0), dtype=np.float64)
    network.parameters.vector[...] = 0.0
    values = network.parameters.values
    values["recurrent.b"][...] = 0.1
    values["recurrent.Wh"][...] = 2.0
    values["output.W"][...] = [[-2000.0, 2000.0]]
    values["output.b"][...] = [800.0, -800.0]  # the threshold is h = 0.4
    states, h = [], 0.0
    for _ in range(6):
        h = np.tanh(0.1 + 2.0 * h)
        states.append(int(h > 0.4))
    assert states[:2] == [0, 0]
    assert states[-1] == 1
    assert generate(network, 0, 6, rng=np.random.default_rng(0)).tolist() == states


def test_the_networks_own_state_is_left_alone(network):
    inputs = np.random.default_rng(5).integers(SIZE, size=(4, 3))
    network.forward(inputs)
    state = network.recurrent.h.copy()
    generate(network, 0, 20, rng=np.random.default_rng(0))
    assert np.array_equal(network.recurrent.h, state)
    with_state = generate(network, 0, 20, rng=np.random.default_rng(1))
    network.reset_state()
    assert np.array_equal(generate(network, 0, 20, rng=np.random.default_rng(1)), with_state)


def test_no_steps_give_no_tokens(network):
    assert generate(network, 0, 0, rng=np.random.default_rng(0)).shape == (0,)

"""What a network and its layers show of themselves."""

import numpy as np
import pytest

from rnnexp.layers import GRU, LSTM, RNN, TimeGRU, TimeLinear, TimeLSTM, TimeOneHot, TimeRNN, build_network


def build(**options):
    return build_network(**{"hidden_size": 10, "output_size": 4, "rng": np.random.default_rng(0), **options})


def counts(network):
    """The last column."""
    return [int(line.split()[-1]) for line in repr(network).splitlines()[1:]]


def test_a_network_shows_layers_shapes_and_parameters():
    assert repr(build(input_size=7, embedding_dim=5)) == (
        "Network: 239 parameters, float32\n"
        "  embedding  TimeEmbedding  7 tokens in                  W (7, 5)                           35\n"
        "  recurrent  TimeRNN        10 units, activation='tanh'  Wx (5, 10), Wh (10, 10), b (10,)  160\n"
        "  output     TimeLinear     4 out                        W (10, 4), b (4,)                  44"
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "lstm", "num_layers": 3, "embedding_dim": 2},
        {"cell": "gru", "learn_initial_state": True},
        {"input_kind": "values", "input_size": 1},
        {"input_kind": "values", "embedding_dim": 3},
        {"embedding_dim": 10, "tie": True},
    ],
)
def test_the_counts_add_up_to_all_parameters(options):
    network = build(**options)
    assert sum(counts(network)) == network.parameters.vector.size
    assert repr(network).startswith(f"Network: {network.parameters.vector.size} parameters, float32\n")
    for name, shape in network.parameters.shapes.items():
        assert f"{name.rpartition('.')[2]} {shape}" in repr(network)


def test_a_network_shows_what_is_frozen_tied_and_many():
    frozen = build(freeze=["recurrent.Wh"], dtype=np.float64)
    assert repr(frozen).startswith("Network: 194 parameters, float64, 100 of them frozen\n")
    assert "Wx (4, 10), Wh (10, 10) frozen, b (10,)" in repr(frozen)
    assert "W = embedding.W transposed, b (4,)" in repr(build(embedding_dim=10, tie=True))
    many = build(rng=[np.random.default_rng(0), np.random.default_rng(1)])
    assert repr(many).startswith("Network: 2 networks of 194 parameters, float32\n")


def test_a_network_shows_its_input():
    assert "embedding  TimeOneHot  4 tokens in" in repr(build())
    assert "embedding  none        1 value in" in repr(build(input_kind="values", input_size=1))
    assert "embedding  TimeLinear  3 values in" in repr(build(input_kind="values", input_size=3, embedding_dim=2))


@pytest.mark.parametrize(
    ("window", "step", "gates"), [(TimeRNN, RNN, ()), (TimeGRU, GRU, (3,)), (TimeLSTM, LSTM, (4,))]
)
def test_one_step_and_a_window_of_steps_name_each_other(window, step, gates):
    arrays = [np.ones((*gates, 2, 3)), np.ones((*gates, 3, 3)), np.ones((*gates, 3))]
    arrays += [np.ones(3)] if step is GRU else []
    shapes = f"(Wx=<float64 {(*gates, 2, 3)}>, Wh=<float64 {(*gates, 3, 3)}>, b=<float64 {(*gates, 3)}>"
    assert repr(step(*arrays)).startswith(step.__name__ + shapes)
    assert repr(step(*arrays)).endswith(f"): one step; a window of steps is {window.__name__}")
    assert repr(window(*arrays, stateful=True)).startswith(window.__name__ + shapes)
    assert "stateful=True" in repr(window(*arrays, stateful=True))
    assert repr(window(*arrays)).endswith(f"): a window of steps; one step is {step.__name__}")
    assert f"`{window.__name__}`" in step.__doc__
    assert f"`{step.__name__}`" in window.__doc__


def test_a_layer_shows_its_arrays_and_options():
    assert repr(TimeLinear(np.ones((3, 2)), batch_first=True)) == "TimeLinear(W=<float64 (3, 2)>, batch_first=True)"
    assert repr(TimeRNN(np.ones((2, 3)), np.ones((3, 3)), np.ones(3), activation="relu")).startswith(
        "TimeRNN(Wx=<float64 (2, 3)>, Wh=<float64 (3, 3)>, b=<float64 (3,)>, activation='relu'): "
    )
    assert repr(TimeOneHot(3, dtype=np.float32)) == "TimeOneHot(size=3, dtype=dtype('float32'))"

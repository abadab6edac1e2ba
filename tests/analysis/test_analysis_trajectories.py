import numpy as np
import pytest
from small_networks import CELLS, network_of

import rnnexp
from rnnexp.checks import InvalidValue
from rnnexp.layers import TimeLSTM, TimeRNN
from rnnexp.tasks import FlipFlop, Recall


def batch_of(network, steps=7, sequences=4, seed=1):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((steps, sequences, network.design.input_size))
    return rnnexp.tasks.Batch(inputs, inputs, np.ones((steps, sequences), bool))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_trajectories_are_the_whole_state_step_by_step(cell, layers):
    network = network_of(cell, num_layers=layers, embedding_dim=3, learn_initial_state=True)
    batch = batch_of(network)
    found = rnnexp.state_trajectories(network, batch)
    values = network.parameters.values
    each = network.recurrent.layers
    names = ["recurrent"] if layers == 1 else ["recurrent.1", "recurrent.2"]
    states = [tuple(np.stack([values[f"{name}.{state}0"]] * 4) for state in cell.state_names) for name in names]
    for step in range(8):
        flat = np.concatenate([part for state in states for part in state], axis=-1)
        assert np.abs(found.values[step] - flat).max() < 1e-14
        if step < 7:
            below = batch.inputs[step] @ values["embedding.W"]
            for at, layer in enumerate(each):
                states[at] = layer.step(below, states[at])
                below = states[at][0]
    assert found.values.shape == (8, 4, 3 * layers * len(cell.state_names))


def test_states_have_names_and_a_summary():
    network = network_of(TimeLSTM, num_layers=2, hidden_size=3)
    found = rnnexp.state_trajectories(network, batch_of(network))
    assert found.names == ("layer1.h", "layer1.c", "layer2.h", "layer2.c")
    assert np.array_equal(found.state("layer2.h"), found.values[..., 6:9])
    assert "4 sequences of 7 steps, 12 units" in repr(found)
    with pytest.raises(InvalidValue, match=r"name must be one of layer1.h, .*, got h"):
        found.state("h")


def test_the_networks_own_state_and_weights_stay_as_they_are():
    task = Recall(lag=3)
    network = rnnexp.build_network(
        hidden_size=4, output_size=4, input_size=task.input_size, rng=np.random.default_rng(0)
    )
    batch = task.evaluation(rng=np.random.default_rng(1)).sequences(5)
    network.forward(batch.inputs)
    state, vector = network.recurrent.state[0].copy(), network.parameters.vector.copy()
    found = rnnexp.state_trajectories(network, batch)
    assert np.array_equal(network.recurrent.state[0], state)
    assert np.array_equal(network.parameters.vector, vector)
    assert found.values.dtype == np.float64
    assert np.abs(found.values[-1] - state).max() < 1e-6


def test_principal_components_are_the_eigenvectors_of_the_covariance():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    states = rng.standard_normal((40, 9, 5)) * [5.0, 3.0, 1.0, 0.1, 0.0] @ turn + 7.0
    found = rnnexp.principal_components(states, 3)
    rows = states.reshape(-1, 5)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    assert np.allclose(found.variances, values[:-4:-1], rtol=1e-10)
    assert np.allclose(found.explained, values[:-4:-1] / values.sum(), rtol=1e-10)
    assert np.allclose(np.abs(found.directions @ vectors[:, :-4:-1]), np.eye(3), atol=1e-9)
    assert (found.directions[np.arange(3), np.abs(found.directions).argmax(axis=1)] > 0).all()
    projected = found.project(states)
    assert projected.shape == (40, 9, 3)
    assert np.abs(projected.mean(axis=(0, 1))).max() < 1e-12
    assert np.allclose(projected.var(axis=(0, 1)), found.variances)
    assert repr(found).startswith("PrincipalComponents: 3 of 5, with ")


def test_fewer_states_than_units_and_states_that_never_change():
    few = rnnexp.principal_components(np.random.default_rng(0).standard_normal((2, 6)), 4)
    assert few.directions.shape == (4, 6)
    assert np.allclose(few.directions @ few.directions.T, np.eye(4), atol=1e-12)
    assert few.explained[0] == pytest.approx(1.0)
    assert few.variances[1:].max() < 1e-25
    still = rnnexp.principal_components(np.ones((5, 3)), 2)
    assert np.isnan(still.explained).all()
    assert still.variances.tolist() == [0.0, 0.0]


def test_what_cannot_be_analysed_is_refused():
    network = network_of(TimeRNN)
    states = rnnexp.state_trajectories(network, batch_of(network))
    with pytest.raises(InvalidValue, match="count must be <= 3, the units of the state, got 4"):
        rnnexp.principal_components(states, 4)
    with pytest.raises(InvalidValue, match="states must be finite, got NaN or infinity"):
        rnnexp.principal_components([[0.0, np.nan]], 1)
    with pytest.raises(InvalidValue, match="at least one state"):
        rnnexp.principal_components(np.zeros((0, 3)), 1)
    network.parameters.vector[0] = np.inf
    with pytest.raises(InvalidValue, match="network must be of finite weights"):
        rnnexp.state_trajectories(network, batch_of(network))
    task = FlipFlop()
    stack = rnnexp.build_network(
        hidden_size=2, output_size=3, input_size=3, input_kind="values", rng=[np.random.default_rng(0)] * 2
    )
    with pytest.raises(InvalidValue, match="network must be one network, got 2 stacked networks"):
        rnnexp.state_trajectories(stack, task.evaluation(rng=np.random.default_rng(0)))

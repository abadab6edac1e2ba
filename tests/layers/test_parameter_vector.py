import numpy as np
import pytest

from rnnexp.layers import Network, Parameters, build_network

SHAPES = {"a": (2, 3), "b": (3,), "c": (3, 1, 2)}


def build(copies=None, **options):
    rng = np.random.default_rng(0) if copies is None else [np.random.default_rng(seed) for seed in range(copies)]
    return build_network(hidden_size=4, output_size=3, embedding_dim=2, rng=rng, dtype=np.float64, **options)


@pytest.mark.parametrize("copies", [(), (4,), (2, 3)])
def test_views_lie_in_order_and_share_memory_both_ways(copies):
    parameters = Parameters(SHAPES, copies=copies, dtype=np.float64)
    for vector, views in ((parameters.vector, parameters.values), (parameters.gradient, parameters.grads)):
        assert vector.shape == (*copies, 15)
        assert not vector.any()
        vector[...] = np.arange(vector.size).reshape(vector.shape)
        for name, part in zip(SHAPES, np.split(vector, [6, 9], axis=-1), strict=True):
            assert views[name].shape == (*copies, *SHAPES[name])
            assert np.shares_memory(views[name], vector)
            np.testing.assert_array_equal(views[name].ravel(), part.ravel())
        views["b"][...] = -1.0
        assert (vector == -1.0).sum() == 3 * np.prod(copies, initial=1)
        assert np.all(vector[..., 6:9] == -1.0)
    assert not np.shares_memory(parameters.vector, parameters.gradient)


def test_a_given_vector_is_shared_and_not_copied():
    vector = np.arange(15.0)
    parameters = Parameters(SHAPES, dtype=np.float64, vector=vector)
    assert parameters.vector is vector
    vector[7] = 99.0
    assert parameters.values["b"][1] == 99.0


@pytest.mark.parametrize("copies", [None, 3])
def test_every_layer_of_a_network_reads_and_writes_the_vectors(copies):
    network = build(copies)
    layers = [network.embedding, network.recurrent, network.output]
    params = [array for layer in layers for array in layer.params]
    grads = [array for layer in layers for array in layer.grads]
    for arrays, vector in ((params, network.parameters.vector), (grads, network.parameters.gradient)):
        assert all(np.shares_memory(array, vector) for array in arrays)
        assert sum(array.size for array in arrays) == vector.size


def test_writing_into_the_vector_changes_the_network(assert_close):
    network = build()
    inputs = np.random.default_rng(1).integers(3, size=(4, 2))
    before = network.forward(inputs).copy()
    network.reset_state()
    shift = np.array([1.0, 2.0, 3.0])
    network.parameters.vector[-3:] += shift  # the output bias
    assert_close(network.forward(inputs), before + shift)
    network.parameters.vector[...] = 0.0
    assert not network.forward(inputs).any()


def test_backward_writes_into_the_gradient_vector_and_returns_it():
    network = build()
    rng = np.random.default_rng(2)
    gradient = network.parameters.gradient
    gradient[...] = np.nan
    for steps in (4, 3):
        outputs = network.forward(rng.integers(3, size=(steps, 2)))
        doutputs = rng.standard_normal(outputs.shape)
        assert network.backward(doutputs) is gradient is network.parameters.gradient
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient[-3:], doutputs.sum(axis=(0, 1)), rtol=1e-13)


@pytest.mark.parametrize("copies", [None, 3])
def test_a_replica_shares_the_parameters_and_nothing_else(copies, same_bits):
    network = build(copies, cell_options={"activation": "relu"})
    rng = np.random.default_rng(3)
    lead = () if copies is None else (copies,)

    def draw(steps, batch):
        return rng.integers(3, size=(steps, *lead, batch))

    inputs = draw(4, 2)
    network.backward(np.ones_like(network.forward(inputs)), norms=True)
    gradient, state = network.parameters.gradient.copy(), network.recurrent.h.copy()

    replica = network.replica()
    assert isinstance(replica, Network)
    assert replica.parameters.vector is network.parameters.vector
    assert not np.shares_memory(replica.parameters.gradient, network.parameters.gradient)
    assert replica.recurrent.h is None
    assert replica.recurrent.activation is network.recurrent.activation
    replica.backward(np.ones_like(replica.forward(draw(7, 5))))
    assert np.any(replica.parameters.gradient != gradient)
    same_bits(network.parameters.gradient, gradient)
    same_bits(network.recurrent.h, state)

    network.parameters.vector *= 0.5
    network.reset_state()
    replica.reset_state()
    same_bits(replica.forward(inputs), network.forward(inputs))


def test_a_replica_in_between_does_not_disturb_the_window_of_the_original(same_bits):
    network = build()
    rng = np.random.default_rng(4)
    inputs, doutputs = rng.integers(3, size=(4, 2)), rng.standard_normal((4, 2, 3))
    network.forward(inputs)
    undisturbed = network.backward(doutputs).copy()
    network.reset_state()
    network.forward(inputs)
    replica = network.replica()
    replica.backward(np.ones_like(replica.forward(rng.integers(3, size=(4, 2)))))
    same_bits(network.backward(doutputs), undisturbed)

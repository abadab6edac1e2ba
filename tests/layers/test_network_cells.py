import numpy as np
import pytest
from pairwise import pairwise

from rnnexp.layers import CRITERIA, Network, Parameters, Stack, TimeGRU, TimeLeaky, TimeLSTM, TimeRNN, build_network

H, V, STEPS, BATCH = 3, 4, 4, 2
CELLS = {"rnn": TimeRNN, "leaky": TimeLeaky, "gru": TimeGRU, "lstm": TimeLSTM}
KINDS = {
    "one-hot": {},
    "learned start": {"embedding_dim": 2, "learn_initial_state": True},
    "tied": {"embedding_dim": H, "tie": True, "learn_initial_state": True},
    "frozen": {"embedding_dim": 2, "freeze": ("embedding", "output.b"), "shortcut": True},
    "values": {"input_kind": "values", "embedding_dim": 2, "shortcut": True},
}

every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def build(cell, layers, kind, rng, hidden_size=H, **options):
    options = {**KINDS[kind], **options}
    network = build_network(
        hidden_size=hidden_size, output_size=V, cell=cell, num_layers=layers, rng=rng, dtype=np.float64, **options
    )
    network.parameters.vector += 0.2 * rng.standard_normal(network.parameters.vector.shape)  # biases and starts too
    return network


def draw_inputs(kind, rng, steps=STEPS, batch=BATCH):
    return rng.standard_normal((steps, batch, V)) if kind == "values" else rng.integers(V, size=(steps, batch))


def with_vector(network, vector):
    parameters = Parameters(network.parameters.shapes, dtype=vector.dtype)
    parameters.vector[...] = vector
    return Network(parameters, network.design)


def is_trained(network):
    """Where in the vector a gradient is due."""
    trained = Parameters(network.parameters.shapes, dtype=bool)
    trained.vector[...] = True
    for name in network.design.frozen:
        trained.values[name][...] = False
    return trained.vector


def slope_of_each(network, loss):
    """d loss / d vector: one copy of the network for each parameter, in which that one is disturbed."""
    size = network.parameters.vector.size
    parameters = Parameters(network.parameters.shapes, copies=(size,), dtype=complex)
    parameters.vector[...] = network.parameters.vector + 1e-20j * np.eye(size)

    def for_all(sequence):
        return np.stack([sequence] * size, axis=1)

    return loss(Network(parameters, network.design), for_all).imag / 1e-20


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2, 3])
def test_a_network_of_every_cell_has_the_gradients_of_its_loss(cell, layers, kind, assert_close):
    rng = np.random.default_rng(1)
    network, criterion = build(cell, layers, kind, rng), CRITERIA["classes"]()
    for steps in (STEPS, 2):
        inputs, targets = draw_inputs(kind, rng, steps), rng.integers(V, size=(steps, BATCH))

        def loss(disturbed, for_all, inputs=inputs, targets=targets):
            return CRITERIA["classes"]().forward(disturbed.forward(for_all(inputs)), for_all(targets))

        network.reset_state()
        criterion.forward(network.forward(inputs), targets)
        gradient = network.backward(criterion.backward())
        assert_close(gradient, slope_of_each(network, loss) * is_trained(network))
        assert np.all(gradient[~is_trained(network)] == 0)
        network.parameters.vector -= 0.3 * gradient


@pytest.mark.parametrize("layers", [1, 2])
@every_cell
def test_a_carried_window_has_the_gradients_of_its_loss_and_none_in_the_learned_start(
    cell, layers, complex_step, assert_close
):
    rng = np.random.default_rng(2)
    network = build(cell, layers, "learned start", rng)
    starts = [name for name in network.parameters.shapes if name.endswith(("h0", "c0"))]
    assert len(starts) == layers * len(cell.state_names)
    network.forward(draw_inputs("tokens", rng))
    for steps in (3, 2):
        inputs, state = draw_inputs("tokens", rng, steps), network.recurrent.state
        outputs = network.forward(inputs)
        projection = rng.standard_normal(outputs.shape)

        def total(vector, inputs=inputs, state=state, projection=projection):
            fresh = with_vector(network, vector)
            fresh.recurrent.set_state(*state)
            return (projection * fresh.forward(inputs)).sum()

        gradient = network.backward(projection)
        assert_close(gradient, complex_step(total, network.parameters.vector))
        assert all(np.all(network.parameters.grads[name] == 0) for name in starts)
        network.parameters.vector -= 0.1 * gradient


def all_close(actual, expected, assert_close):
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs)


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2], scored={"new steps": None, "last step": slice(-1, None)})
def test_a_sliding_window_trains_like_a_fresh_window_from_the_same_state(cell, layers, kind, scored, assert_close):
    rng = np.random.default_rng(3)
    network = build(cell, layers, kind, rng)
    fresh, long = network.replica(), network.replica()
    inputs = draw_inputs(kind, rng, 12)
    long.forward(inputs)
    newest = slice(4, None) if scored is None else scored
    network.forward(inputs[:6])
    for start in (2, 4, 6):
        window = inputs[start : start + 6]
        network.drop(2)
        outputs = network.forward(window, first=4, scored=scored)
        fresh.recurrent.set_state(*long.recurrent.state_before(start))
        assert_close(outputs, fresh.forward(window, scored=newest))
        projection = rng.standard_normal(outputs.shape)
        step_weights = list(rng.uniform(0.5, 1.5, 6))
        gradients = [one.backward(projection, norms=True, step_weights=step_weights) for one in (network, fresh)]
        assert_close(*gradients)
        all_close(network.recurrent.norms.values(), fresh.recurrent.norms.values(), assert_close)
        all_close(network.recurrent.state, long.recurrent.state_before(start + 6), assert_close)


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2])
def test_a_window_of_a_stream_is_continued_by_the_next(cell, layers, kind, assert_close):
    rng = np.random.default_rng(4)
    network = build(cell, layers, kind, rng)
    whole = network.replica()
    for _ in range(2):
        inputs = draw_inputs(kind, rng, 6)
        parts = [network.forward(inputs[:2]).copy(), network.forward(inputs[2:]).copy()]
        assert_close(np.concatenate(parts), whole.forward(inputs))
    network.reset_state()
    assert_close(network.forward(inputs), network.replica().forward(inputs))


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2])
def test_a_replica_shares_the_vector_and_has_a_state_of_its_own(cell, layers, kind, same_bits):
    rng = np.random.default_rng(5)
    network = build(cell, layers, kind, rng)
    replica, inputs = network.replica(), draw_inputs(kind, rng)
    assert replica.parameters.vector is network.parameters.vector
    assert replica.parameters.gradient is not network.parameters.gradient
    assert replica.design is network.design
    for _ in range(2):
        network.reset_state()
        first = network.forward(inputs).copy()
        gradient = network.backward(np.ones_like(first)).copy()
        assert replica.recurrent.state is None
        same_bits(replica.forward(inputs), first)
        assert np.any(network.forward(inputs) != first)  # carries its own state
        same_bits(replica.backward(2.0 * np.ones_like(first)), 2.0 * gradient)
        replica.reset_state()
        network.parameters.vector -= 0.1 * gradient


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2])
def test_training_lowers_the_loss_and_leaves_what_is_frozen(cell, layers, kind):
    rng = np.random.default_rng(6)
    network, criterion = build(cell, layers, kind, rng), CRITERIA["classes"]()
    inputs, targets = draw_inputs(kind, rng), rng.integers(V, size=(STEPS, BATCH))
    before, losses = network.parameters.vector.copy(), []
    for _ in range(10):
        network.reset_state()
        losses.append(criterion.forward(network.forward(inputs), targets))
        network.parameters.vector -= 0.1 * network.backward(criterion.backward())
    assert np.all(np.diff(losses) < 0)
    changed = before != network.parameters.vector
    assert not np.any(changed & ~is_trained(network))
    assert changed[is_trained(network)].mean() > 0.7  # rows of tokens that did not occur stay


@every_cell
def test_recurrent_layers_are_one_alone_or_a_stack(cell):
    one, three = (build(cell, layers, "one-hot", np.random.default_rng(7)) for layers in (1, 3))
    assert type(one.recurrent) is cell
    assert one.recurrent.stateful
    assert type(three.recurrent) is Stack
    assert [type(layer) for layer in three.recurrent.layers] == [cell] * 3
    assert all(layer.stateful and layer.reuse for layer in three.recurrent.layers)


@pairwise(kind=list(KINDS), cell=CELLS, layers=[1, 2], dtype={"float32": np.float32, "float64": np.float64})
def test_a_network_of_every_cell_keeps_its_dtype_all_the_way(cell, layers, kind, dtype):
    rng = np.random.default_rng(8)
    options = {"hidden_size": H, "output_size": V, "cell": cell, "num_layers": layers, "rng": rng, "dtype": dtype}
    network, loss = build_network(**options, **KINDS[kind]), CRITERIA["classes"]()
    for steps in (4, 3):
        inputs = draw_inputs(kind, rng, steps)
        inputs = inputs.astype(dtype) if kind == "values" else inputs
        outputs = network.forward(inputs, scored=slice(-2, None))
        loss.forward(outputs, rng.integers(V, size=outputs.shape[:2]))
        arrays = [outputs, network.backward(loss.backward(), norms=True), *network.recurrent.state]
        assert {array.dtype for array in (*arrays, *network.recurrent.dstate)} == {np.dtype(dtype)}
        assert {norms.dtype for norms in network.recurrent.norms.values()} == {np.dtype(np.float64)}

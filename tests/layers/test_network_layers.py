import numpy as np
import pytest
from pairwise import pairwise

from rnnexp.layers import CRITERIA, Network, Parameters, build_network

SIZE, H, K = 3, 4, 3
KINDS = {
    "table": {"input_kind": "tokens", "embedding_dim": 2},
    "one-hot": {"input_kind": "tokens", "embedding_dim": None},
    "linear map": {"input_kind": "values", "embedding_dim": 2},
    "raw values": {"input_kind": "values", "embedding_dim": None},
}
WINDOWS = [(5, 2), (3, 2), (6, 3)]


def build(kind, rng, **options):
    network = build_network(
        hidden_size=H, output_size=K, input_size=SIZE, rng=rng, dtype=np.float64, **KINDS[kind], **options
    )
    network.parameters.vector += 0.2 * rng.standard_normal(network.parameters.vector.shape)  # biases too
    return network


def draw_inputs(kind, rng, steps, batch):
    if KINDS[kind]["input_kind"] == "tokens":
        return rng.integers(SIZE, size=(steps, batch))
    return rng.standard_normal((steps, batch, SIZE))


def draw_targets(loss, rng, steps, batch):
    return rng.integers(K, size=(steps, batch)) if loss == "classes" else rng.standard_normal((steps, batch, K))


def with_vector(network, vector):
    parameters = Parameters(network.parameters.shapes, dtype=vector.dtype)
    parameters.vector[...] = vector
    return Network(parameters, network.design)


def input_gradient(network, doutputs):
    dxs = network.recurrent.backward(network.output.backward(doutputs))
    return dxs if network.embedding is None else network.embedding.backward(dxs)


@pairwise(kind=list(KINDS), activation=["tanh", "relu", "identity", "sigmoid"], loss=list(CRITERIA))
def test_the_network_has_the_gradients_of_its_loss(kind, loss, activation, check_gradients):
    rng = np.random.default_rng(1)
    network = build(kind, rng, cell_options={"activation": activation})
    criterion = CRITERIA[loss]()

    def update(steps, batch):
        inputs, targets = draw_inputs(kind, rng, steps, batch), draw_targets(loss, rng, steps, batch)
        mask, h0 = rng.random((steps, batch)) < 0.7, rng.standard_normal((batch, H))
        mask[-1, -1] = True

        def total(vector, h0, inputs=inputs):
            complex_network = with_vector(network, vector.astype(complex))
            complex_network.recurrent.set_state(h0)
            return CRITERIA[loss]().forward(complex_network.forward(inputs), targets, mask)

        network.recurrent.set_state(h0)
        criterion.forward(network.forward(inputs), targets, mask)
        doutputs = criterion.backward()
        gradient = network.backward(doutputs).copy()
        arrays = {"vector": network.parameters.vector, "h0": h0}
        gradients = {"vector": gradient, "h0": network.recurrent.dh}
        if inputs.dtype.kind == "f":
            arrays["inputs"], gradients["inputs"] = inputs, input_gradient(network, doutputs)
        check_gradients(total, arrays, gradients)
        network.parameters.vector -= 0.3 * gradient

    for steps, batch in WINDOWS:
        update(steps, batch)


@pytest.mark.parametrize(
    "scored",
    [
        slice(None),
        slice(-1, None),
        slice(1, 4, 2),
        slice(None, None, -1),
        np.array([0, 3]),
        np.array([4, 2, 0, 1, 3]),
        np.array([1, 1, 3]),
    ],
    ids=["all", "last", "every other", "backwards", "picked", "shuffled", "repeated"],
)
def test_only_scored_steps_have_outputs_and_pull_on_the_parameters(scored, check_gradients, assert_close):
    rng = np.random.default_rng(2)
    network = build("table", rng)

    def update(batch):
        inputs = rng.integers(SIZE, size=(5, batch))
        network.reset_state()
        whole = network.forward(inputs).copy()
        network.reset_state()
        # A gradient of other steps first: what it spread over the window must be gone.
        network.backward(np.ones_like(network.forward(inputs, scored=[1, 2])))
        network.reset_state()
        outputs = network.forward(inputs, scored=scored)
        assert_close(outputs, whole[scored])
        projection = rng.standard_normal(outputs.shape)

        def loss(vector):
            return (projection * with_vector(network, vector).forward(inputs)[scored]).sum()

        gradient = network.backward(projection)
        check_gradients(loss, {"vector": network.parameters.vector}, {"vector": gradient})
        network.parameters.vector -= 0.1 * gradient

    for batch in (2, 3):
        update(batch)


@pytest.mark.parametrize("scored", [None, slice(-1, None)], ids=["new steps", "last step"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sliding_window_trains_like_a_fresh_window_from_the_same_state(kind, scored, assert_close):
    rng = np.random.default_rng(3)
    network = build(kind, rng)
    inputs = draw_inputs(kind, rng, 14, 3)
    fresh = network.replica()
    states = fresh.recurrent.forward(inputs if fresh.embedding is None else fresh.embedding.forward(inputs)).copy()
    newest = slice(4, None) if scored is None else scored
    network.forward(inputs[:6])
    for start in (2, 4, 6, 8):
        window = inputs[start : start + 6]
        network.drop(2)
        outputs = network.forward(window, first=4, scored=scored)
        fresh.recurrent.set_state(states[start - 1])
        assert_close(outputs, fresh.forward(window, scored=newest))
        projection = rng.standard_normal(outputs.shape)
        assert_close(network.backward(projection, norms=True), fresh.backward(projection, norms=True))
        assert_close(network.recurrent.dh_norms, fresh.recurrent.dh_norms)
        assert_close(network.recurrent.h, states[start + 5])


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_of_a_stream_is_continued_by_the_next(kind, assert_close):
    rng = np.random.default_rng(4)
    network = build(kind, rng)
    whole = network.replica()
    for _ in range(2):
        inputs = draw_inputs(kind, rng, 7, 2)
        parts = [network.forward(inputs[:3]).copy(), network.forward(inputs[3:]).copy()]
        assert_close(np.concatenate(parts), whole.forward(inputs))
    network.reset_state()
    assert_close(network.forward(inputs), network.replica().forward(inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_permuting_the_sequences_leaves_the_gradient_alone(kind, assert_close):
    rng = np.random.default_rng(5)
    straight = build(kind, rng)
    shuffled = straight.replica()
    for steps in (6, 4):
        order = rng.permutation(7)
        inputs, doutputs = draw_inputs(kind, rng, steps, 7), rng.standard_normal((steps, 7, K))
        straight.reset_state()
        shuffled.reset_state()
        assert_close(shuffled.forward(inputs[:, order]), straight.forward(inputs)[:, order])
        gradient = straight.backward(doutputs, norms=True)
        assert_close(shuffled.backward(doutputs[:, order], norms=True), gradient)
        assert_close(shuffled.recurrent.dh_norms, straight.recurrent.dh_norms[:, order])
        straight.parameters.vector -= 0.1 * gradient


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_input_gives_the_same_bits(kind, same_bits):
    rng = np.random.default_rng(6)
    used = build(kind, rng)
    fresh = used.replica()
    used.backward(np.ones_like(used.forward(draw_inputs(kind, rng, 9, 4))))
    used.reset_state()
    inputs, doutputs = draw_inputs(kind, rng, 5, 4), rng.standard_normal((5, 4, K))
    same_bits(used.forward(inputs), fresh.forward(inputs))
    same_bits(used.backward(doutputs), fresh.backward(doutputs))


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss(kind):
    rng = np.random.default_rng(7)
    network, criterion = build(kind, rng), CRITERIA["classes"]()
    inputs, targets = draw_inputs(kind, rng, 6, 4), rng.integers(K, size=(6, 4))
    losses = []
    for _ in range(30):
        network.reset_state()
        losses.append(criterion.forward(network.forward(inputs), targets))
        network.parameters.vector -= 0.1 * network.backward(criterion.backward())
    assert np.all(np.diff(losses) < 0)
